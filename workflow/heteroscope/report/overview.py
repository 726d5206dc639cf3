"""All studies of a configuration side by side, with links to their reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heteroscope.report import words
from heteroscope.report.tables import number

NUMERIC = ["images", "patients", "clusters", "gain", "p", "p, curved", "p, Holm"]
HEAD = ["study", "backbone and clustering", "verdict", *NUMERIC]


def overview_data(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the template shows of all studies.

    Args:
        documents: each study's verdict.json.
    """
    rows = [row for document in documents for row in (_primary(document), *map(_other, document["sensitivity"]))]
    return {"question": words.QUESTION, "head": HEAD, "numeric": NUMERIC, "rows": rows}


def _primary(document: dict[str, Any]) -> dict[str, Any]:
    told = document["test"] if document["verdict"] != "not assessable" else None
    test = told or {}
    low, high = test.get("accuracy_gain_interval_90", (None, None))
    return {
        "primary": True,
        "study": document["study"],
        "title": document["title"] or document["study"],
        "analysis": f"{document['primary']['backbone']}, {document['primary']['clustering']}",
        "verdict": document["verdict"],
        "badge": words.badge(document["verdict"]),
        "warnings": "; ".join(dict.fromkeys(words.warning(text)["name"] for text in document["warnings"])),
        "numbers": [
            *(number(document["counts"][name].get("test", 0)) for name in ("images", "patients")),
            number(len(test["compared_clusters"]) if test else None),
            _gain(test.get("accuracy_gain"), low, high),
            *(number(test.get(name)) for name in ("p", "p_nonlinear", "p_holm")),
        ],
    }


def _other(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "primary": False,
        "analysis": f"{row['backbone']}, {row['clustering']}",
        "verdict": row["verdict"],
        "numbers": [
            number(row["images"]),
            number(None),
            number(row["compared_clusters"]),
            _gain(row["accuracy_gain"], row["accuracy_gain_low"], row["accuracy_gain_high"]),
            *(number(row[name]) for name in ("p", "p_nonlinear", "p_holm")),
        ],
    }


def _gain(point: float | None, low: float | None, high: float | None) -> str:
    if point is None or low is None or high is None:
        return number(None)
    return f"{100 * point:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
