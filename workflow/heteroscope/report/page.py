"""The report of a study: one self-contained page that asks nothing of the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from plotly.offline import get_plotlyjs

from heteroscope.config import BESIDE, StudyContext
from heteroscope.provenance import versions
from heteroscope.report import tables, words
from heteroscope.report.branches import branch_sections
from heteroscope.report.costs import cost_table
from heteroscope.report.explorer import explorer_data
from heteroscope.report.methods import citation, methods_paragraphs
from heteroscope.store import read_json, read_table

TABLES = ("clusters", "baseline", "transfer", "attributes", "attribute-scores", "curve", "sensitivity", "metrics",
          "confusion")  # fmt: skip
PAGE_BYTES = 14_500_000  # that a page should not exceed
LATER_BYTES = 4_500_000  # of what branches and further analyses show, as it stands in the page
STABILITY = ("backbone", "clustering", "method", "k", "silhouette", "ari_bootstraps", "failed_bootstraps", "ari_seeds",
             "ari_backbones", "ari_with_primary")  # fmt: skip
SENSITIVITY = ("backbone", "clustering", "primary", "verdict", "compared_clusters", "images", "gain", "p", "p_holm",
               "p_nonlinear", "accuracy_gain", "accuracy_gain_low", "accuracy_gain_high")  # fmt: skip
LIBRARIES = ("heteroscope", "torch", "torchvision", "pytorch-lightning", "scikit-learn", "umap-learn", "numpy", "scipy",
             "pandas", "statsmodels", "pillow", "matplotlib")  # fmt: skip


def page_data(
    context: StudyContext,
    plan: list[dict[str, Any]],
    branches: list[dict[str, Any]],
    *,
    compare: Path,
    dataset: Path,
    split_counts: Path,
    split_figure: Path,
    images: Path,
    pixels: Path,
) -> dict[str, Any]:
    """Everything that the template shows, as plain data.

    Args:
        context: the study with every entry that it names.
        plan: `Layout.analyses`; of the files only figures, and those that the explorer reads.
        branches: `Layout.branches`.
        compare: folder of the comparison's tables, figures and verdict.json.
        dataset: folder of classes.csv and rejected.csv.
        split_counts: counts by variable, level and part.
        split_figure: PNG.
        images: images.parquet.
        pixels: pixels.h5, for the pictures of the explorer.

    Raises:
        StoreError: a table is missing or damaged.
    """
    document = read_json(compare / "verdict.json")
    data = _data_section(context, document, dataset, split_counts, split_figure)
    plan = _primary_first(plan, context)
    frames = {name: read_table(compare / f"{name}.csv") for name in TABLES}
    entries = context.model_dump(mode="json", exclude={"study": set(BESIDE)})
    config = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    page = {
        "study": context.id,
        "title": context.study.title or context.id,
        "question": words.QUESTION,
        "verdict": document["verdict"],
        "badge": words.badge(document["verdict"]),
        "answer": f"{words.ANSWERS[document['verdict']]} ({document['reason']}).",
        "facts": _facts(document),
        "account": document["account"][1:],  # it begins with the finding, which `answer` tells
        "warnings": [words.warning(text) for text in document["warnings"]],
        "figures": {
            name: tables.figure(compare / f"{name}.png", *text) for name, text in words.FIGURES_OF_STUDY.items()
        },
        "data": data,
        "analyses": [_analysis(entry, frames, context) for entry in plan],
        "scripts": [get_plotlyjs(), (Path(__file__).parent / "explorer.js").read_text(encoding="utf-8")],
        "averaging": words.MACRO if len(context.dataset.class_names) > 2 else None,
        "branches": branch_sections(branches),
        "methods": methods_paragraphs(context, document, data["kept"]),
        "citation": citation(),
        "costs": _costs(context),
        "published": _published(document["published_comparison"]),
        "attributes": tables.plain_table(
            "How far each attribute goes with the clusters: 0 is not at all, 1 is completely. The p is from exchanging"
            " whole patients; Holm adjusts it over the rows. A correlate is not a cause.",
            frames["attributes"],
        ),
        "downloads": [_download(compare / f"{name}.csv") for name in TABLES],
        **_over_analyses(frames["sensitivity"]),
        "arms": [
            {"name": arm, "trains_on": trained, "asks": asked, "used": arm in {"cluster", *context.controls.arms}}
            for arm, trained, asked in words.ARMS
        ],
        "basis": _basis(context, document),
        "config": config,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
    }
    _keep_within(page, LATER_BYTES)
    room = PAGE_BYTES - len(json.dumps(page, default=str))
    explorer = explorer_data(plan, context.dataset.class_names, images=images, pixels=pixels, room=room)
    return page | {"explorer": explorer}


def _keep_within(page: dict[str, Any], room: int) -> None:
    """Name figures and tables of all but the primary analysis by their path, from where they find no room (bytes)."""
    shown = [item for section in page["branches"] for part in section["parts"] for item in part["shown"]]
    entries = [(item["figure"], "src") if item["figure"] else (item["download"], "href") for item in shown]
    entries += [(figure, "src") for analysis in page["analyses"][1:] for figure in analysis["figures"]]
    for entry, key in entries:
        size = len(entry[key] or "")
        if size > room:
            entry[key] = None
        else:
            room -= size


def _facts(document: dict[str, Any]) -> list[dict[str, str]]:
    """The few figures that a reader looks for first; of a test that cannot answer none."""
    images, patients = (document["counts"][name].get("test", 0) for name in ("images", "patients"))
    tested = {"value": str(images), "text": f"test images of {patients} patients"}
    test = document["test"]
    if test is None or document["verdict"] == "not assessable":
        return [tested]
    low, high = (f"{100 * end:+.1f}" for end in test["accuracy_gain_interval_90"])
    return [
        {
            "value": f"{100 * test['accuracy_gain']:+.1f} points",
            "text": f"of accuracy, with heads of the clusters' own (90 % interval {low} to {high})",
        },
        {
            "value": f"p = {tables.number(test['p'])}",
            "text": f"for one linear rule, {tables.number(test['p_nonlinear'])} for one that may be curved"
            f" ({test['draws']} draws)",
        },
        tested | {"text": f"{tested['text']} in {len(test['compared_clusters'])} compared clusters"},
    ]


def _download(path: Path) -> dict[str, str]:
    return {"name": path.name, "href": tables.data_uri("text/csv", path.read_bytes())}


def _primary_first(plan: list[dict[str, Any]], context: StudyContext) -> list[dict[str, Any]]:
    return sorted(plan, key=lambda entry: not _is_primary(entry, context))


def _is_primary(entry: dict[str, Any], context: StudyContext) -> bool:
    primary = context.study.primary
    return bool(entry["backbone"] == primary.backbone and entry["clustering"] == primary.clustering)


def _data_section(
    context: StudyContext, document: dict[str, Any], dataset: Path, split_counts: Path, split_figure: Path
) -> dict[str, Any]:
    classes, rejected = read_table(dataset / "classes.csv"), read_table(dataset / "rejected.csv")
    kept = int(classes["images"].sum())
    return {
        "dataset": context.study.dataset,
        "split": context.study.split,
        "kept": kept,
        "rejected": len(rejected),
        "rows": kept + len(rejected),
        "classes": tables.class_table(classes, read_table(split_counts), document["counts"]["patients"]),
        "rejections": tables.rejection_table(rejected) if len(rejected) else None,
        "figure": tables.figure(
            split_figure,
            "The split",
            "How many images of each class, and of each level of what else is known, stand in each part. A level that"
            " stands in one part only is a trap.",
        ),
    }


def _analysis(entry: dict[str, Any], frames: dict[str, pd.DataFrame], context: StudyContext) -> dict[str, Any]:
    """The figures and tables of one backbone and clustering."""
    axes = (entry["backbone"], entry["clustering"])
    clusters, baseline, transfer = (tables.of_analysis(frames[name], *axes) for name in TABLES[:3])
    first, *others = tables.metrics_in(clusters, context.study.metric)
    return {
        "backbone": axes[0],
        "clustering": axes[1],
        "primary": _is_primary(entry, context),
        "figures": [
            tables.figure(Path(entry["figures"][name]), *text)
            for name, text in words.FIGURES_OF_CLUSTERING.items()
            if name in entry["figures"]
        ],
        "overview": tables.cluster_overview(clusters),
        "controls": tables.control_table(clusters, first),
        "other_controls": [tables.control_table(clusters, metric) for metric in others],
        "baseline": tables.baseline_table(baseline),
        "attribute_scores": tables.attribute_scores_table(frames["attribute-scores"], axes[0]),
        "metrics": tables.metrics_table(frames["metrics"], axes[0]),
        "confusion": tables.confusion_table(frames["confusion"], axes[0]),
        "transfer": tables.transfer_table(transfer, context.study.metric),
        "curve": tables.curve_table(frames["curve"], axes[0]),
    }


def _published(published: dict[str, Any]) -> str:
    """The published comparison in a sentence; the paragraph says what it is worth."""
    value = {name: tables.number(value) for name, value in published.items()}
    if published["T"] is None:
        return "The published comparison is not defined here: fewer than two clusters can be compared."
    text = (
        f"Over the {value['clusters']} compared clusters the spread of {value['metric']} is T = {value['T']}"
        f" (p = {value['p_size']} against sets of the same size, {value['p_balanced']} against the same class counts)"
    )
    if published["distance_rho"] is not None:
        rho = value["distance_rho"]
        text += f"; distances of the centroids and differences of the models go together with Spearman's ρ = {rho}"
    return f"{text}. This is description, not the verdict."


def _over_analyses(frame: pd.DataFrame) -> dict[str, Any]:
    """How stable the clusters of all analyses are, and what each analysis answers; the primary one first."""
    frame = frame.sort_values("primary", ascending=False, kind="stable")
    return {
        "stability": tables.plain_table(
            "How far the clusters come back. ARI is the adjusted Rand index: 1 where all images are divided in the same"
            " way, 0 where no more than by chance; over bootstraps of the training patients, over other seeds of the"
            " clustering, with the study's other backbones, and with the analysis that the verdict rests on. Clusters"
            " that do not come back are slices of one cloud rather than groups.",
            frame[list(STABILITY)],
        ),
        "sensitivity": tables.plain_table(
            "Every backbone and clustering of the study by the same test, with the verdict that it would give if it"
            " were the primary one; p (Holm) is adjusted over all but that one.",
            frame[list(SENSITIVITY)],
        ),
    }


def _costs(context: StudyContext) -> dict[str, Any] | None:
    subjects = {context.id, context.study.dataset, *getattr(context.dataset, "datasets", ())}
    found = cost_table(subjects)
    if found is None:
        return None
    return tables.plain_table(
        "Jobs on this study's dataset, those of other studies on it included, as each ran last: wall time and CPU time"
        " in seconds, one after another. Times are of the machines that ran them.",
        found,
    )


_ARITHMETIC = "{engine} in {precision}, lowest cosine similarity to torch in float32 {agreement}"


def _basis(context: StudyContext, document: dict[str, Any]) -> list[dict[str, Any]]:
    """What the numbers stand on: groups of names and values."""
    backbones = {
        name: f"{spec.model}, weights {spec.weights}, {spec.layer or spec.pooling}, pixels {spec.pixels}"
        for name, spec in context.backbones.items()
    }
    counts = document["counts"]
    by_class = counts["training_rows_by_class"]
    rows = {
        "training rows": counts["training_rows"],
        **{f"training rows of {name}": by_class[name] for name in context.dataset.class_names},
        "test images also in training": counts["test_images_also_in_training"],
        "test patients also in training": counts["test_patients_also_in_training"],
        "epochs chosen on": f"the {context.head.selection} images",
    }
    rules = {
        f"The {kind} rule that labels were drawn from": {
            name.replace("_", " "): tables.number(value) for name, value in fit.items()
        }
        for kind, fit in (document["rules"] or {}).items()
    }
    groups = {
        "Networks": backbones
        | {
            "weights of the primary analysis": document["weights"],
            "its arithmetic": _ARITHMETIC.format(**document["arithmetic"]),
        },
        "Rows": rows,
        **rules,
        "Seeds": dict(_seeds(context.model_dump(mode="json"))),
        "Software that wrote this page": versions(*LIBRARIES),
    }
    return [
        {"title": title, "items": [{"name": name, "value": str(value)} for name, value in values.items()]}
        for title, values in groups.items()
        if values
    ]


def _seeds(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every `seed` and `seeds` of the configuration, by key path."""
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if name in ("seed", "seeds"):
            yield f"{path}{name}", value
        yield from _seeds(value, f"{path}{name}.")
