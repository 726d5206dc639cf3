"""The words at the end of the demonstration, and the page of counted verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import beta

from heteroscope import benchmarked, store, summary
from heteroscope.errors import StoreError


def verdict(study: str, found: str, **changed: Any) -> dict[str, Any]:
    test: dict[str, Any] = {"p": 0.01, "p_nonlinear": 0.02, "gain": 0.1, "pooled_accuracy": 0.8}
    test |= {"accuracy_gain": 0.05, "accuracy_gain_interval_90": [0.01, 0.09]}
    document = {"study": study, "title": "A title", "verdict": found, "reason": "too few images", "test": test}
    return document | {"weights": "random (seed 0)", "warnings": ["random weights: net"]} | changed


def benchmark(name: str, wall: str, cpu: str) -> None:
    path = Path("results/benchmarks", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tcpu_time\n{wall}\t0:00:01\t{cpu}\n")


def test_says_verdict_and_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store.write_json(verdict("mine", "undecided"), summary.verdict_file("mine"))
    summary.main(["mine"])
    said = capsys.readouterr().out
    assert "mine: A title" in said
    assert "undecided (too few images)" in said
    assert str(tmp_path / "results/report/mine/index.html") in said


def test_a_study_that_has_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"mine/verdict\.json"):
        summary.main(["mine"])


def test_verdicts_are_counted_by_kind_with_exact_intervals() -> None:
    documents = [verdict(f"planted-{seed}", "different") for seed in range(1, 8)]
    documents += [verdict(f"planted-{seed}", "undecided") for seed in range(8, 11)]
    documents += [verdict(f"no-truth-{seed}", "equivalent") for seed in range(1, 5)]
    planted, homogeneous = summary.verdict_counts(documents).to_dict("records")
    none = {"nonlinear rule": 0, "not assessable": 0}
    seen = {"truth": "planted", "studies": 10, "different": 7, "equivalent": 0, "undecided": 3, "share different": 0.7}
    # Clopper and Pearson (1934), by quantiles of the beta distribution
    low, high = beta.ppf(0.025, 7, 4), beta.ppf(0.975, 8, 3)
    assert planted == seen | none | {"from": pytest.approx(low), "to": pytest.approx(high)}
    seen = {"truth": "no-truth", "studies": 4, "different": 0, "equivalent": 4, "undecided": 0, "share different": 0}
    assert homogeneous == seen | none | {"from": pytest.approx(0), "to": pytest.approx(1 - 0.025 ** (1 / 4))}


def test_the_page_counts_first_and_hides_neither_cost_nor_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.write_json(verdict("planted-1", "different"), summary.verdict_file("planted-1"))
    store.write_json(verdict("planted-2", "not assessable", test=None), summary.verdict_file("planted-2"))
    benchmark("train/planted-1/net.tsv", "60", "90")
    benchmark("compare/planted-2.tsv", "120", "NA")
    benchmark("compare/other.tsv", "999", "999")
    words = ["--title", "Verdicts", "--made-by", "make it", "--about", "What they are."]
    summary.main(["planted-1", "planted-2", "--page", "page.md", *words])
    page = Path("page.md").read_text()
    assert page.startswith("# Verdicts\n\nWhat they are.\n\nMade by `make it` at commit ")
    assert page.index("| planted ") < page.index("| planted-1 ")
    assert "Its 2 jobs took 3 minutes one after another and 2 minutes of CPU time: 45 s a study." in page
    row = next(line for line in page.splitlines() if line.startswith("| planted-2"))
    assert row.count("–") == 7, "what was not tested has no numbers"
    assert "- weights: random (seed 0)\n" in page
    assert "- warning: random weights: net\n" in page


def test_jobs_are_those_of_a_studys_own_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    benchmark("dataset/eyes.tsv", "1", "1")
    benchmark("train/eyes/net/holdout.tsv", "2", "2")
    benchmark("train/eyes/other-net/holdout.tsv", "4", "4")
    benchmark("retrain/eyes/net/holdout/cluster-0.tsv", "8", "8")
    benchmark("dataset/chests.tsv", "16", "16")
    own = benchmarked.jobs_of(benchmarked.job_times(), {"mine", "eyes"}, foreign={"chests", "other-net"})
    assert sorted(own["wall"]) == [1, 2, 8]
