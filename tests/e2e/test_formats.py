"""docs/formats.md against the files of a finished study: every column, key, array and attribute, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import pandas as pd
import pytest

from heteroscope.evaluation.metrics import METRICS
from heteroscope.evaluation.scores import PATIENT_METRICS

ROOT = Path(__file__).parents[2]
DESCRIBED = {".csv", ".tsv", ".parquet", ".h5", ".json"}
NO_RESULTS = {"benchmarks", "cache", "checksums", "logs"}
ELSEWHERE = {"phantom/toy/phantom.csv", "compare/tiny/verdict.json"}  # the source's own table; config/README.md
METRIC = "|".join([*METRICS, *PATIENT_METRICS])


def sections() -> dict[str, list[str]]:
    """Path below results/ → the names in the first column of its table."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^### ", (ROOT / "docs/formats.md").read_text(encoding="utf-8"), flags=re.M)[1:]:
        path = re.match(r"`(.*)`", part)
        assert path is not None, part
        cells = re.findall(r"^\| (`.*?`) \|", part, re.M)
        found[path[1]] = [name for cell in cells for name in re.findall(r"`(.*?)`", cell)]
    return found


def pattern(text: str) -> re.Pattern[str]:
    """What a name or path with braces stands for."""
    parts = {"{metric}": f"({METRIC})", "{class}": r"\w+", "{attribute}": r"\w+"}
    split = re.split(r"(\{\w+\})", text)
    return re.compile("".join(parts.get(part, "[^/]+") if part.startswith("{") else re.escape(part) for part in split))


def names_in(path: Path) -> list[str]:
    """Columns of a table, keys of a document, arrays and attributes (@) of an HDF5 file."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            found = [f"@{name}" for name in file.attrs]
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
            return found
    if path.suffix == ".json":
        return list(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".parquet":
        return list(pd.read_parquet(path).columns)
    return list(pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", nrows=0).columns)


def results(folder: Path) -> list[str]:
    below = [path.relative_to(folder / "results") for path in (folder / "results").rglob("*") if path.is_file()]
    return [
        str(path)
        for path in below
        if path.suffix in DESCRIBED and path.parts[0] not in NO_RESULTS and path.name[0] != "."
    ]


def test_every_result_has_a_section_and_every_section_a_result(finished: Path) -> None:
    described = {text: pattern(text) for text in sections() if not text.startswith("benchmarks/")}
    used = set()
    for path in set(results(finished)) - {"phantom/toy/phantom.csv"}:
        found = [text for text, expression in described.items() if expression.fullmatch(path)]
        # a name with braces may fit the path of a file that has a section of its own
        assert found, f"docs/formats.md says nothing of {path}"
        used.add(min(found, key=lambda text: text.count("{")))
    assert used == set(described)


@pytest.mark.parametrize("section", [text for text, names in sections().items() if names])
def test_the_names_of_a_section_are_those_of_its_files(finished: Path, section: str) -> None:
    names = sections()[section]
    files = [path for path in results(finished) if pattern(section).fullmatch(path) and path not in ELSEWHERE]
    others = [text for text in sections() if text != section and text.count("{") < section.count("{")]
    files = [path for path in files if not any(pattern(text).fullmatch(path) for text in others)]
    assert files
    for path in files:
        there = names_in(finished / "results" / path)
        assert [name for name in there if not any(pattern(text).fullmatch(name) for text in names)] == [], path
        assert [text for text in names if not any(pattern(text).fullmatch(name) for name in there)] == [], path


def test_the_keys_of_the_verdict_are_described_with_the_configuration(finished: Path) -> None:
    page = (ROOT / "config/README.md").read_text(encoding="utf-8").split("## verdict.json")[1].split("\n## ")[0]
    described = {name for cell in re.findall(r"^\| (.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", cell)}
    assert set(names_in(finished / "results/compare/tiny/verdict.json")) - described == set()
