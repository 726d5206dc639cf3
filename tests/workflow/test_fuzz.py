"""Random configurations: sound ones have a DAG of exactly the jobs that they need, others are refused in words."""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from heteroscope import config
from heteroscope.cli.check import read_config
from heteroscope.config.repeated import refuse_repeated_keys
from heteroscope.errors import ConfigError
from heteroscope.layout import Layout
from tests.workflow.configurations import configurations, expected_jobs, make_sources, paths_of

ROOT = Path(__file__).parents[2]
DEMO = (ROOT / "config/config.yaml").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------- sound

FILES_OF_RULES = {
    "cluster": "assignments.parquet",
    "stability": "stability.json",
    "train": "predictions.parquet",
    "curve": "curve.parquet",
    "retrain": "size.h5",
    "redraw": "label-sets.h5",
    "labels": "labels.h5",
    "gaussian": "gaussian.h5",
}


def planned_files(layout: Layout) -> list[str]:
    """Every file that a study compares, once a study."""
    return [path for study in layout.config.studies for path in layout.compared_files(study)]


@settings(max_examples=100, deadline=None)
@given(raw=configurations())
def test_a_sound_configuration_names_the_files_of_its_jobs(raw: dict[str, Any]) -> None:
    layout = Layout(config.load(raw))
    jobs = expected_jobs(raw)
    files = set(planned_files(layout))
    for rule, name in FILES_OF_RULES.items():
        found = {path for path in files if path.endswith(f"/{name}")}
        assert len(found) == len(jobs.get(rule, ())), (rule, sorted(found))
    assert all(re.fullmatch(r"results(/[a-z0-9][a-z0-9.+-]*)+", path) for path in files)
    for study in layout.config.studies:
        assert config.parse(config.StudyContext, config.dump(layout.context(study))) == layout.context(study)


@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(raw=configurations(studies=6))
def test_snakemake_plans_exactly_the_jobs_of_a_sound_configuration(
    planned: Callable, tmp_path_factory: pytest.TempPathFactory, raw: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("sound")
    make_sources(raw, folder)
    assert planned(folder, raw) == {rule: len(ids) for rule, ids in expected_jobs(raw).items()}


# ----------------------------------------------------------------------------------------- unsound

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2.5, 10**15, 10**400, 1e308, float("nan"), float("inf"), "", "x", "no such", "é\n'\"",
    "1e3", "\0", "\ud800", "x" * 500, "../..", "$(reboot)", [], {}, [1], [None], [[]], [{"a": {"b": {}}}], {"x": 1},
    {1: 2}, {None: 3}, {"a\nb": []}, b"bytes", {"a"}, datetime.date(2020, 2, 1), datetime.datetime(2020, 2, 1, 3, 4),
]  # fmt: skip
FOREIGN = re.compile(
    r"pydantic|traceback|input should|instance of|validation error|NoneType|function-|<class|tagged|object at|\[type=",
    re.IGNORECASE,
)
SAYS_WHAT_TO_DO = re.compile(
    r"allowed: |known: |required|did you mean|needs? |needed|quotes|take it out|write it out|go together|leave nothing"
    r"|takes no truth value|named twice|two classes|not one of this study|not a regular expression|reserved|collides"
    r"|no value lies between|list it|belong to|is trained on|would be trained|has no published weights|union itself"
    r"|training starts from|give the split|at least one word of the source"
)


def complaint(raw: Any) -> str | None:
    """What is said of a configuration; None where it is taken, and then its files can be named."""
    try:
        planned_files(Layout(config.load(raw)))
    except ConfigError as error:
        return str(error)
    return None


def assert_well_said(said: str, path: tuple[Any, ...]) -> None:
    """Every line begins with a key's path and ends with a remedy, and one is about the key that was changed."""
    headline, *lines = said.split("\n")
    assert headline == "the configuration cannot be used:"
    assert lines
    for line in lines:
        assert re.match(r"  (([\w+-]+|'.*')(\.([\w+-]+|'.*'))*|the whole): ", line), line
        assert SAYS_WHAT_TO_DO.search(line), line
        assert not FOREIGN.search(line), line
        assert len(line) < 1000
    keys = [key for key in path if isinstance(key, str)]
    # what an entry lacks may show in the study that uses it
    assert any(key in said for key in keys[-2:]) or "unknown id" in said or "  studies." in said, said


def with_change(raw: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy, changed in the object that holds the last key of a path."""
    raw = copy.deepcopy(raw)
    node = raw
    for key in path[:-1]:
        node = node[key]
    change(node, path[-1])
    return raw


@settings(max_examples=150, deadline=None)
@given(raw=configurations(), odd=st.sampled_from(ODD), data=st.data())
def test_an_odd_value_is_taken_or_refused_in_words(raw: dict[str, Any], odd: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths_of(raw)))
    said = complaint(with_change(raw, path, lambda node, key: node.__setitem__(key, odd)))
    if said is not None:
        assert_well_said(said, path)


@settings(max_examples=100, deadline=None)
@given(
    raw=configurations(), name=st.sampled_from(["k", "learning-rate", "", "a b", "\n", "é", "x" * 300]), data=st.data()
)
def test_a_key_too_many_is_refused_in_words(raw: dict[str, Any], name: str, data: st.DataObject) -> None:
    objects = [(), *(path for path in paths_of(raw) if isinstance(value_at(raw, path), dict))]
    path = (*data.draw(st.sampled_from(objects)), name)
    assume(name not in value_at(raw, path[:-1]))
    said = complaint(with_change(raw, path, lambda node, key: node.__setitem__(key, {"x": 1})))
    assert said is not None
    assert_well_said(said, path[:-1] or ("",))


@settings(max_examples=100, deadline=None)
@given(raw=configurations(), data=st.data())
def test_a_key_that_is_gone_has_a_default_or_is_named(raw: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths_of(raw)))
    said = complaint(with_change(raw, path, lambda node, key: node.pop(key)))
    if said is not None:
        assert_well_said(said, path)


@settings(max_examples=100, deadline=None)
@given(raw=configurations(), wrap=st.sampled_from([lambda x: [x], lambda x: {"x": x}, str]), data=st.data())
def test_a_value_one_level_off_is_taken_or_refused_in_words(
    raw: dict[str, Any], wrap: Callable[[Any], Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(paths_of(raw)))
    said = complaint(with_change(raw, path, lambda node, key: node.__setitem__(key, wrap(node[key]))))
    if said is not None:
        assert_well_said(said, path)


@settings(max_examples=100, deadline=None)
@given(raw=configurations(), data=st.data())
def test_a_value_of_another_place_is_taken_or_refused_in_words(raw: dict[str, Any], data: st.DataObject) -> None:
    path, other = data.draw(st.sampled_from(paths_of(raw))), data.draw(st.sampled_from(paths_of(raw)))
    value = value_at(raw, other)
    said = complaint(with_change(raw, path, lambda node, key: node.__setitem__(key, value)))
    if said is not None:
        assert_well_said(said, path)


def value_at(raw: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        raw = raw[key]
    return raw


# -------------------------------------------------------------------------------------------- text


# Snakemake reads the file before it looks at the workflow, and of these has only a traceback
SNAKEMAKE_FAILS = re.compile(
    r"can't decode byte|(day|month|hour|minute|second|year).* (is out of range|must be in)"
    r"|Exceeds the limit \(4300 digits\)"
)
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b"x: caf\xe9", "can't decode byte 0xe9"),
    "no such day": (b"x:\n  y: 2020-02-30", "line 2: '2020-02-30': day is out of range for month; for text put it in"),
    "no such hour": (b"x: 2020-02-01 25:00:00", "line 1: '2020-02-01 25:00:00': hour must be in 0..23; for text"),
    "too many digits": (b"x: " + b"9" * 5000, "line 1: '999"),
    "nested too deeply": (b"x: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_snakemake_fails_to_read_is_told_by_check(what: str, tmp_path: Path) -> None:
    from snakemake.common.configfile import load_configfile

    text, says = UNREADABLE[what]
    path = tmp_path / "study.yaml"
    path.write_bytes(text)
    with pytest.raises((ValueError, RecursionError)) as failed:
        load_configfile(path)
    assert failed.type is RecursionError or SNAKEMAKE_FAILS.search(str(failed.value))
    with pytest.raises(ConfigError) as refused:
        read_config(path)
    assert str(refused.value).startswith(f"{path}: cannot be read (")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def complaint_of_text(text: str, folder: Path) -> str | None:
    """What is said of a file as the workflow reads it; None where it is taken, or where Snakemake refuses it before."""
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        raw = load_configfile(path)
    except WorkflowError:  # in words of its own
        return None
    except ValueError as error:
        if SNAKEMAKE_FAILS.search(str(error)):
            return None
        raise
    try:
        refuse_repeated_keys(path)
    except ConfigError as error:
        return str(error).removeprefix(f"{path}: ")
    return complaint(raw)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threads: 3", "threads: this key stands in lines 7 and "),
        ("heads: {linear: {seeds: 1, seeds: 2}}", "heads"),
        ("x: {a: 1, b: {c: 1, c: 2}}", "x.b.c: this key stands in lines"),
        ("x: [{a: 1, a: 1}]", "x.0.a: this key stands in lines"),
        ('"x y": {a: 1, a: 1}', "'x y'.a: this key stands in lines"),
        ("x: 2020-02-01", "x: 2020-02-01: YAML reads this as a date; for text put it in quotes"),
        ("x: 2020-02-01 03:04:05", "x: 2020-02-01 03:04:05: YAML reads this as a date"),
        ("x: !!set {a}", "x: {'a'}: YAML reads this as a set"),
        ("x: !!binary aGVsbG8=", "x: b'hello': YAML reads this as binary data"),
        ("x: &a [*a]", "x.0: it holds itself; write it out"),
        ('x: "a\\0b"', "x: 'a\\x00b': the letter NUL stands in it"),
        (f"x: 0x{'f' * 5000}", "x: a number of 20000 bits; allowed: at most 9223372036854775807"),
        ("no: 1", "False: False: a key is text: put what YAML reads as a number or a truth value (on, yes) in quotes"),
    ],
)
def test_what_only_yaml_can_say_is_refused_in_words(text: str, says: str, tmp_path: Path) -> None:
    said = complaint_of_text(f"{DEMO}\n{text}\n", tmp_path)
    assert said is not None
    assert says in said, said
    assert not FOREIGN.search(said)


def test_anchors_and_merged_keys_are_read(tmp_path: Path) -> None:
    text = DEMO.replace("  benign: {adapter", "  benign: &more {adapter").replace(
        "\nsplits:", "\nsplits: # an anchor\n", 1
    )
    text = text.replace("pixels:", "  third: {<<: *more, seed: 1}\n\npixels:", 1)
    assert complaint_of_text(text, tmp_path) is None
    assert config.load(yaml.safe_load(text)).datasets["third"].seed == 1


@settings(max_examples=150, deadline=None)
@given(
    start=st.integers(0, len(DEMO)),
    length=st.integers(0, 30),
    inserted=st.text(st.sampled_from("\n \t:{}[],-&*!#|>'\"%@`?=<~.0123456789abcxyzé"), max_size=6),
)
def test_a_damaged_file_is_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, inserted: str
) -> None:
    said = complaint_of_text(DEMO[:start] + inserted + DEMO[start + length :], tmp_path_factory.getbasetemp())
    if said is not None:
        assert not FOREIGN.search(said), said
        assert said.startswith("the configuration cannot be used:\n  ")


@settings(max_examples=60, deadline=None)
@given(line=st.integers(0, DEMO.count("\n") - 1), place=st.integers(0, DEMO.count("\n") - 1))
def test_a_line_that_stands_twice_is_never_read_over(
    tmp_path_factory: pytest.TempPathFactory, line: int, place: int
) -> None:
    """A key copied to another place is the same mapping's, and refused, or another's."""
    lines = DEMO.split("\n")
    assume(re.match(r" *[\w-]+:", lines[line]))
    copied = [*lines[: line + 1], lines[line], *lines[line + 1 :]]
    said = complaint_of_text("\n".join(copied), tmp_path_factory.getbasetemp())
    key = lines[line].split(":")[0].strip()
    assert said is None or f"{key}: this key stands in lines {line + 1} and {line + 2}" in said
