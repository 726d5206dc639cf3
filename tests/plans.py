"""What Snakemake says of the jobs that it runs, or would run."""

from __future__ import annotations

import re

from tests.rules import TARGETS

REASONS = {
    r"Params have changed .*before: '[0-9a-f]{32}' now: '[0-9a-f]{32}' ?$": "code",  # nothing but digests
    "Params have changed": "parameters",
    "Updated input files|Set of input files has changed": "input",
    "Missing output files": "missing",
    "Input files updated by another job": "",
}


def jobs_of(output: str) -> dict[str, int]:
    """Rule → number of its jobs; empty where nothing is to be done."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    return {rule: count for rule, count in jobs.items() if rule not in TARGETS}


def reasons_of(output: str) -> set[str]:
    """Why jobs are stale: values of REASONS; not that others run before them."""
    found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    reason: (.*)", output, re.M)
    said = [part for rule, reason in found if rule not in TARGETS for part in reason.split("; ")]
    return {next(kind for words, kind in REASONS.items() if re.match(words, part)) for part in said} - {""}
