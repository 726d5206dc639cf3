"""A whole configuration around a guessed dataset: the demonstration's choices, scaled to the number of images."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heteroscope.guess.guesses import Guess

TEMPLATE = "study.yaml.j2"
IMAGES_A_CLUSTER = 200  # training images, at least
MOST_CLUSTERS = 4
MOST_COMPONENTS = 50
IMAGES_A_COMPONENT = 10  # training images, at least
ENOUGH_FOR_DEFAULT = 20  # images a cluster, twice what the default asks for
VALIDATION = 0.15


@dataclass(frozen=True)
class Sizes:
    """What follows from the number of images.

    Attributes:
        test: share of test images, or `source`.
        validation: share of validation images; the source's own come before it.
        training: about how many images train.
        k: clusters.
        components: principal components that are clustered.
        min_class: fewest training images of a class in a cluster.
        min_test: fewest test images in a cluster.
    """

    test: float | str
    validation: float
    training: int
    k: int
    components: int
    min_class: int
    min_test: int


def sizes(guess: Guess) -> Sizes:
    """Clusters that hold enough images to train on, and a test set that can tell something."""
    share = 0.3 if guess.images < 1000 else 0.2
    tested = guess.tested if guess.tested is not None else round(share * guess.images)
    training = round(guess.images - tested - VALIDATION * guess.images)
    k = max(2, min(MOST_CLUSTERS, training // IMAGES_A_CLUSTER))
    smallest = min(guess.counts.values()) * training / guess.images
    return Sizes(
        test=share if guess.tested is None else "source",
        validation=VALIDATION,
        training=training,
        k=k,
        components=max(2, min(MOST_COMPONENTS, training // IMAGES_A_COMPONENT)),
        min_class=10 if smallest / k >= ENOUGH_FOR_DEFAULT else 5,
        min_test=10 if tested / k >= ENOUGH_FOR_DEFAULT else 5,
    )


def study_id(source: Path) -> str:
    """An id for dataset and study: the name of the folder or table, in letters that an id may have."""
    name = source.stem if source.is_file() else source.resolve().name
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "mine"


def sketch(guess: Guess, *, study: str, source: Path, target: Path) -> str:
    """The text of a configuration file, with comments.

    Args:
        guess: what was guessed about the images.
        study: id of the dataset and of the study.
        source: the folder or table, as the user named it.
        target: the file that the text is for, as the user named it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("heteroscope.guess", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["yaml"] = _flow
    text = environment.get_template(TEMPLATE).render(
        guess=guess, sizes=sizes(guess), study=study, source=source, target=shlex.quote(str(target))
    )
    return f"{text.rstrip()}\n"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
