"""The words at the end of the demonstration."""

from __future__ import annotations

from pathlib import Path

import pytest

from heteroscope import store, summary
from heteroscope.errors import StoreError


def test_says_verdict_and_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = {"study": "mine", "title": "A title", "verdict": "undecided", "reason": "too few images"}
    store.write_json(verdict, Path("results/compare/mine/verdict.json"))
    summary.main(["mine"])
    said = capsys.readouterr().out
    assert "mine: A title" in said
    assert "undecided (too few images)" in said
    assert str(tmp_path / "results/report/mine/index.html") in said


def test_a_study_that_has_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"mine/verdict\.json"):
        summary.main(["mine"])
