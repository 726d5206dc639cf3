"""A code digest changes with the code that a stage runs, and with nothing else."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heteroscope import provenance

PACKAGE = Path(provenance.__file__).parent
STAGES = sorted(
    f"heteroscope.stages.{path.stem}"
    for path in PACKAGE.glob("stages/*.py")
    if path.stem not in ("__init__", "command")
)


def forget() -> None:
    for function in (provenance.imported_modules, provenance._code, provenance._paths):
        function.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that digests are taken of."""
    copy = tmp_path / "heteroscope"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "ROOT", copy)
    forget()
    yield copy
    forget()


def digests() -> dict[str, str]:
    forget()
    return {stage: provenance.code_digest(stage) for stage in STAGES}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """Digests of the package as it stands; where it stands takes no part in them."""
    return digests()


def stale(before: dict[str, str]) -> set[str]:
    return {stage.rsplit(".", 1)[1] for stage, value in digests().items() if value != before[stage]}


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")


def test_comments_docstrings_and_layout_change_nothing(package: Path, before: dict[str, str]) -> None:
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(f"# a comment\n\n\n{text}\n\n# and one more\n", encoding="utf-8")
    edit(
        package / "evaluation/metrics.py",
        lambda text: text.replace("The share of right predictions.", "Share of hits."),
    )
    edit(package / "evaluation/metrics.py", lambda text: text.replace('"""Metrics of many', '"""The metrics of many'))
    edit(package / "embedding/samples.py", lambda text: text.replace("The rows of an experiment", "Rows"))
    assert stale(before) == set()


def test_a_changed_function_makes_its_users_stale_and_no_others(package: Path, before: dict[str, str]) -> None:
    edit(package / "evaluation/metrics.py", lambda text: text.replace("LOG_LOSS_CLIP = 1e-7", "LOG_LOSS_CLIP = 1e-6"))
    found = stale(before)
    assert {"train", "retrain", "labels", "compare"} <= found
    assert not {"dataset", "split", "pixels", "embed", "cluster", "report"} & found


def test_a_module_that_is_imported_within_a_function_counts(package: Path, before: dict[str, str]) -> None:
    text = (package / "stages/train.py").read_text(encoding="utf-8")
    assert "\n    from heteroscope.training.arms import" in text, "the import moved: this shows nothing"
    edit(package / "training/arms.py", lambda text: text.replace("POOLED = 1_000_000", "POOLED = 2_000_000"))
    found = stale(before)
    assert {"train", "retrain", "labels"} <= found
    assert not {"dataset", "split", "pixels", "embed", "cluster", "compare"} & found


def test_what_everything_imports_makes_everything_stale(package: Path, before: dict[str, str]) -> None:
    edit(package / "stages/command.py", lambda text: text.replace("default=2", "default=3"))
    assert stale(before) == {stage.rsplit(".", 1)[1] for stage in STAGES}


def test_a_stage_makes_itself_stale(package: Path, before: dict[str, str]) -> None:
    edit(package / "stages/split.py", lambda text: text.replace("main(", "start("))
    assert stale(before) == {"split"}


def test_imports_for_types_alone_do_not_count(package: Path, before: dict[str, str]) -> None:
    extra = "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from heteroscope.report import page\n"
    edit(package / "stages/split.py", lambda text: text + extra)
    assert "heteroscope.report.page" not in provenance.imported_modules("heteroscope.stages.split")
    assert stale(before) == {"split"}


@pytest.mark.parametrize("kind", ["*.j2", "*.js", "captions/*.rst"])
def test_a_template_beside_a_module_counts(package: Path, before: dict[str, str], kind: str) -> None:
    template = next(package.glob(f"report/{kind}"))
    edit(template, lambda text: text + "\nmore\n")
    assert stale(before) == {"overview", "report"}


def test_a_digest_of_named_modules_leaves_out_what_they_import(package: Path) -> None:
    def of(*modules: str) -> str:
        forget()
        return provenance.modules_digest(*modules)

    names = ("heteroscope.evaluation.baseline", "heteroscope.store")
    before = of(*names)
    assert before == of(*reversed(names))
    edit(package / "evaluation/metrics.py", lambda text: text.replace("1e-7", "1e-6"))
    assert of(*names) == before
    edit(package / "store.py", lambda text: text.replace("SIGNIFICANT_DIGITS = 6", "SIGNIFICANT_DIGITS = 5"))
    assert of(*names) != before


def test_the_walk_finds_all_modules_that_python_loads() -> None:
    """What a stage loads by being imported is the part that Python can confirm."""
    forget()
    code = "import sys, {0}; print(*(name for name in sys.modules if name.startswith('heteroscope')))"
    for stage in ("heteroscope.stages.cluster", "heteroscope.stages.report"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(stage)], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
        )
        assert set(done.stdout.split()) - {"heteroscope.stages"} <= provenance.imported_modules(stage) | {"heteroscope"}


def test_digests_are_the_same_anywhere() -> None:
    assert provenance.digest("a", 1, {"b": 2, "a": [1.5, None]}) == provenance.digest(
        "a", 1, {"a": [1.5, None], "b": 2}
    )
    text = b'["a",1]'
    assert provenance.digest("a", 1) == hashlib.sha256(text).hexdigest()[:32]
    assert provenance.digest("a", "b") != provenance.digest("ab")
    assert provenance.digest(Path("x/y")) == provenance.digest("x/y")


@given(st.lists(st.text(max_size=4), max_size=5), st.lists(st.text(max_size=4), max_size=5))
def test_rows_have_the_same_digest_only_in_the_same_order(first: list[str], second: list[str]) -> None:
    assert (provenance.rows_digest(first) == provenance.rows_digest(second)) == (first == second)


def test_files_and_versions(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "large").write_bytes(content)
    assert provenance.file_sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()
    assert set(provenance.versions("numpy", "no-such-package")) == {"numpy"}
