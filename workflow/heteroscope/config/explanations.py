"""The schema of explanations: where in an image a decision comes from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heteroscope.config.base import Closed, Identifier, Positive, Seed

CALLED, TRUE = "called", "true"


class Explanation(Closed):
    """Class activation maps of the decisions of a study's head."""

    method: Literal["grad-cam", "grad-cam++", "xgrad-cam", "hires-cam", "layer-cam"] = Field(
        "grad-cam", description="how the channels of a feature map are weighted"
    )
    layers: dict[Identifier, str] = Field(
        default_factory=dict,
        description="backbone's id → a named module whose map is explained, such as `features.denseblock3`; of all"
        " others the map that the embedding is made of",
    )
    explained: str = Field(
        CALLED, description="which class's logit: called, true, or always the one class that is named"
    )
    seed: Seed = Field(0, description="which of the head's trainings decides, from 0")
    examples: Positive = Field(
        2, description="images a class on the sheet that are called right, and as many wrong: those called most surely"
    )
    features: Positive = Field(
        4,
        description="features of the embedding whose places are shown: those that tell the classes apart best, of the"
        " training images, or of the test images where the training images trained the network",
    )
    tolerance: Annotated[float, Field(ge=0)] = Field(
        0.0, description="pixels of the decoded image by which a map's peak may miss a lesion in the pointing game"
    )
