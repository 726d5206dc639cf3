"""The schema of pixels, splits and augmentations."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heteroscope.config.base import Closed, Fraction, Positive, Seed, Where


class Pixels(Closed):
    """How an image file becomes an array."""

    size: Annotated[int, Field(ge=8, le=4096)] = Field(224, description="width and height in pixels")
    resize: Literal["squash", "pad", "crop"] = Field(
        "squash", description="squash: to a square, ratio lost; pad: with black; crop: the middle square"
    )
    channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for grey")
    dtype: Literal["uint8"] = Field("uint8", description="how a value is stored")
    channel_order: Literal["rgb", "bgr"] = Field("rgb", description="bgr only to repeat a published protocol")
    decoding: Literal["auto", "full"] = Field(
        "auto",
        description="auto: JPEGs at a reduced scale of at least `size` where a sample of them differs little from full"
        " decoding; full: always at full scale, to repeat a result exactly",
    )
    area: Literal["whole", "breast", "lesion"] = Field(
        "whole",
        description="what is shown. breast: the largest bright region of a mammogram; lesion: what the circles enclose"
        " that the source gives (as `mias` does), which every image must have: `filter: {lesions: {min: 1}}`",
    )
    margin: Annotated[float, Field(ge=0, le=2)] = Field(
        0.0, description="share of the area's width and height that is added on every side"
    )

    @model_validator(mode="after")
    def _margin_of_an_area(self) -> Self:
        if self.margin and self.area == "whole":
            raise ValueError("`margin` widens an area: set `area` to breast or lesion, or leave it out")
        return self


class TestWhere(Closed):
    """The test set is every image that meets a condition on attributes."""

    __test__ = False  # not a test class for pytest
    where: Where = Field(description="attribute → allowed values or range of the images that test")
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="share of the patients whose images that meet the condition test; of all others, those that do not"
        " meet it train. Needed where every patient has images of both kinds, such as several magnifications; null: all"
        " images that meet it test",
    )


class TestPerClass(Closed):
    """The test set is as many random images of every class; validation is a share of the rest."""

    __test__ = False  # not a test class for pytest
    per_class: Positive = Field(
        description="test images of every class; only to repeat a published protocol: needs group: none,"
        " stratify: none and backbone: 0"
    )


class Shuffle(Closed):
    """The published order of rows: positive class first, then by attribute, shuffled by pandas."""

    by: str = Field(description="attribute that orders the rows within a class")
    seed: Seed = Field(description="of the shuffle")


class Split(Closed):
    """Which images train, select, test, and train the backbone. Shares are of all images."""

    test: Annotated[float, Field(gt=0, lt=1)] | TestWhere | TestPerClass | Literal["source"] | None = Field(
        0.2,
        description="a share, a condition (`where`), a number of every class (`per_class`), or `source`: the split that"
        " the source gives",
    )
    folds: Annotated[int, Field(ge=2, le=50)] | None = Field(
        None, description="cross-validation instead of `test`: every image outside the share B is tested in one fold"
    )
    validation: Fraction = Field(0.15, description="share that selects the epoch")
    backbone: Fraction = Field(0.0, description="share B on which a study trains its own backbone")
    stratify: Literal["label", "none"] = Field("label", description="label: the same class shares in every part")
    group: Literal["patient", "none"] = Field("patient", description="patient: no patient stands in two parts")
    seed: Seed = Field(0, description="of the division")
    shuffle: Shuffle | None = Field(None, description="only to repeat a published protocol; needs group: none")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.folds is None) == (self.test is None):
            raise ValueError("exactly one of `test` and `folds` is needed (set `test: null` beside `folds`)")
        share = (self.test if isinstance(self.test, float) else 0) + self.validation + self.backbone
        if self.folds:
            share += 1 / self.folds
        if share >= 1:
            raise ValueError(f"test, validation and backbone leave nothing to train on (their shares sum to {share:g})")
        alike = (self.group, self.stratify, self.backbone) == ("none", "none", 0)
        if isinstance(self.test, TestPerClass) and not alike:
            raise ValueError(
                "`test: {per_class: …}` repeats a published split: it needs `group: none`, `stratify: none` and"
                " `backbone: 0`"
            )
        if self.shuffle and (self.group != "none" or not isinstance(self.test, float)):
            raise ValueError("`shuffle` repeats a published split: it needs `group: none` and a share for `test`")
        return self


class Augmentation(Closed):
    """Augmented copies (views) of training images, each seeded by image and view."""

    copies: Positive = Field(1, description="augmented copies of an image")
    first: Positive | None = Field(
        None, description="only the first so many training rows, positive class first (a published protocol)"
    )
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="degrees, drawn from ±")
    shift: Fraction = Field(0.0, description="share of width and height, drawn from ±")
    shear: Annotated[float, Field(ge=0, lt=90)] = Field(0.0, description="degrees, drawn from ±")
    zoom: Fraction = Field(0.0, description="factor drawn from 1 ± zoom")
    flip: bool = Field(False, description="mirror left and right with probability one half")
    fill: Literal["nearest", "reflect", "black"] = Field("nearest", description="what stands beyond the image's edge")
    seed: Seed = Field(0, description="with image and view, of what is drawn")
