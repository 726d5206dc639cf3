"""Tables of the report as plain data: heads, rows of text, and a caption."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from heteroscope.errors import StoreError
from heteroscope.report.words import AVERAGES, COLUMNS, INTERVAL, REJECTIONS

Cell = dict[str, Any]
Table = dict[str, Any]
MISSING = "–"
LARGEST_PICTURE = 150_000  # bytes of a PNG that stands in a page as it is
PICTURE_QUALITY = 85
ARMS = {"size": "random sets of the same size", "balanced": "random sets with the same class counts"}


def number(value: Any, decimals: int | None = None) -> str:
    """A value for a reader: counts in full, other numbers to three digits or so many decimals."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_spread(value: float, spread: float, decimals: int = 3) -> str:
    """A mean and its standard deviation; the latter only where there is one."""
    if not np.isfinite(value) or not np.isfinite(spread):
        return number(float(value), decimals)
    return f"{value:.{decimals}f} ± {spread:.{decimals}f}"


def score_cell(mean: float, sd: float, low: float, high: float) -> Cell:
    """A score, its spread over seeds, and the ends of its interval; the latter only where there are any."""
    interval = f" ({number(float(low), 3)} to {number(float(high), 3)})" if np.isfinite(low) else ""
    return {"text": with_spread(mean, sd) + interval, "numeric": True, "muted": False}


def cell(text: Any, *, decimals: int | None = None, muted: bool = False) -> Cell:
    """One cell; numbers are set to the right."""
    numeric = isinstance(text, int | float | np.number) and not isinstance(text, bool | np.bool_)
    return {"text": number(text, decimals), "numeric": numeric, "muted": muted}


def table(
    caption: str, head: Sequence[str], rows: list[list[Cell]], *, groups: Sequence[tuple[str, int]] = ()
) -> Table:
    """A table for the template.

    Args:
        caption: what it says.
        head: the columns' names.
        rows: one list of cells a row, as long as the head.
        groups: names over several columns, each with how many it covers.
    """
    assert all(len(row) == len(head) for row in rows)
    numeric = [any(row[place]["numeric"] for row in rows) for place in range(len(head))]
    columns = [{"text": text, "numeric": right} for text, right in zip(head, numeric, strict=True)]
    spans = [{"text": text, "span": span} for text, span in groups]
    return {"caption": caption, "groups": spans, "head": columns, "rows": rows}


def data_uri(kind: str, content: bytes) -> str:
    """Content as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(path: Path) -> str:
    """A PNG as an address that needs no request; a large one, of photographs, as WebP of a few times fewer bytes.

    Raises:
        StoreError: it is not there.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run the workflow again to make it") from None
    if len(content) <= LARGEST_PICTURE:
        return data_uri("image/png", content)
    with Image.open(io.BytesIO(content)) as image, io.BytesIO() as smaller:
        image.convert("RGB").save(smaller, format="WEBP", quality=PICTURE_QUALITY)
        return data_uri("image/webp", smaller.getvalue())


def figure(path: Path, title: str, caption: str) -> dict[str, Any]:
    """A PNG with its words for the template; see `picture`."""
    return {"src": picture(path), "path": str(path), "title": title, "caption": caption}


def plain_table(caption: str, frame: pd.DataFrame) -> Table:
    """A frame as it stands, with readable column names; `<name>_low` and `<name>_high` stand behind their `<name>`."""
    within = [name for name in frame.columns if {f"{name}_low", f"{name}_high"} <= set(frame.columns)]
    shown = frame.columns.drop([f"{name}{end}" for name in within for end in ("_low", "_high")])
    head = [COLUMNS.get(name, name.replace("_", " ")) for name in shown]
    rows = [
        [_within(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))) if name in within else cell(row[name])
         for name in shown]
        for row in frame.astype(object).to_dict("records")
    ]  # fmt: skip
    return table(caption, head, rows)


def _within(value: Any, low: Any, high: Any) -> Cell:
    """A value with the ends of its interval, where it has one."""
    ends = "" if pd.isna(low) else f" ({number(low)} to {number(high)})"
    return {"text": number(value) + ends, "numeric": True, "muted": False}


def of_analysis(frame: pd.DataFrame, backbone: str, clustering: str) -> pd.DataFrame:
    """The rows of one backbone and clustering."""
    return frame[(frame["backbone"] == backbone) & (frame["clustering"] == clustering)].reset_index(drop=True)


def metrics_in(clusters: pd.DataFrame, first: str) -> list[str]:
    """The metrics that a clusters table holds, the study's own first."""
    found = [name.removesuffix("_size_gap") for name in clusters.columns if name.endswith("_size_gap")]
    return sorted(found, key=lambda name: name != first)


def cluster_overview(clusters: pd.DataFrame) -> Table:
    """What each cluster holds, and the gain of its own head."""
    class_counts = [name for name in clusters.columns if name.startswith("n_")]
    counted = ["cluster", "size", *class_counts]
    others = [
        "within_distance",
        "jaccard",
        "test_size",
        "compared",
        "gain",
        "gain_p",
        "endless",
        "gain_p_holm",
        "gained",
    ]
    gained = clusters[["accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"]].itertuples(index=False)
    endless = clusters[["gain_p_low", "gain_p_high"]].itertuples(index=False)
    told = clusters.assign(
        gained=[_gain_cell(*row) for row in gained],
        endless=[f"{low:.3g} to {high:.3g}" if pd.notna(low) else "" for low, high in endless],
    )
    frame = told[[*counted, *others]].astype({"compared": bool}).astype(object)
    classes = [name.removeprefix("n_") for name in class_counts]
    return table(
        "What each cluster holds. Comes back: its largest Jaccard similarity to a cluster of a bootstrap of the"
        " patients, on average; 0.75 or more is called stable. Gain: how much lower the log loss of the cluster's own"
        " head is than the pooled head's, on the cluster's test images; its p is from redrawn labels. The accuracy"
        " gain's interval is over patients, conditional on clusters and heads.",
        ["cluster", "all", *classes, *(COLUMNS.get(name, name) for name in others)],
        [[cell(value) for value in row] for row in frame.itertuples(index=False, name=None)],
        groups=[("", 1), ("training rows", 1 + len(classes)), ("", len(others))],
    )


def _gain_cell(gain: float, low: float, high: float) -> str:
    """A cluster's accuracy gain and its interval; empty where there is none."""
    return f"{gain:+.3f} ({low:+.3f} to {high:+.3f})" if pd.notna(gain) else ""


def control_table(clusters: pd.DataFrame, metric: str) -> Table:
    """One metric of each cluster's model on the whole test set, against both controls."""
    rows = []
    for row in clusters.to_dict("records"):
        cells = [cell(row["cluster"]), _spread_cell(row, metric)]
        for arm in ARMS:
            base = f"{metric}_{arm}"
            cells += [
                _spread_cell(row, base),
                cell(row[f"{base}_gap"], decimals=3),
                cell(row[f"{base}_p"]),
            ]
        rows.append(cells)
    name = COLUMNS.get(metric, metric)
    return table(
        f"{name[0].upper()}{name[1:]} of models retrained on each cluster and on random sets, on the whole test set:"
        " mean ± standard deviation (own model: over seeds; random sets: over draws), gap, two-sided permutation p.",
        ["cluster", "own model", *["mean", "gap", "p"] * len(ARMS)],
        rows,
        groups=[("", 2), *((text, 3) for text in ARMS.values())],
    )


def _spread_cell(row: dict[Any, Any], name: str) -> Cell:
    return {"text": with_spread(row[name], row[f"{name}_sd"]), "numeric": True, "muted": False}


def baseline_table(baseline: pd.DataFrame) -> Table:
    """The pooled head on the whole test set and on each cluster's test images."""
    metrics = [name.removesuffix("_sd") for name in baseline.columns if name.endswith("_sd")]
    counts = [name for name in baseline.columns if name.startswith("test_") and name != "test_size"]
    head = ["cluster", "all", *(name.removeprefix("test_") for name in counts), "patients"]
    rows = [
        [
            cell(str(row["cluster"])),
            *(cell(row[name]) for name in ["test_size", *counts, "patients"]),
            *(score_cell(row[name], *(row[f"{name}_{key}"] for key in ("sd", "low", "high"))) for name in metrics),
        ]
        for row in baseline.to_dict("records")
    ]
    return table(
        "The head trained on all training images, on the whole test set and on the test images of each cluster: mean ±"
        f" standard deviation over seeds, and {INTERVAL}. Patient accuracy: a patient is called by the mean"
        " probability over the images; patients whose images differ in their label do not count. Patient recognition"
        " rate: the mean over patients of the share of their images that is right.",
        [*head, *(COLUMNS.get(metric, metric) for metric in metrics)],
        rows,
        groups=[("", 1), ("test images", 1 + len(counts)), ("", 1 + len(metrics))],
    )


def metrics_table(metrics: pd.DataFrame, backbone: str) -> Table:
    """The pooled head of one backbone, class by class and averaged over classes."""
    frame = metrics[(metrics["backbone"] == backbone) & metrics["average"].isin([*AVERAGES, "class"])]
    frame = frame[frame["metric"] != "recall"]  # sensitivity by another name
    columns = list(dict.fromkeys(frame["metric"]))
    lines: dict[str, dict[str, Cell]] = {}
    for row in frame.to_dict("records"):
        name = str(row["class"]) if row["average"] == "class" else AVERAGES[row["average"]]
        lines.setdefault(name, {})[row["metric"]] = score_cell(*(row[key] for key in ("mean", "sd", "low", "high")))
    order = sorted(lines, key=lambda name: name in AVERAGES.values())  # classes first
    return table(
        "The head trained on all training images, on the whole test set, each class against the rest: mean ± standard"
        f" deviation over seeds, and {INTERVAL}.",
        ["class", *(COLUMNS.get(metric, metric) for metric in columns)],
        [[cell(name), *(lines[name][metric] for metric in columns)] for name in order],
    )


def attribute_scores_table(scores: pd.DataFrame, backbone: str) -> Table:
    """The pooled head of one backbone in each level of each attribute."""
    frame = scores[scores["backbone"] == backbone]
    classes = frame["class"].dropna().unique().tolist()
    rows, columns = [], []
    for (attribute, level), of_level in frame.groupby(["attribute", "level"], sort=False):
        whole, by_class = (of_level[of_level["class"].isna() == which] for which in (True, False))
        told = whole.iloc[0]
        cells = [attribute, level, told["images"], *by_class["images"], told["patients"]]
        few = bool(whole.loc[whole["metric"] == "accuracy", "few"].all())
        scored = of_level[["value", "low", "high"]].itertuples(index=False)
        rows.append(
            [*(cell(text, muted=few) for text in cells), *(score_cell(v, np.nan, *ends) for v, *ends in scored)]
        )
        columns = whole["metric"].tolist()
    names = [*(COLUMNS.get(name, name) for name in columns), *(f"sensitivity of {name}" for name in classes)]
    return table(
        "The head trained on all training images, in each level of each attribute of the test images: mean over seeds,"
        f" and {INTERVAL}. Pale: too few patients for a number. This describes and tests nothing; of many levels some"
        " lie far off by chance.",
        ["attribute", "level", "all", *map(str, classes), "patients", *names],
        rows,
        groups=[("", 2), ("test images", 1 + len(classes)), ("", 1 + len(names))],
    )


def confusion_table(confusion: pd.DataFrame, backbone: str) -> Table:
    """What the pooled head of one backbone calls the test images of each class."""
    frame = confusion[confusion["backbone"] == backbone]
    names = list(dict.fromkeys(frame["class"]))
    images = frame.set_index(["class", "predicted"])["images"]
    return table(
        "What the head trained on all training images calls the test images of each class: a row a class, images as a"
        " mean over seeds.",
        ["class", *(f"called {name}" for name in names)],
        [[cell(str(name)), *(cell(float(images[name, called])) for called in names)] for name in names],
    )


def curve_table(curve: pd.DataFrame, backbone: str) -> Table:
    """The pooled head of one backbone by training size."""
    frame = curve[curve["backbone"] == backbone]
    metrics = [name.removesuffix("_sd") for name in frame.columns if name.endswith("_sd")]
    sizes = ["share", "subsets", "training_images", "training_rows"]
    rows = []
    for row in frame.to_dict("records"):
        cells = [cell(row[name]) for name in sizes]
        for metric in metrics:
            quartiles = " to ".join(number(row[f"{metric}_{name}"], 3) for name in ("q25", "q75"))
            cells += [_spread_cell(row, metric), {"text": quartiles, "numeric": True, "muted": False}]
        rows.append(cells)
    return table(
        "The head trained on random subsets of the training images, on the whole test set: mean ± standard deviation"
        " and quartiles over subsets. The last row is the head trained on all images.",
        ["share", "subsets", "images", "rows", *["mean", "quartiles"] * len(metrics)],
        rows,
        groups=[("", 2), ("training", 2), *((COLUMNS.get(metric, metric), 2) for metric in metrics)],
    )


def transfer_table(transfer: pd.DataFrame, metric: str) -> Table:
    """A row a model, a column a cluster of test images."""
    tested = sorted(transfer["tested_on"].unique())
    rows = []
    for model, group in transfer.groupby("model"):
        by_column = group.set_index("tested_on").to_dict("index")
        cells = [
            {
                "text": f"{number(by_column[j][metric], 3)} ({by_column[j]['images']})",
                "numeric": True,
                "muted": bool(by_column[j]["few"]),
            }
            for j in tested
        ]
        rows.append([cell(f"model of {model}"), *cells])
    name = COLUMNS.get(metric, metric)
    return table(
        f"{name[0].upper()}{name[1:]} of each cluster's model (rows) on the test images of each cluster (columns), with"
        " their number; pale where they are too few to say anything.",
        ["", *(f"on {j}" for j in tested)],
        rows,
    )


def class_table(classes: pd.DataFrame, counts: pd.DataFrame, patients: dict[str, int]) -> Table:
    """Images of every class in every part, and the patients of each part."""
    by_class = counts[counts["variable"] == "class"]
    parts = list(dict.fromkeys(by_class["part"]))
    parts = [part for part in ("train", "validation", "test", "backbone") if part in parts]
    images = {(str(row["level"]), row["part"]): int(row["images"]) for row in by_class.to_dict("records")}
    rows = [
        [
            cell(str(row["class"])),
            *(cell(int(row[name])) for name in ("images", "distinct", "groups")),
            *(cell(images.get((str(row["class"]), part), 0)) for part in parts),
        ]
        for row in classes.to_dict("records")
    ]
    total = [cell("patients", muted=True), *[cell("", muted=True)] * 3, *(cell(patients.get(p, 0)) for p in parts)]
    return table(
        "Images by class and part of the split.",
        ["class", "images", "distinct images", "patients", *parts],
        [*rows, total],
    )


def rejection_table(rejected: pd.DataFrame) -> Table:
    """How many rows of the source were left out, by reason, the most frequent first."""
    counts = rejected["reason"].value_counts()
    rows = [[cell(reason), cell(int(n)), cell(REJECTIONS.get(str(reason), ""))] for reason, n in counts.items()]
    return table("Rows of the source that take no part.", ["reason", "rows", "meaning"], rows)
