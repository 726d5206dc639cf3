"""The page shows every number of the tables, asks nothing of the network, and trusts no name."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heteroscope import config, provenance, report
from heteroscope.data.quality import REASONS
from heteroscope.errors import StoreError
from heteroscope.evaluation import account, comparison, performance
from heteroscope.evaluation.attribute_scores import attribute_scores
from heteroscope.evaluation.sensitivity import sensitivity_table
from heteroscope.evaluation.verdict import label_test
from heteroscope.figures import comparison as figures
from heteroscope.figures.style import save_figure
from heteroscope.layout import FIGURES_OF_CLUSTERING
from heteroscope.report import words
from heteroscope.stages.report import main
from heteroscope.store import create_h5, write_json, write_strings, write_table

NASTY = '<b>disease & "co"</b>'
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
VOID = {"meta", "img", "br", "link", "input", "hr"}


def study_context(clusterings: tuple[str, ...] = ("kmeans-3",), **changes: object) -> config.StudyContext:
    return config.StudyContext(
        id="tiny",
        study=config.Study(
            title="A tiny study",
            dataset="eyes",
            split="holdout",
            backbones=["small-cnn"],
            clusterings=list(clusterings),
            head="linear",
            controls="few",
            primary=config.Primary(backbone="small-cnn", clustering="kmeans-3"),
        ),
        dataset=config.FolderDataset(adapter="folder", root="eyes", classes={"normal": ["n"], NASTY: ["d"]}),
        split=config.Split(seed=4711),
        augmentation=None,
        backbones={"small-cnn": config.Backbone(model="small-cnn", weights="random", pixels="square")},
        clusterings={name: config.Clustering(k=3, seed=12) for name in clusterings},
        head=config.Head(seeds=2),
        controls=config.Controls(repeats=20, draws=39, min_class=5, min_test=5),
        **changes,
    )


class Study:
    """A study's results in a folder, and its page."""

    def __init__(self, folder: Path, analysis, clusterings: tuple[str, ...] = ("kmeans-3",)) -> None:
        self.folder, self.context = folder, study_context(clusterings)
        analyses = [self._named(analysis, name) for name in clusterings]
        controls, metric = self.context.controls, self.context.study.metric
        self.attributes = pd.DataFrame(
            {"attribute": ["camera", "age"], "measure": ["Cramér's V", "eta squared"], "association": [0.8123, 0.0456],
             "p": [0.001, 0.731], "p_holm": [0.002, 0.731], "images": [150, 149], "levels": [3, 61]}
        )  # fmt: skip
        split = analysis.assignments[analysis.assignments["view"] == 0]
        tests = [label_test(a, seed=0, level=0.05) for a in analyses]
        primary = clusterings.index("kmeans-3")
        self.tables = {
            "clusters": pd.concat([comparison.cluster_table(a, controls, metric) for a in analyses]),
            "baseline": pd.concat([comparison.baseline_table(a, metric) for a in analyses]),
            "metrics": performance.metrics_table(analyses[0]),
            "confusion": performance.confusion_table(analyses[0]),
            "transfer": pd.concat([comparison.transfer_table(a, metric) for a in analyses]),
            "attributes": self.attributes,
            "attribute-scores": attribute_scores(analyses[0], self._images_of(split), "f1"),
            "curve": comparison.curve_table(analyses[0], metric),
            "sensitivity": sensitivity_table(self.context, analyses, tests, split),
        }
        for name, table in self.tables.items():
            write_table(table, folder / f"compare/{name}.csv")
        self.document = account.verdict_document(
            self.context,
            analyses[primary],
            tests[primary],
            attributes=self.attributes,
            sensitivity=self.tables["sensitivity"],
            split=split,
        )
        write_json(self.document, folder / "compare/verdict.json")
        save_figure(figures.draw_gain(tests[primary], self.document["verdict"], 0.05), folder / "compare/gain.png")
        for name in (
            "retraining",
            "power",
            "curve",
            "sensitivity",
            "transfer",
            "baseline",
            "attribute-scores",
            "confusion",
            "split",
            *FIGURES_OF_CLUSTERING,
        ):
            (folder / f"compare/{name}.png").write_bytes(PNG)
        self._write_dataset(analysis)
        self.plan = [
            {"backbone": a.backbone, "clustering": a.clustering,
             "figures": {name: str(folder / f"compare/{name}.png") for name in FIGURES_OF_CLUSTERING},
             **self._write_explored(a)}
            for a in analyses
        ]  # fmt: skip

    def all_files(self) -> dict[str, object]:
        """What the workflow gives the stage; of a branch a figure and a table."""
        write_table(pd.DataFrame({"q": [0.03125], "class": [NASTY]}), self.folder / "features.csv")
        files = [(str(self.folder / "compare/pca.png"), "volcano"), (str(self.folder / "features.csv"), "features")]
        branch = {"branch": "features", "parts": [{"name": "net, welch", "files": files}]}
        return {"analyses": self.plan, "branches": [branch]}

    def _named(self, analysis, clustering: str):
        return replace(analysis, class_names=["normal", NASTY], clustering=clustering)

    def _write_explored(self, analysis) -> dict[str, object]:
        """What the explorer reads of an analysis; its images are those of the split."""
        folder = self.folder / "explored" / analysis.clustering
        split = analysis.assignments[analysis.assignments["view"] == 0]
        names = split["image_id"].tolist()
        generator = np.random.default_rng(1)
        points = generator.normal(size=(len(names), 4))
        points[7, 2:] = np.nan  # an image that UMAP does not show
        columns = dict(zip(("pca_1", "pca_2", "umap_1", "umap_2"), points.T, strict=True))
        write_table(pd.DataFrame({"image_id": names, **columns}), folder / "projections.parquet")
        write_table(analysis.assignments, folder / "assignments.parquet")
        tested = analysis.test
        flat = analysis.baseline.reshape(-1, analysis.baseline.shape[-1])
        seeds = len(analysis.baseline)
        predictions = {"seed": np.repeat(np.arange(seeds), len(tested)), "image_id": [*tested["image_id"]] * seeds,
                       "label": [*tested["label"]] * seeds, "probability_normal": flat[:, 0],
                       "probability_disease": flat[:, 1]}  # fmt: skip
        write_table(pd.DataFrame(predictions), folder / "predictions.parquet")
        number = np.arange(len(names))
        images = {"image_id": names, "path": [f"{NASTY}/{name}.png" for name in names],
                  "group": split["group"].to_numpy(), "attr_site": np.array(["a", "b"])[number % 2],
                  "attr_age": np.where(number == 3, np.nan, number / 7)}  # fmt: skip
        write_table(pd.DataFrame(images), self.folder / "images.parquet")
        with create_h5(self.folder / "pixels.h5", "pixels", {"spec": {"channel_order": "rgb"}}) as file:
            pixels = generator.integers(0, 255, (len(names), 1, 1, 1)) * np.ones((1, 3, 16, 16))
            file.create_dataset("pixels", data=pixels.astype(np.uint8))
            write_strings(file, "image_id", names[::-1])
        return {
            "k": analysis.k,
            "assignments": str(folder / "assignments.parquet"),
            "projections": str(folder / "projections.parquet"),
            "folds": [{"predictions": str(folder / "predictions.parquet")}],
        }

    def _images_of(self, split: pd.DataFrame) -> pd.DataFrame:
        """Images of two sites."""
        site = np.array(["a", NASTY])[np.arange(len(split)) % 2]
        return split[["image_id", "group"]].assign(attr_site=site)

    def _write_dataset(self, analysis) -> None:
        classes = pd.DataFrame(
            {"class": ["normal", NASTY], "label": [0, 1], "images": [77, 73], "distinct": [76, 71], "groups": [41, 39]}
        )
        write_table(classes, self.folder / "dataset/classes.csv")
        reasons = ["unlabelled"] * 1234 + ["truncated"] * 2
        rejected = pd.DataFrame({"path": "a.png", "label": "x", "reason": reasons, "detail": ""})
        write_table(rejected, self.folder / "dataset/rejected.csv")
        rows = [("class", name, part, 31 + i) for i, (name, part) in enumerate(
            (name, part) for name in ("normal", NASTY) for part in ("train", "test"))]  # fmt: skip
        write_table(
            pd.DataFrame([*rows, ("camera", "A", "train", 999)], columns=["variable", "level", "part", "images"]),
            self.folder / "counts.csv",
        )

    def page(self) -> str:
        main(
            [
                *("--context", config.dump(self.context), "--plan", json.dumps(self.all_files())),
                *("--compare", str(self.folder / "compare"), "--dataset", str(self.folder / "dataset")),
                *("--split-counts", str(self.folder / "counts.csv")),
                *("--split-figure", str(self.folder / "compare/split.png")),
                *("--images", str(self.folder / "images.parquet"), "--pixels", str(self.folder / "pixels.h5")),
                *("--output", str(self.folder / "index.html")),
            ]
        )
        return (self.folder / "index.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags with their attributes, visible text, table cells, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open or "script" in self.open:
            return
        self.words.append(data)
        if "td" in self.open:
            self.cells[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def study(tmp_path_factory, analysis) -> Study:
    return Study(tmp_path_factory.mktemp("study"), analysis)


@pytest.fixture(scope="module")
def raw(study) -> str:
    return study.page()


@pytest.fixture(scope="module")
def page(raw) -> Page:
    return Page(raw)


def test_page_makes_no_request(raw, page):
    addresses = [attrs[name] for _, attrs in page.tags for name in ("src", "href", "srcset", "data") if name in attrs]
    assert addresses
    assert all(address.startswith(("data:", "#")) or address == "../index.html" for address in addresses)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    markup, policy = re.sub(r"<script.*?</script>", "", raw, flags=re.DOTALL), "default-src 'none'"
    assert not re.search(r"url\(|@import|https?://", markup)
    assert any((attrs.get("content") or "").startswith(policy) for _, attrs in page.tags)


def test_every_picture_is_inlined_as_it_stands(study, page):
    pictures = {attrs["alt"]: attrs["src"] for tag, attrs in page.tags if tag == "img"}
    assert len(pictures) == 9 + 1 + len(FIGURES_OF_CLUSTERING) + 1  # of the study, the split, clusters, a branch
    content = {base64.b64decode(src.removeprefix("data:image/png;base64,")) for src in pictures.values()}
    assert content == {PNG, (study.folder / "compare/gain.png").read_bytes()}
    assert all(len(alt) > 30 for alt in pictures)


def test_what_finds_no_room_is_named_and_the_study_itself_is_whole(study, raw, monkeypatch):
    download = len(
        next(attrs["href"] or "" for tag, attrs in Page(raw).tags if "features.csv" in (attrs.get("download") or ""))
    )
    monkeypatch.setattr("heteroscope.report.page.LATER_BYTES", download)
    small = Page(study.page())
    pictures = [attrs for tag, attrs in small.tags if tag == "img"]
    assert len(pictures) == 9 + 1 + len(FIGURES_OF_CLUSTERING)
    assert str(study.folder / "compare/pca.png") in small.text
    assert "features.csv" in str(small.tags), "a smaller table behind it still finds room"
    monkeypatch.setattr("heteroscope.report.page.LATER_BYTES", download - 1)
    assert str(study.folder / "features.csv") in Page(study.page()).text


def test_every_number_of_the_tables_is_on_the_page(study, page):
    """Each number of a CSV stands in some cell, to the cell's own precision."""
    shown = np.array([float(n) for cell in page.cells for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", cell)])
    for name, table in study.tables.items():
        for column in table.select_dtypes("number"):
            for value in table[column].dropna().astype(float):
                tolerance = max(0.00051, 0.0051 * abs(value))
                assert np.abs(shown - value).min() <= tolerance, (name, column, value)


def test_values_stand_in_their_own_row_and_column(study, raw):
    table = next(t for t in _tables(raw) if "own model" in t[0])
    clusters = pd.read_csv(study.folder / "compare/clusters.csv")
    for row, expected in zip(table[1:], clusters.to_dict("records"), strict=True):
        assert row[1] == f"{expected['accuracy']:.3f} ± {expected['accuracy_sd']:.3f}"
        assert row[2] == f"{expected['accuracy_size']:.3f} ± {expected['accuracy_size_sd']:.3f}"
        assert row[3] == f"{expected['accuracy_size_gap']:.3f}"
        assert float(row[4]) == pytest.approx(expected["accuracy_size_p"], rel=0.01)
        assert row[6] == f"{expected['accuracy_balanced_gap']:.3f}"


def test_transfer_is_a_matrix_of_models_and_test_sets(study, raw):
    table = next(t for t in _tables(raw) if t[0][1:] == ["on 0", "on 1", "on 2"])
    expected = pd.read_csv(study.folder / "compare/transfer.csv").set_index(["model", "tested_on"])
    for model in range(3):
        for tested in range(3):
            row = expected.loc[(model, tested)]
            assert table[1 + model][1 + tested] == f"{row['accuracy']:.3f} ({row['images']})"


def _tables(raw: str) -> list[list[list[str]]]:
    """Tables as rows of texts, the last head row first."""
    found = []
    for body in re.findall(r"<table[^>]*>(.*?)</table>", raw, re.DOTALL):
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall("<tr>(.*?)</tr>", body)]
        rows = [[html.unescape(re.sub("<[^>]+>", "", cell)) for cell in row] for row in rows]
        heads = body.split("</thead>")[0].count("<tr>")
        found.append(rows[heads - 1 :])
    return found


def test_downloads_are_the_exact_files(study, page):
    files = {attrs["download"]: attrs["href"] for tag, attrs in page.tags if tag == "a" and "download" in attrs}
    stored = {f"{name}.csv": study.folder / f"compare/{name}.csv" for name in study.tables}
    stored["-".join([*study.folder.parts[-4:], "features.csv"])] = study.folder / "features.csv"
    assert set(files) == set(stored)
    for name, address in files.items():
        content = base64.b64decode(address.removeprefix("data:text/csv;base64,"))
        assert content == stored[name].read_bytes()


def test_the_configuration_is_shown_with_its_digest(raw):
    [text] = re.findall(r"<pre>(.*?)</pre>", raw, re.DOTALL)
    lines = html.unescape(text)
    assert "seed: 4711" in lines
    assert "hybrids" not in lines  # which the report is not told of
    assert f"<code>{hashlib.sha256(lines.encode()).hexdigest()}</code>" in raw


def test_a_branch_is_shown(page):
    assert "Features and search net, welch" in page.text
    assert "0.0312" in page.cells


def test_the_verdict_its_account_and_warnings_are_shown(study, page):
    document = study.document
    assert document["verdict"] in [word.strip() for word in page.words]
    assert words.ANSWERS[document["verdict"]] in page.text
    assert document["reason"] in page.text
    finding, *topics = document["account"]
    assert finding["topic"] == "The finding"  # which the answer above tells
    assert len(topics) >= 5
    for part in topics:
        assert f"{part['topic']} {part['text']}" in page.text
    test = document["test"]
    low, high = test["accuracy_gain_interval_90"]
    assert f"{100 * test['accuracy_gain']:+.1f} points" in page.text
    assert f"(90 % interval {100 * low:+.1f} to {100 * high:+.1f})" in page.text
    assert len(document["warnings"]) >= 2
    for warning in document["warnings"]:
        assert warning in page.text.replace(" : ", ": ").replace(" :", ":")


def test_names_are_escaped(raw, page):
    assert "<b>disease" not in raw
    assert NASTY in page.text
    assert NASTY in page.cells


def test_data_section_counts_classes_parts_and_rejections(page, raw):
    classes = next(t for t in _tables(raw) if t[0][:3] == ["class", "images", "distinct images"])
    assert classes[0][4:] == ["train", "test"]
    assert classes[1] == ["normal", "77", "76", "41", "31", "32"]
    assert classes[2] == [NASTY, "73", "71", "39", "33", "34"]
    assert classes[3][4:] == ["45", "30"]
    rejections = next(t for t in _tables(raw) if t[0] == ["reason", "rows", "meaning"])
    assert [row[:2] for row in rejections[1:]] == [["unlabelled", "1234"], ["truncated", "2"]]
    assert "the source has 1386 rows, of which 150 are used and 1236 are not" in page.text


def test_what_it_stands_on_names_weights_seeds_and_configuration(study, page):
    assert "trained (sha256 0123abcd)" in page.text
    assert "openvino in bfloat16, lowest cosine similarity to torch in float32 0.99991" in page.text
    assert "split.seed 4711" in page.text
    assert "clusterings.kmeans-3.seed 12" in page.text
    assert "min_class: 5" in page.text
    assert "0.83" in page.text


def test_every_arm_is_explained_and_an_unused_one_is_marked(study, raw, page):
    assert "(left out)" not in page.text
    for arm in ("cluster", "size", "balanced", "labels", "gaussian"):
        assert f"<code>{arm}</code>" in raw


def test_links_within_the_page_lead_somewhere(page):
    known = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"][1:] for tag, attrs in page.tags if tag == "a" and attrs["href"].startswith("#")} <= known


def test_primary_analysis_comes_first_and_others_are_sensitivity(tmp_path, analysis):
    study = Study(tmp_path, analysis, ("kmeans-9", "kmeans-3"))
    text = Page(study.page()).text
    assert text.index("small-cnn, kmeans-3 (the verdict rests on this one)") < text.index("small-cnn, kmeans-9")
    table = next(t for t in _tables(study.page()) if "accuracy gain" in t[0])
    [other] = study.document["sensitivity"]
    assert [row[1:3] for row in table[1:]] == [["kmeans-3", "yes"], ["kmeans-9", "no"]]
    for name in ("p", "p (Holm)", "p (curved rule)"):
        key = {"p (Holm)": "p_holm", "p (curved rule)": "p_nonlinear"}.get(name, name)
        assert float(table[2][table[0].index(name)]) == pytest.approx(other[key], rel=0.01)
    assert table[2][table[0].index("verdict")] == other["verdict"] == "different"
    assert table[1][table[0].index("p (Holm)")] == "–"


def test_what_comes_back_of_the_clusters_is_shown(study, raw):
    table = next(t for t in _tables(raw) if "ARI, bootstraps" in t[0])
    shown = dict(zip(table[0], table[1], strict=True))
    assert (shown["silhouette"], shown["ARI, bootstraps"], shown["failed bootstraps"]) == ("0.314", "0.876", "1")
    assert (shown["ARI, seeds"], shown["ARI, other backbones"], shown["ARI, primary analysis"]) == ("0.943", "–", "1")
    overview = next(t for t in _tables(raw) if "comes back" in t[0])
    assert [row[overview[0].index("comes back")] for row in overview[1:]] == ["0.9", "0.75", "0.6"]


def test_page_without_a_test_or_rejections_is_whole(tmp_path, analysis):
    study = Study(tmp_path, replace(analysis, labels=None))
    write_table(pd.DataFrame(columns=["path", "label", "reason", "detail"]), tmp_path / "dataset/rejected.csv")
    page = Page(study.page())
    assert "not assessable" in page.text
    assert "150 rows, all of which are used" in page.text


def test_page_is_the_same_bytes_twice(study, raw):
    assert study.page() == raw


def test_a_missing_figure_is_named(tmp_path, analysis):
    study = Study(tmp_path, analysis)
    (tmp_path / "compare/umap.png").unlink()
    with pytest.raises(StoreError, match=r"umap\.png"):
        study.page()


def test_template_and_captions_stand_in_the_package():
    folder = Path(report.__file__).parent
    assert (folder / "study.html.j2").is_file()
    captions = {path.stem for path in (folder / "captions").glob("*.rst")}
    rules = (provenance.ROOT.parents[1] / "rules").glob("*.smk")
    named = {name for path in rules for name in re.findall(r"captions/([\w-]+)\.rst", path.read_text())}
    assert captions == named
    assert set(words.FIGURES_OF_CLUSTERING) == set(FIGURES_OF_CLUSTERING)


def test_every_reason_of_rejection_is_explained():
    assert set(words.REJECTIONS) == set(REASONS)


def test_a_changed_template_changes_the_digest_of_the_stage(tmp_path, monkeypatch):
    copy = tmp_path / "heteroscope"
    shutil.copytree(provenance.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "ROOT", copy)

    def digests() -> dict[str, str]:
        for cached in (provenance.imported_modules, provenance._code, provenance._paths):
            cached.cache_clear()
        return {name: provenance.code_digest(f"heteroscope.stages.{name}") for name in ("report", "compare")}

    before = digests()
    after = []
    for name, comment in (("study.html.j2", "<!-- -->"), ("explorer.js", "// ")):
        file = copy / "report" / name
        file.write_text(file.read_text(encoding="utf-8") + comment, encoding="utf-8")
        after.append(digests())
    monkeypatch.undo()
    digests()
    assert len({each["report"] for each in (before, *after)}) == 3
    assert len({each["compare"] for each in (before, *after)}) == 1
