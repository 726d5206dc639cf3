"""Write the page of the four systems on real images: what studies ran beside their clusters, in tables and figures.

Every number comes from the results. Sheets that show images of a collection are named and not copied.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from heteroscope.atomic import atomic_path
from heteroscope.config import FUSION
from heteroscope.errors import StoreError
from heteroscope.evaluation.regressions import MEASURES
from heteroscope.layout import END_TO_END
from heteroscope.report.branches import TITLES, caption_text
from heteroscope.report.tables import number
from heteroscope.report.words import FIGURES_OF_CLUSTERING
from heteroscope.stages.command import run
from heteroscope.store import read_json, read_table
from heteroscope.studies import Finished, cost_table, finished_studies, not_run, total_time, with_interval
from heteroscope.summary import commit, markdown

ABOUT = (
    "Small samples, small images and short trainings, so that all of it runs in minutes: the numbers show that the"
    " machinery works on real files, and measure no network, no classifier and no collection. Intervals hold 95 % and"
    " are over patients. The verdicts on hidden strata stand in the reports that a whole run makes. Sheets that show"
    " images of the collections are made too; they are not kept here, but named, and those reports show them."
)
BLIND = "**Every network here began with random weights**: its numbers say nothing of one that was trained on ImageNet."
NO_LESIONS = "No place of a lesion is known of these images, so the pointing game was not played."
PARTS = {"train": "training", "validation": "validation", "test": "test", "backbone": "share B"}
SCORES = {"accuracy": "accuracy", "patient_accuracy": "accuracy, patients", "f1": "macro F1", "auc": "AUC"}
OF_IMAGES_AND_PATIENTS = {
    "accuracy": "accuracy",
    "patient_accuracy": "accuracy, patients",
    "recognition_rate": "recognition rate",
    "auc": "AUC",
}
OF_CLASSES = {"precision": "precision", "recall": "recall", "f1": "F1"}
COLORS = 256  # of a kept figure, which is then a third as large


@dataclass
class Shown:
    """What a page shows.

    Attributes:
        folder: where its figures are kept, relative to the page.
        figures: file name → figure of the results.
        captions: of tables; the next table of the same kind needs none.
    """

    folder: Path
    figures: dict[str, Path] = field(default_factory=dict)
    captions: set[str] = field(default_factory=set)

    def figure(self, study: str, path: Path, title: str, caption: str) -> str:
        """Keep a figure, and show it in Markdown with what is to be seen."""
        name = f"{study}-{path.stem}.png"
        self.figures[name] = path
        return f"![{title}]({self.folder / name})\n\n*{title}. {caption}*"

    def caption(self, name: str) -> list[str]:
        """The caption of a table, the first time."""
        text = [] if name in self.captions else [caption_text(name)]
        self.captions.add(name)
        return text

    def write(self, beside: Path) -> None:
        """Write the figures that a page in the folder `beside` shows."""
        for name, path in self.figures.items():
            with Image.open(path) as image, atomic_path(beside / self.folder / name) as temporary:
                image.convert("RGB").quantize(COLORS).save(temporary, format="png", optimize=True)


@dataclass(frozen=True)
class Branch:
    """What a study ran beside its clusters, of one kind.

    Attributes:
        finished: the study.
        name: of the branch in `Layout.branches`.
        folders: name of each part → where its files stand.
        captions: file → caption that the report shows with it.
        page: what it has shown so far.
    """

    finished: Finished
    name: str
    folders: dict[str, Path]
    captions: dict[str, str]
    page: Shown

    def table(self, file: str) -> pd.DataFrame:
        """A table of the first part, which is the only one where parts are compared."""
        return read_table(next(iter(self.folders.values())) / file)

    def figures(self, *files: str) -> list[str]:
        """Figures of the first part."""
        part, folder = next(iter(self.folders.items()))
        title = f"{TITLES[self.name]} ({part})" if part else TITLES[self.name]
        return [
            self.page.figure(self.finished.id, folder / file, title, caption_text(self.captions[file]))
            for file in files
        ]

    def sheets(self, *files: str) -> str:
        """Where the sheets of images stand."""
        paths = [f"`{folder / file}`" for folder in self.folders.values() for file in files]
        return f"Sheets of images: {', '.join(paths)}."


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and its figures from what stands in results/."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--config", type=Path, required=True, help="configuration file of the studies")
    add("--seconds", type=int, help="what the run took, by the clock")
    add("--commit", default=None, help="the commit that the results were made at (default: the one checked out)")
    add("--made-by", default="make systems", help="the command that makes the page, for its second line")
    add("--page", type=Path, required=True, help="output: the Markdown page; its figures stand in images/ beside it")
    args = arguments.parse_args(argv)
    page = Shown(Path("images", args.page.stem))
    made_by = f"`{args.made_by}` at commit {args.commit or commit()}, from `{args.config}`"
    text = page_text(finished_studies(args.config), page, made_by=made_by, seconds=args.seconds)
    page.write(args.page.parent)
    with atomic_path(args.page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page_text(studies: Sequence[Finished], page: Shown, *, made_by: str, seconds: int | None) -> str:
    """The page in Markdown; what has not run is named as such.

    Raises:
        StoreError: nothing has run.
    """
    ran = [finished for finished in studies if has_run(finished)]
    if not ran:
        raise StoreError("results: no study of this configuration has run here; run `snakemake` with it first")
    blind = all("random" in weights for finished in ran for weights in weights_of(finished).values())
    parts = ["# The four systems on real images", f"Made by {made_by}. {BLIND if blind else ''}".strip(), ABOUT]
    parts += ["## What ran", shown(map(size_row, ran))]
    parts += [block for finished in studies for block in study_blocks(finished, page)]
    parts += ["## What it cost", total_time(seconds), markdown(cost_table(ran))]
    return "\n\n".join(parts) + "\n"


def study_blocks(finished: Finished, page: Shown) -> list[str]:
    """All that a study ran beside its clusters, in Markdown."""
    heading = f"## {finished.id}: {finished.study.title}"
    if not has_run(finished):
        return [heading, not_run(finished)]
    blocks = [heading, "\n".join(f"- `{name}`: {weights}" for name, weights in weights_of(finished).items())]
    for section in finished.layout.branches(finished.id):
        folders = {part["name"]: Path(part["files"][0][0]).parent for part in section["parts"]}
        captions = {Path(path).name: caption for path, caption in section["parts"][0]["files"]}
        branch = Branch(finished, section["branch"], folders, captions, page)
        blocks += [f"### {TITLES[branch.name]}", *BLOCKS[branch.name](branch)]
    return blocks


def has_run(finished: Finished) -> bool:
    """Whether all that a study runs beside its clusters is there."""
    return all(Path(path).is_file() for path in finished.layout.branch_files(finished.id))


def size_row(finished: Finished) -> dict[str, Any]:
    """How many images and patients a study has in each part, and how large its images are."""
    layout, split = finished.layout, read_table(Path(finished.layout.split_of_study(finished.id)))
    sizes = {layout.pixels_spec(part).size for name in finished.study.backbones for part in layout.parts(name)}
    row = {"study": finished.id, "images": len(split), "patients": split["group"].nunique()}
    row |= {title: int((split["part"] == part).sum()) for part, title in PARTS.items()}
    return row | {"pixels": ", ".join(f"{size}×{size}" for size in sorted(sizes))}


def weights_of(finished: Finished) -> dict[str, str]:
    """Backbone → its weights; of a fusion only where its parts are no backbones of the study."""
    models = [model for model in finished.layout.models(finished.id) if model["classifier"] != END_TO_END]
    weights = {model["backbone"]: str(read_json(Path(model["metrics"][0]))["weights"]) for model in models}
    return {
        name: text for name, text in weights.items() if FUSION not in name or set(name.split(FUSION)) - set(weights)
    }


# ------------------------------------------------------------------------------- branches


def models_blocks(branch: Branch) -> list[str]:
    """Backbones side by side, and their paired tests."""
    rows = [
        {"model": f"{row['backbone']} {row['classifier']}"}
        | scores(row, SCORES)
        | {"values": number(row["dimension"])}
        | {f"silhouette of {what}": number(row[f"silhouette_{what}"], 3) for what in ("labels", "clusters")}
        for row in records(branch.table("models.csv"))
    ]
    tests = [
        {"model": row["model"], "other": row["other"]} | differences(row)
        for row in records(branch.table("model-tests.csv"))
    ]
    return [
        *branch.page.caption("models"),
        shown(rows),
        *branch.page.caption("model-tests"),
        shown(tests),
        *branch.figures("roc.png"),
    ]


def networks_blocks(branch: Branch) -> list[str]:
    """Fine-tuned networks, by image, patient and class."""
    rows = []
    for part, folder in branch.folders.items():
        found = read_json(folder / "metrics.json")
        wrong = len(read_table(folder / "misclassified.csv"))
        rows.append(
            {"network": part, "parameters": found["trained_parameters"], "trained on": found["training_images"]}
            | {title: interval(found["metrics"][name]) for name, title in OF_IMAGES_AND_PATIENTS.items()}
            | {"wrong": f"{wrong} of {found['rows']['test']}"}
        )
    classes = [
        {"network": part, "class": row["class"], "images": row["images"]} | scores(row, OF_CLASSES)
        for part, folder in branch.folders.items()
        for row in records(read_table(folder / "report.csv"))
    ]
    return [
        shown(rows),
        *branch.page.caption("network-report"),
        shown(classes),
        *branch.figures("curves.png", "confusion.png"),
        branch.sheets("first.png", "wrong.png"),
    ]


def hybrids_blocks(branch: Branch) -> list[str]:
    """Classifiers on the embeddings: scores, times, and the pairs that the publication and its readers ask about."""
    times = {(row["backbone"], row["classifier"]): row for row in records(branch.table("hybrid-times.csv"))}
    rows = []
    for row in records(branch.table("hybrids.csv")):
        took = times[row["backbone"], row["classifier"]]
        rows.append(
            {"backbone": row["backbone"], "classifier": row["classifier"]}
            | scores(row, SCORES)
            | {"training (s)": number(took["training_s"]), "tuning (s)": number(took["tuning_s"])}
            | {"ms an image": number(took["ms_per_image"])}
        )
    tests, level = branch.table("hybrid-tests.csv"), branch.finished.study.level
    counted = [
        f"{(tests[f'{name}_p_holm'] <= level).sum()} in {what}"
        for name, what in (("mcnemar", "accuracy"), ("delong", "AUC"))
    ]
    twins = handcrafted_twins(branch.finished)
    asked = [
        {name: row[name] for name in ("backbone", "model", "other")} | differences(row)
        for row in records(tests)
        if row["other"] == END_TO_END or {row["model"], row["other"]} in twins
    ]
    return [
        *branch.page.caption("hybrids"),
        shown(rows),
        *branch.page.caption("hybrid-tests"),
        f"Of {len(tests)} pairs {' and '.join(counted)} differ at the level {level:g}. Those with the whole network,"
        " and those with and without handcrafted features:",
        shown(asked),
        *branch.figures("hybrid-times.png", "hybrid-confusions.png"),
    ]


def handcrafted_twins(finished: Finished) -> list[set[str]]:
    """Pairs of hybrids that differ in handcrafted features alone."""
    specs = {name: finished.layout.config.hybrids[name] for name in finished.study.hybrids}
    return [
        {name, other}
        for name, spec in specs.items()
        for other, plain in specs.items()
        if spec.handcrafted and spec.model_copy(update={"handcrafted": []}) == plain
    ]


def features_blocks(branch: Branch) -> list[str]:
    """Single features between the classes, and image search."""
    tested, searched = [], []
    for part, folder in branch.folders.items():
        found = read_json(folder / "summary.json")
        strongest, held_out = found["strongest"], found["held_out"] or {}
        tested.append(
            {"embedding": part, "values": found["features"], f"q ≤ {found['level']:g}": found["significant"]}
            | {"again on other images": number(held_out.get("significant_again"))}
            | {"strongest": f"{strongest['measure']} {strongest['effect']:.2f}", "its q": number(strongest["q"])}
            | {"redundant": f"{found['redundancy']['features']} in {found['redundancy']['groups']} groups"}
            | {"silhouette of labels": number(found["silhouette"]["labels"], 3)}
        )
        searched += [
            {"embedding": part, "k": row["k"], "queries": row["queries"], "chance": number(row["chance"], 3)}
            | {"precision at k": with_interval(row["precision"], row["low"], row["high"])}
            for row in records(read_table(folder / "retrieval.csv"))
            if row["query"] == "all"
        ]
    title, caption = FIGURES_OF_CLUSTERING["dendrogram"]
    study, primary = branch.finished.study, branch.finished.study.primary
    axes = (study.dataset, primary.backbone, study.split, study.augmentation, primary.clustering)
    tree = Path(branch.finished.layout.assignments(*axes)).with_name("dendrogram.png")
    return [
        shown(tested),
        *branch.figures("volcano.png", "correlations.png"),
        branch.page.figure(branch.finished.id, tree, f"{title} ({primary.backbone}, {primary.clustering})", caption),
        *branch.page.caption("retrieval"),
        shown(searched),
        branch.sheets("retrieval.png"),
    ]


def explanations_blocks(branch: Branch) -> list[str]:
    """The pointing game, where lesions are known."""
    table = branch.table("explanations.csv")
    if not table["n"].sum():
        return [NO_LESIONS]
    return [*branch.page.caption("explanations"), markdown(table.drop(columns="weights"))]


def examples_blocks(branch: Branch) -> list[str]:
    """How many decisions are explained, and the features that tell the classes apart best."""
    explained, features = [], []
    for part, folder in branch.folders.items():
        cams, found = read_table(folder / "cams.csv"), read_json(folder / "summary.json")
        explained.append(
            {
                "decisions of": part,
                "layers": ", ".join(found["layers"].values()),
                "on the sheet": int(cams["example"].sum()),
            }
            | {
                "called right": int(cams.loc[cams["example"], "right"].sum()),
                "maps without a place": found["without_a_peak"],
            }
            | {"largest difference of a probability": number(found["probability_difference"]["largest"])}
        )
        features += [
            {"embedding": part, "feature": f"{row['backbone']} {row['number']}", "q": number(row["q"])}
            | {"effect": f"{row['measure']} {row['effect']:.2f}"}
            for row in records(read_table(folder / "features.csv"))
        ]
    return [
        *branch.page.caption("explain-examples"),
        shown(explained),
        "The difference is between the network whose maps these are and the one that embedded.",
        *branch.page.caption("explain-features"),
        shown(features),
        branch.sheets("examples.png", "features.png"),
    ]


def regressions_blocks(branch: Branch) -> list[str]:
    """Numbers predicted from the embeddings."""
    table = branch.table("regressions.csv")
    rows = [
        {name: row[name] for name in ("backbone", "regression", "target")}
        | scores(row, MEASURES)
        | {f"{title} of the mean": number(row[f"{name}_of_mean"], 3) for name, title in MEASURES.items()}
        for row in records(table)
    ]
    return [*branch.page.caption("regressions"), shown(rows)]


def scatters_blocks(branch: Branch) -> list[str]:
    """Predicted against true numbers."""
    return branch.figures("scatter.png")


BLOCKS: dict[str, Callable[[Branch], list[str]]] = {
    "models": models_blocks,
    "networks": networks_blocks,
    "hybrids": hybrids_blocks,
    "regressions": regressions_blocks,
    "scatters": scatters_blocks,
    "features": features_blocks,
    "explanations": explanations_blocks,
    "examples": examples_blocks,
}


# ---------------------------------------------------------------------------------- cells


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def shown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as a table in Markdown."""
    return markdown(pd.DataFrame(list(rows)))


def scores(row: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, str]:
    """Scores of a row of a table with their intervals, by title."""
    return {title: with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name, title in titles.items()}


def interval(score: Mapping[str, float]) -> str:
    """A score of a JSON file with its interval."""
    return with_interval(score["mean"], score["low"], score["high"])


def differences(row: Mapping[str, Any]) -> dict[str, str]:
    """What a paired test says: differences of accuracy and AUC with their intervals and p, adjusted p in brackets."""
    told = {}
    for metric, title, test, by in (("accuracy", "accuracy", "mcnemar", "McNemar"), ("auc", "AUC", "delong", "DeLong")):
        ends = [row[f"{metric}_{end}"] for end in ("gain", "low", "high")]
        gain, low, high = (number(None) if pd.isna(end) else f"{end:+.3f}" for end in ends)
        told[f"{title}, difference"] = f"{gain} ({low} to {high})"
        told[f"p, {by} (Holm)"] = f"{number(row[f'{test}_p'])} ({number(row[f'{test}_p_holm'])})"
    return told


if __name__ == "__main__":
    run(main)
