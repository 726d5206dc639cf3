"""docs/reliability.md speaks of tests that are there, and of all changes that are tested."""

from __future__ import annotations

import re

from tests.e2e.test_staleness import RUN, TABLE
from tests.pages import ROOT, missing_tests, named_tests

PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    assert len(named_tests(PAGE)) > 50
    assert missing_tests(PAGE) == []


def test_the_table_of_changes_is_the_one_that_is_tested() -> None:
    section = PAGE.split("## What a change makes again")[1].split("\nThe end of")[0]
    rows = re.findall(r"^\| ([a-z][^|]*?) +\| ([^|]*?) +\| ([^|]*?) +\| ([^|]*?) +\|$", section, re.M)
    expected = [
        (change.replace("-", " "), ", ".join(why.split()), jobs or "nothing", "run" if change in RUN else "dry run")
        for change, (_, why, jobs) in TABLE.items()
    ]
    assert rows == [("change", "why", "what runs again", "shown by"), *expected]
