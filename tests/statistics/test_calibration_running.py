"""A run goes on where it was stopped, and its page says what it has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from calibration import __main__ as command
from calibration import running
from calibration.page import write_page
from calibration.settings import Setting, settings
from calibration.worlds import World
from heteroscope.errors import StoreError

ROOT = Path(__file__).parents[2]
FACTS = {"commit": "abc", "processor": "a processor", "cores": "2"}
TINY = World("gaussian", 0.7, rows=(60, 30, 40), features=5)


def setting(name: str = "gaussian", **changes: object) -> Setting:
    return replace(Setting("random", name, TINY, 3, "random", "controls", 3), **changes)


def row(of: Setting, seed: int, **more: object) -> dict[str, object]:
    base = {"block": of.block, "setting": of.name, "digest": of.digest, "seed": seed, "seconds": 1.0}
    return base | FACTS | {"run": 1, "elapsed": 2.0} | more


def write(folder: Path, rows: list[dict[str, object]], *, cut: str = "") -> Path:
    path = running.results_file(folder, "random")
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows) + cut)
    return path


def test_a_finished_study_is_not_missing_and_first_studies_of_all_come_first(tmp_path: Path) -> None:
    one, two = setting(), setting("other")
    write(tmp_path, [row(one, 0), row(two, 1)])
    assert running.missing(tmp_path, [one, two]) == [(two, 0), (one, 1), (one, 2), (two, 2)]
    assert running.missing(tmp_path / "none", [one]) == [(one, 0), (one, 1), (one, 2)]


def test_a_changed_setting_is_run_again_but_not_for_more_studies(tmp_path: Path) -> None:
    old = setting()
    write(tmp_path, [row(old, seed) for seed in range(3)])
    assert running.missing(tmp_path, [replace(old, studies=4)]) == [(replace(old, studies=4), 3)]
    changed = replace(old, world=replace(TINY, signal=1.0))
    assert len(running.missing(tmp_path, [changed])) == 3
    assert running.read_results(tmp_path, [changed]).empty
    assert len(running.read_results(tmp_path, [replace(old, studies=2)])) == 2


def test_what_two_runs_both_did_counts_once(tmp_path: Path) -> None:
    one = setting()
    write(tmp_path, [row(one, 0, commit="first"), row(one, 1), row(one, 0, commit="second")])
    found = running.read_results(tmp_path, [one])
    assert sorted(found["seed"]) == [0, 1]
    assert found.set_index("seed").loc[0, "commit"] == "first"


def test_a_line_that_was_cut_off_is_run_again_and_harms_no_other(tmp_path: Path) -> None:
    one = setting()
    path = write(tmp_path, [row(one, 0)], cut='{"block": "random", "seed": 1')
    assert running.missing(tmp_path, [one]) == [(one, 1), (one, 2)]
    running._append(path, row(one, 1))
    running._append(path, row(one, 2))
    assert running.missing(tmp_path, [one]) == []
    assert len(path.read_text().splitlines()) == 4


def test_a_killed_run_loses_only_what_was_in_progress(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "calibration", "--only", "random", "--studies", "40", "--processes", "1",
             "--results", str(tmp_path), "--commit", "abc"]  # fmt: skip
    path = running.results_file(tmp_path, "random")
    # the benchmarks, whose tests may have run in this process, turn progress bars off
    surroundings = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    run = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, env=surroundings | {"PYTHONPATH": str(ROOT)})
    while run.poll() is None and not (path.is_file() and path.read_text().count("\n") >= 2):
        time.sleep(0.2)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert b"study" in said  # the progress
    found = running.read_results(tmp_path, settings())
    assert len(found) >= 2
    assert set(found["commit"]) == {"abc"}
    chosen = [replace(one, studies=40) for one in settings() if one.block == "random"]
    left = running.missing(tmp_path, chosen)
    assert len(left) == 160 - len(found)
    assert not {(s.digest, seed) for s, seed in left} & set(zip(found["digest"], found["seed"], strict=True))


def test_blocks_and_numbers_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = command._chosen("power,null", 2)
    assert [one.block for one in chosen] == ["power"] * 14 + ["null"] * 31
    assert {one.studies for one in chosen} == {2}
    assert sum(one.studies for one in command._chosen("null", None)) >= 1000
    with pytest.raises(SystemExit, match="no such block: nul; there are null, random"):
        command._chosen("nul", None)
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "--only" in capsys.readouterr().out


def test_settings_have_names_of_their_own() -> None:
    names = [(one.block, one.name) for one in settings()]
    assert len(set(names)) == len(names)
    assert len({one.digest for one in settings()}) == len(names)


# ------------------------------------------------------------------------------------- the page


def test_the_page_counts_what_is_there(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with pytest.raises(StoreError, match="no finished studies"):
        write_page(results, settings(), tmp_path / "page.md")
    for one in settings():
        for seed in range(2):
            verdict = {
                "verdict": "different" if seed else "equivalent",
                "p": 0.05,
                "p_nonlinear": 0.05,
                "p_interaction": 0.5,
            }
            controls = {"p_size": 0.025, "p_balanced": 0.5, "by_eye": bool(seed), "p_gaussian": 0.3}
            entry = row(one, seed, commit=f"commit{seed}") | (verdict if one.ask == "verdict" else controls)
            running._append(running.results_file(results, one.block), entry)
    write_page(results, settings(), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    null = [one for one in settings() if one.block == "null"]
    assert "`different` in 50.0%" in text
    assert f"{2 * len(null)} studies; the one-sided" in text
    assert "**above the bound of 7%**" in text
    assert "**Not finished**" in text
    assert "**Studies of 2 commits are pooled**" in text
    assert text.index("delete `results/calibration`") < text.index("\n## ")
    assert "rejected in 100%, and" in text
    assert "| 100 or fewer" not in text
    assert "more than 1,600" in text
    for name in ("verdict", "p-values", "comparison", "power"):
        assert (tmp_path / "calibration" / f"{name}.png").stat().st_size > 5000
        assert f"calibration/{name}.png" in text
    frame = running.read_results(results, settings())
    assert isinstance(frame, pd.DataFrame)
    assert f"{len(frame):,} studies in {len(frame) / 60:.0f} minutes of CPU" in text
