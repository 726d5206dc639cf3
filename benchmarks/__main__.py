"""`python -m benchmarks`: measure, and write the page of results."""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import ROOT, commit, facts
from benchmarks.measure import Result, say
from benchmarks.workplace import Workplace

# in the order of the page: name → the function that measures
GROUPS = {
    "embed": "embedding:first_network",
    "networks": "embedding:further_networks",
    "shared-pixels": "embedding:shared_pixels",
    "one-new": "incremental:one_new_image",
    "memory": "incremental:peak_memory",
    "heads": "heads:repeats",
    "statistics": "statistics:one_study",
    "protocol": "protocol:published",
    "dry-run": "dry_run:finished_study",
    "gpu": "gpu:images_per_second",
    "agreement": "embedding:agreement",
    "profile": "profiling:embedding",
}
FOLDER = ROOT / "benchmarks"


def measure(name: str, place: Workplace) -> Result:
    """Run one group; only what it needs is imported."""
    module, _, function = GROUPS[name].partition(":")
    result: Result = getattr(importlib.import_module(f"benchmarks.{module}"), function)(place)
    return result


def measure_apart(name: str, scratch: Path, page: Path) -> Result:
    """Run one group in a process of its own, so that neither its threads nor its end touch another group.

    Returns:
        What was measured, even where the process then ended badly; a note says so.

    Raises:
        RuntimeError: it failed; why stands in the log.
    """
    target = scratch / f"{name}.pickle"
    code = (
        "import pickle, sys; from pathlib import Path; from benchmarks.__main__ import measure;"
        " from benchmarks.workplace import Workplace; name, scratch, page, target = sys.argv[1:];"
        " result = measure(name, Workplace(Path(scratch), page=Path(page)));"
        " Path(target).write_bytes(pickle.dumps(result))"
    )
    words = [sys.executable, "-c", code, name, str(scratch), str(page), str(target)]
    status = subprocess.run(words, cwd=ROOT, check=False).returncode
    if not target.is_file():
        raise RuntimeError(f"ended with status {status}")
    result: Result = pickle.loads(target.read_bytes())
    if status:
        note = f"The process that measured the group {name} ended with status {status}, after it had measured."
        say(f"  {note}")
        result = replace(result, notes=[*result.notes, note])
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the groups asked for, keep those of the others that this machine has measured, and write the page."""
    os.environ["TQDM_DISABLE"] = "1"  # before anything imports it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch folder goes
    from benchmarks.page import Measured, kept, page, read, write

    args = _arguments().parse_args(argv)
    names = args.only.split(",") if args.only else list(GROUPS)
    if unknown := sorted(set(names) - set(GROUPS)):
        raise SystemExit(f"error: --only: no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    store, here, machine = args.output / "results.json", args.commit or commit(), facts()
    groups = kept(read(store), machine)
    failed: dict[str, RuntimeError] = {}
    scratch = Path(tempfile.mkdtemp(prefix="heteroscope-benchmarks-", dir=args.scratch))
    try:
        for name in names:
            say(name)
            try:
                result = measure_apart(name, scratch, args.output.resolve())
            except RuntimeError as error:  # one group must not take the others with it
                failed[name] = error
                continue
            groups[name] = Measured(here, machine, result)
            write(store, groups)
            (args.output / "results.md").write_text(page(groups, list(GROUPS), here, machine), encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if failed:
        raise SystemExit(f"error: not measured: {', '.join(f'{name} ({error})' for name, error in failed.items())}")
    say(f"written: {args.output / 'results.md'}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"groups, separated by commas: {', '.join(GROUPS)}")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the page (default: benchmarks/)")
    parser.add_argument("--scratch", type=Path, help="where the scratch folder is made (default: the system's)")
    parser.add_argument("--commit", help="what to call the code where there is no git")
    return parser


if __name__ == "__main__":
    main()
