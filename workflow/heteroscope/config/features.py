"""The schema of feature analysis: single features tested between classes, and images found by their neighbours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from heteroscope.config.base import Closed, Positive, Seed, distinct


class Retrieval(Closed):
    """Image search by embedding."""

    at: Annotated[list[Positive], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=[1, 5, 10], description="numbers of nearest images whose classes are counted"
    )
    queries: Positive = Field(8, description="queries on the sheet of images, drawn at random, classes in turn")
    seed: Seed = Field(0, description="of the queries on the sheet")


class Features(Closed):
    """Which features of an embedding tell the classes apart, which say the same, and what they find."""

    test: Literal["mean", "rank"] = Field(
        "mean",
        description="mean: Welch's t, of more classes analysis of variance; rank: Mann–Whitney, Kruskal–Wallis",
    )
    unit: Literal["patient", "image"] = Field(
        "patient", description="what counts as one observation; images of one patient are not independent"
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="false discovery rate: a feature is significant where its q is at most this"
    )
    correlation: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="absolute correlation that every two features of a redundant group have at least"
    )
    shown: Annotated[int, Field(ge=2, le=200)] = Field(40, description="features in the heat map, the most telling")
    retrieval: Retrieval = Field(Retrieval(), description="search for the nearest images")
