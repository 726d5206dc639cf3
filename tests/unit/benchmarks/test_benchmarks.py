"""The benchmarks themselves, at sizes of seconds: no time is asserted."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import incremental, statistics, workplace
from benchmarks.dry_run import small_demo
from benchmarks.measure import Bar, Result, Row, at_least, at_most, in_turn, judged, not_measured, quotients, spread
from benchmarks.page import Measured, kept, page, read, write
from benchmarks.profiling import Sampler, is_waiting, part_of, shares
from benchmarks.workplace import TINY, Workplace
from heteroscope.config import load
from heteroscope.evaluation.label_sets import LabelSets, write_label_sets
from heteroscope.evaluation.runs import InteractionTest
from heteroscope.stages.command import THREAD_VARIABLES

MACHINE = {"processor": "a"}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages run in this process, which saves the start of dozens; figures of clusters are not drawn."""

    def run(words: Sequence[str], _folder: Path | None = None) -> str:
        if "benchmarks.peak" in words:
            run(words[words.index("benchmarks.peak") + 1 :])
            return "1024\n"
        if words[2] != "heteroscope.stages.cluster":
            importlib.import_module(words[2]).main(words[3:])
        return ""

    for name in THREAD_VARIABLES:  # a stage sets them
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(workplace, "run", run)
    monkeypatch.setattr(incremental, "run", run)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("group", sorted(set(command.GROUPS) - {"dry-run", "one-new", "statistics"}))
def test_every_group_gives_rows_that_the_page_can_show(group: str, tmp_path: Path) -> None:
    result = command.measure(group, Workplace(tmp_path / "scratch", TINY, page=tmp_path, cores=1))
    assert result.rows or result.tables
    for row in result.rows:
        assert isinstance(row, Row)
        assert all([row.what, row.against, row.measured])
        assert row.met is None or row.bar
    for table in result.tables:
        assert table.cells
        assert {len(line) for line in table.cells} == {len(table.header)}


def test_the_study_of_the_dry_run_is_a_configuration() -> None:
    assert list(load(small_demo()).studies) == ["planted"]


def test_the_study_whose_tests_are_timed_is_a_configuration(tmp_path: Path) -> None:
    place = Workplace(tmp_path, TINY, cores=1)
    assert list(load(statistics.study_config(place, 60, tmp_path)).studies) == ["cost"]
    folder = statistics.draw_images(tmp_path / "images", 6)
    assert sorted(path.parent.name for path in folder.rglob("*.png")) == ["disease"] * 3 + ["normal"] * 3


def test_the_time_of_a_study_is_that_of_its_jobs_by_part(tmp_path: Path) -> None:
    told = {"retrain/d/cluster-0": 2.0, "retrain/d/cluster-1": 3.5, "retrain/d/labels": 7.0, "retrain/d/f/drawn": 1.0}
    for name, seconds in (told | {"compare/cost": 4.0, "train/d/linear": 100.0}).items():
        path = tmp_path / f"results/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    assert statistics.seconds_of(tmp_path) == {"size and balanced": 5.5, "labels": 8.0, "comparison": 4.0}


def test_the_tests_of_a_study_give_rows_and_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = TINY.studied

    def finish(_place: Workplace, folder: Path, rows: int) -> None:
        path = folder / "results/benchmarks/retrain/labels.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"s\n{rows}\n")
        write_label_sets(folder / "results/retrain/d/label-sets.h5", label_sets(curved=rows == many))

    monkeypatch.setattr(statistics, "_run_study", finish)
    result = statistics.one_study(Workplace(tmp_path, TINY, page=tmp_path / "page", cores=1))
    assert [row.measured for row in result.rows] == ["1.00 min", "1.33 min"]
    assert result.rows[0].met
    assert f"(here: no with {few} images, yes with {many} images)" in result.notes[0]
    assert (tmp_path / "page" / statistics.FIGURE).is_file()


def label_sets(*, curved: bool) -> LabelSets:
    """Label sets of two images: the observed one, two draws of each rule, and one of a turned rule."""
    sets = 1 + 2 * (2 if curved else 1) + 1
    return LabelSets(
        image_id=np.array(["a", "b"]),
        label=np.zeros((sets, 2), dtype=int),
        draws=2,
        degrees=np.array([90]),
        gap=np.array([0.1]),
        rules={},
        interaction=InteractionTest(p=0.5, components=1),
    )


@pytest.mark.usefixtures("at_once")
def test_one_new_image_is_one_computed_row(tmp_path: Path) -> None:
    rows = incremental.one_new_image(Workplace(tmp_path / "scratch", TINY, cores=1)).rows
    assert [row.measured for row in rows[:2]] == ["1", "1"]


def test_actions_take_turns_after_a_round_that_is_not_counted() -> None:
    seen: list[str] = []
    times = in_turn({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert seen == ["a", "b"] * 4
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_a_quotient_belongs_to_its_round() -> None:
    assert quotients([4.0, 9.0], [2.0, 3.0]) == [2.0, 3.0]
    assert spread([5.0, 1.0, 3.0]) == "3.00× (1.00–5.00)"


@pytest.mark.parametrize(
    ("bar", "values", "met"),
    [
        (at_least(5), [4.999, 4.999, 9.0], False),  # rounded, it would be 5.00
        (at_least(5), [5.0, 1.0, 9.0], True),
        (at_most(1, ""), [2, 2], False),
        (at_most(1, ""), [1, 0], True),
    ],
)
def test_a_bar_is_held_against_the_median(bar: Bar, values: list[float], met: bool) -> None:
    assert judged("x", "y", values, bar).met is met


def test_a_missed_bar_is_shown_as_missed() -> None:
    rows = [
        judged("fast", "slow", [6.0], at_least(5)),
        judged("late", "early", [3.0], at_most(2)),
        not_measured("far", "near", at_least(1), "no GPU here"),
    ]
    text = page({"embed": Measured("abc", MACHINE, Result(rows))}, ["embed", "heads"], "abc", MACHINE)
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert lines["fast"].endswith("| met     |") or "| met" in lines["fast"]
    assert "**missed**" in lines["late"]
    assert "not measured (no GPU here)" in lines["far"]
    assert "1 of 2 bars that were tried are met. Missed: 1." in text
    assert "Not measured: heads." in text


def test_rows_of_another_commit_are_told_and_of_another_machine_not_kept(tmp_path: Path) -> None:
    entry = Measured("abc", MACHINE, Result([judged("x", "y", [1.0], at_least(1))], notes=["note"]))
    elsewhere = Measured("abc", {"processor": "b"}, Result())
    write(tmp_path / "results.json", {"embed": entry, "heads": elsewhere, "gpu": elsewhere})
    stored = read(tmp_path / "results.json")
    assert stored["embed"] == entry
    mine = kept(stored, MACHINE)
    assert set(mine) == {"embed", "gpu"}
    assert "Measured at commit abc: embed, gpu." in page(mine, ["embed", "gpu"], "def", MACHINE)
    assert "Measured at" not in page(mine, ["embed", "gpu"], "abc", MACHINE)


def test_one_group_can_be_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def measure(name: str, *_: Path) -> Result:
        calls.append(name)
        if name == "heads":
            raise RuntimeError("broken")
        return Result([judged(f"{name} {len(calls)}", "y", [1.0], at_least(1))])

    monkeypatch.setattr(command, "measure_apart", measure)
    monkeypatch.setattr(command, "commit", lambda: "abc")
    command.main(["--only", "embed,memory", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"heads \(broken\)"):  # and the group after it is measured
        command.main(["--only", "heads,memory", "--output", str(tmp_path)])
    assert calls == ["embed", "memory", "heads", "memory"]
    text = (tmp_path / "results.md").read_text()
    assert "embed 1" in text
    assert "memory 4" in text
    assert list(json.loads((tmp_path / "results.json").read_text())) == ["embed", "memory"]
    with pytest.raises(SystemExit, match="no such group: speed"):
        command.main(["--only", "speed"])


def test_a_group_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    if command.measure("gpu", Workplace(tmp_path)).rows[0].met is not None:
        pytest.skip("a GPU would be measured in full")
    assert command.measure_apart("gpu", tmp_path, tmp_path) == command.measure("gpu", Workplace(tmp_path))
    with pytest.raises(RuntimeError, match="ended with status 1"):
        command.measure_apart("unknown", tmp_path, tmp_path)


def test_a_process_that_fails_after_it_has_measured_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(words: Sequence[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        Path(words[-1]).write_bytes(pickle.dumps(Result(notes=["measured"])))
        return subprocess.CompletedProcess(words, -11)

    monkeypatch.setattr(subprocess, "run", crash)
    note = "The process that measured the group heads ended with status -11, after it had measured."
    assert command.measure_apart("heads", tmp_path, tmp_path) == Result(notes=["measured", note])
    assert note in capsys.readouterr().err


def test_peak_memory_is_the_commands_own(tmp_path: Path) -> None:
    """Not that of the large process which starts it."""
    held = bytearray(300 * 2**20)
    words = [sys.executable, "-m", "benchmarks.peak", sys.executable, "-c"]

    def peak(code: str) -> float:
        return int(subprocess.run([*words, code], capture_output=True, text=True, check=True).stdout.split()[-1]) / 1024

    small, large = peak("pass"), peak("b = bytearray(200 * 2**20)")
    assert small < 100 < len(held) / 2**20
    assert 190 < large - small < 210


def test_samples_are_sorted_by_their_innermost_known_function() -> None:
    decode = ("threading.Thread.run", "heteroscope.data.pixels._decode", "PIL.Image.Image.resize")
    hashing = ("threading.Thread.run", "heteroscope.data.pixels._decode")
    idle = ("heteroscope.data.pixels.build_pixels", "threading.Condition.wait")
    assert part_of(decode) == "decoding and resizing"
    assert is_waiting(idle)
    assert not is_waiting(decode)
    assert shares({decode: 3, hashing: 1, idle: 9, ("other.main",): 5}) == {
        "decoding and resizing": 0.75,
        "files, digests and pixels.h5": 0.25,
    }


def test_the_sampler_sees_what_other_threads_do() -> None:
    def busy() -> None:
        for _ in range(60):
            sum(range(100_000))

    with Sampler() as sampler:
        busy()
    assert sum(count for stack, count in sampler.stacks.items() if "busy" in stack[-1]) > 5
