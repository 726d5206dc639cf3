"""The page of configuration keys and the models agree."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from heteroscope import config, reference
from heteroscope.errors import DataError

PAGE = Path(__file__).parents[2] / "config/README.md"


def models() -> list[type[BaseModel]]:
    found = [model for _, model in inspect.getmembers(config, inspect.isclass) if issubclass(model, BaseModel)]
    passed_between_stages = {config.Closed, config.StudyContext, BaseModel}
    return [model for model in found if model not in passed_between_stages]


def test_the_page_is_what_the_models_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert reference.with_tables(page) == page, "run: python -m heteroscope.reference config/README.md"


def test_every_model_has_its_table_and_every_key_a_meaning() -> None:
    assert {model for _, model in reference.SECTIONS} == set(models())
    for model in models():
        assert all(field.description for field in model.model_fields.values()), model


@pytest.mark.parametrize("model", models())
def test_a_table_shows_every_key_with_its_default(model: type[BaseModel]) -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \|.*?\| ([^|]*) \| [^|]* \|$", reference._table(model), re.M))
    inherited = set() if model is config.DatasetBase else set(config.DatasetBase.model_fields)
    for name, field in model.model_fields.items():
        if name not in inherited:
            assert (shown[name] == "required") == field.is_required()
            if isinstance(field.default, int | float | str) and field.default != "":
                assert shown[name].strip("`") in {str(field.default), str(field.default).lower()}


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(DataError, match="lacks the mark"):
        reference.with_tables("nothing to fill")


def test_the_page_names_every_warning_and_every_key_of_the_verdict() -> None:
    package = Path(config.__file__).parents[1]
    account = (package / "evaluation/account.py").read_text(encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    document = account.split("def verdict_document")[1].split("\ndef account")[0]
    keys = re.findall(r'^        "(\w+)":', document, re.M)
    assert len(keys) >= 20
    assert [key for key in keys if f"`{key}`" not in page] == []
    names = re.findall(r'"([a-z ]+): ', document.split("def warnings_of")[1])
    assert len(names) >= 8
    assert [name for name in names if f"`{name}`" not in page] == []
