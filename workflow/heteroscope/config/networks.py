"""The schema of backbones and of how a study trains its own."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from heteroscope.config.base import NO_AUGMENTATION, Closed, Identifier, Positive, Seed
from heteroscope.model_names import MODELS, OWN_MODELS, TORCHVISION_WEIGHTS, unknown_name


class Plateau(Closed):
    """A learning rate that falls where the held-out loss stops falling."""

    method: Literal["plateau"] = Field(description="lower the learning rate where the held-out loss stops falling")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="what the learning rate is multiplied by")
    patience: Positive = Field(4, description="epochs without improvement before it is")


class Cyclical(Closed):
    """A learning rate that rises and falls between two values with every step (Smith, 2017)."""

    method: Literal["cyclical"] = Field(description="raise and lower the learning rate in triangles, step by step")
    maximum: Annotated[float, Field(gt=0)] = Field(
        description="highest learning rate of the first triangle; the lowest is `learning_rate`"
    )
    step_size: Annotated[float, Field(gt=0)] = Field(3.0, description="epochs from the lowest to the highest one")
    mode: Literal["triangular", "triangular2"] = Field(
        "triangular2", description="triangular2: every triangle is half as high as the one before"
    )


class Finetune(Closed):
    """How a study trains its own backbone before it is used as a frozen one."""

    share: Literal["backbone", "train"] = Field(
        "backbone", description="the split's share B; `train` makes the verdict not assessable"
    )
    trainable: Literal["all", "last-block", "head", "adapter"] = Field(
        "all",
        description="what is trained beside the head. last-block: the last stage that convolves or attends, and what is"
        " behind it; adapter: a 3×3 convolution from one to three channels before the network, for grey images. All"
        " else is frozen, the running statistics of its batch norms too",
    )
    initial: str = Field("random", description="weights to start from: random, a torchvision weight name, or a file")
    augmentation: str = Field(NO_AUGMENTATION, description="id of an augmentation drawn anew each epoch, or none")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="optimizer")
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.001, description="its learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of sgd")
    schedule: Annotated[Plateau | Cyclical, Field(discriminator="method")] | None = Field(
        None, description="how the learning rate changes; null: it stays"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="its weight decay")
    imbalance: Literal["none", "oversample", "class-weights"] = Field(
        "none",
        description="oversample: images of smaller classes are shown more often, until all classes are as large;"
        " class-weights: their loss counts more. What selects the epoch stays as it is",
    )
    precision: Literal["float32", "mixed"] = Field(
        "float32", description="mixed: bfloat16 where it suffices, on a GPU; float32 elsewhere"
    )
    loss: Literal["cross-entropy", "focal"] = Field(
        "cross-entropy", description="focal: images that are called right already count less"
    )
    gamma: Annotated[float, Field(ge=0)] = Field(2.0, description="of the focal loss; 0 is cross-entropy")
    batch_size: Positive = Field(32, description="images a step")
    epochs: Positive = Field(10, description="most epochs")
    patience: Positive = Field(3, description="epochs without improvement before it stops")
    min_delta: Annotated[float, Field(ge=0)] = Field(
        0.0, description="what the held-out loss must fall by, to be an improvement"
    )
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2,
        description="share of the patients that selects the epoch; with `share: train` the split's validation images"
        " do, where it has any",
    )
    seed: Seed = Field(0, description="of initialisation, order and held-out patients")

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if isinstance(self.schedule, Cyclical) and self.schedule.maximum <= self.learning_rate:
            raise ValueError(
                f"schedule.maximum: {self.schedule.maximum:g} is not above learning_rate {self.learning_rate:g}, the"
                " lowest of the cycle"
            )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum: belongs to sgd, not to {self.optimizer}; leave it out")
        return self


class Backbone(Closed):
    """A network that turns pixels into an embedding."""

    model: str = Field(description="a torchvision classification model's name, small-cnn, or hybrid-cnn")
    weights: str = Field(description="a torchvision weight name, a file, `random`, or `trained` (needs `finetune`)")
    pooling: Literal["avg", "flatten"] = Field(
        "avg", description="avg: penultimate activations; flatten: last feature map"
    )
    layer: str | None = Field(None, description="a named module instead of the last one")
    pixels: Identifier = Field(description="id of the decoding that the network sees")
    finetune: Finetune | None = Field(None, description="how the study trains it; only with `weights: trained`")
    seed: Seed = Field(0, description="of random weights")
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what embeds; auto: torch on a GPU, else openvino where it serves the network, else torch"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="auto: bfloat16 where the hardware has it and the embeddings agree with float32, else float32",
    )
    batch_size: Positive | None = Field(None, description="images a step of embedding; null: the engine's own")

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(unknown_name("model", model, MODELS))
        return model

    @model_validator(mode="after")
    def _trained_has_a_recipe(self) -> Self:
        if (self.weights == "trained") != (self.finetune is not None):
            raise ValueError("`weights: trained` and a `finetune` recipe go together")
        if self.finetune and self.finetune.initial == "trained":
            raise ValueError("finetune.initial: training starts from random, a published weight name, or a file")
        key = "finetune.initial" if self.finetune else "weights"
        _check_weights(self.model, key, self.finetune.initial if self.finetune else self.weights)
        return self


def _check_weights(model: str, key: str, weights: str) -> None:
    """Refuse what is written like a published weight name and is none; which model has it, torchvision knows."""
    if re.fullmatch(r"IMAGENET\w*|DEFAULT", weights, re.IGNORECASE) is None:
        return
    if weights not in TORCHVISION_WEIGHTS:
        raise ValueError(f"{key}: {unknown_name('published weights', weights, TORCHVISION_WEIGHTS)}")
    if model in OWN_MODELS:
        raise ValueError(f"{key}: {weights!r}: {model} has no published weights; use random, trained, or a file")
