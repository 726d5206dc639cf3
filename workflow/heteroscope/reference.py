"""Write the reference of all configuration keys into a page: `python -m heteroscope.reference config/README.md`.

The tables come from the models of `heteroscope.config` and stand between two marks of the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from heteroscope import config
from heteroscope.atomic import atomic_path
from heteroscope.errors import DataError
from heteroscope.stages.command import run

BEGIN, END = "<!-- tables of keys: begin -->", "<!-- tables of keys: end -->"
SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("The whole file", config.Config),
    ("datasets: what all adapters share", config.DatasetBase),
    ("datasets: adapter `folder`", config.FolderDataset),
    ("datasets: adapter `table`", config.TableDataset),
    ("datasets: adapter `table`: `lesion`", config.LesionColumns),
    ("datasets: adapter `odir5k`", config.OdirDataset),
    ("datasets: adapter `nih-cxr`", config.NihChestDataset),
    ("datasets: adapter `breakhis`", config.BreakHisDataset),
    ("datasets: adapter `mammogram-masses`", config.MammogramMassesDataset),
    ("datasets: adapter `inbreast`", config.InBreastDataset),
    ("datasets: adapter `mias`", config.MiasDataset),
    ("datasets: adapter `cbis-ddsm`", config.CbisDdsmDataset),
    ("datasets: adapter `phantom`", config.PhantomDataset),
    ("datasets: adapter `union`", config.UnionDataset),
    ("datasets: `balance`", config.Balance),
    ("Ranges in `filter` and `where`", config.Range),
    ("pixels", config.Pixels),
    ("splits", config.Split),
    ("splits: `test`, as a condition", config.TestWhere),
    ("splits: `test`, as a number of every class", config.TestPerClass),
    ("splits: `shuffle`", config.Shuffle),
    ("augmentations", config.Augmentation),
    ("backbones", config.Backbone),
    ("backbones: `finetune`", config.Finetune),
    ("backbones: `finetune.schedule` plateau", config.Plateau),
    ("backbones: `finetune.schedule` cyclical", config.Cyclical),
    ("clusterings", config.Clustering),
    ("clusterings: `reduce`", config.Reduction),
    ("heads", config.Head),
    ("controls", config.Controls),
    ("explanations", config.Explanation),
    ("hybrids", config.Hybrid),
    ("hybrids: `classifier` random-forest", config.RandomForest),
    ("hybrids: `classifier` adaboost", config.AdaBoost),
    ("hybrids: `classifier` xgboost", config.XGBoost),
    ("hybrids: `classifier` logistic", config.Logistic),
    ("hybrids: `classifier` svm", config.SupportVectors),
    ("hybrids: `classifier` mlp", config.MultilayerPerceptron),
    ("hybrids: `classifier` knn", config.NearestNeighbours),
    ("hybrids: `tuning`", config.Tuning),
    ("regressions", config.Regression),
    ("regressions: `regressor` linear", config.Ridge),
    ("regressions: `regressor` random-forest", config.RegressionForest),
    ("regressions: `regressor` adaboost", config.AdaBoost),
    ("regressions: `regressor` xgboost", config.XGBoost),
    ("regressions: `regressor` svm", config.SupportVectorRegression),
    ("regressions: `regressor` knn", config.NeighboursAveraged),
    ("regressions: `tuning`", config.RegressionTuning),
    ("features", config.Features),
    ("features: `retrieval`", config.Retrieval),
    ("studies", config.Study),
    ("studies: `primary`", config.Primary),
]
LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def tables() -> str:
    """All tables as Markdown, one a model."""
    return "\n\n".join(f"### {title}\n\n{_table(model)}" for title, model in SECTIONS)


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    shared = set(config.DatasetBase.model_fields) if model is not config.DatasetBase else set()
    rows = [
        f"| `{name}` | {_kind(entry)} | {_default(name, entry, schema)} | {_cell(entry.get('description', ''))} |"
        for name, entry in schema["properties"].items()
        if name not in shared or (model is config.PhantomDataset and name == "classes")
    ]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _kind(entry: Mapping[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "enum" in entry or "const" in entry:
        return " or ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    if options := entry.get("anyOf", entry.get("oneOf")):
        return " or ".join(dict.fromkeys(_kind(option) for option in options if option.get("type") != "null"))
    if "$ref" in entry:
        return "object"
    if entry["type"] == "array":
        items = _kind(entry["items"])
        return f"list of ({items})" if "anyOf" in entry["items"] else f"list of {items}"
    if entry["type"] == "object":
        values = entry.get("additionalProperties", next(iter(entry.get("patternProperties", {}).values()), {}))
        return f"name → {_kind(values)}"
    limits = ", ".join(text.format(entry[limit]) for limit, text in LIMITS.items() if limit in entry)
    name = {"string": "id" if "pattern" in entry else "text", "boolean": "true or false"}.get(
        entry["type"], entry["type"]
    )
    return f"{name} {limits}".strip()


def _default(name: str, entry: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if name in schema.get("required", []):
        return "required"
    if isinstance(entry.get("default"), Mapping):
        return "as its own table says"
    default = entry.get("default")
    return "–" if default is None or default == "" else f"`{json.dumps(default, ensure_ascii=False).strip(chr(34))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_tables(page: str) -> str:
    """The page with the tables between its marks.

    Raises:
        DataError: the page lacks a mark.
    """
    if BEGIN not in page or END not in page:
        raise DataError(f"the page lacks the mark {BEGIN!r} or {END!r}")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Renew the tables of a page."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("page", type=Path, help="a Markdown page with both marks")
    page = arguments.parse_args(argv).page
    text = with_tables(page.read_text(encoding="utf-8"))
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
