"""What is simulated: settings in blocks, each block one question of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from calibration.worlds import World, angle_of
from heteroscope.config import Head
from heteroscope.provenance import digest

HEAD = Head(learning_rate=0.01, batch_size=32, epochs=15, patience=5, monitor="loss", seeds=1)
DRAWS = 39
COMPONENTS = 20  # that are clustered

Partition = Literal["kmeans", "random", "skewed"]

WEAK, MEDIUM, STRONG = 0.7, 1.2, 1.5  # δ: the best rule is right on 76, 88 and 93 %
PLANTED = MEDIUM
ANGLES = (0, 15, 30, 45, 60, 75, 90)
GAPS = (0.05, 0.10, 0.20)
SIZES = (100, 200, 400, 800, 1600)


@dataclass(frozen=True)
class Setting:
    """One population and one way to ask.

    Attributes:
        block: the question, and the file of its results.
        name: within the block.
        world: what is drawn.
        k: number of clusters.
        partition: k-means; a random division of all rows; or a random one that gives the parts unequal class counts.
        ask: the verdict, or the published comparison with its controls.
        studies: how many.
    """

    block: str
    name: str
    world: World
    k: int
    partition: Partition
    ask: Literal["verdict", "controls"]
    studies: int

    @property
    def digest(self) -> str:
        """Of all that a result depends on, the number of studies left out."""
        return digest(asdict(self) | {"studies": None}, HEAD.model_dump(), DRAWS, COMPONENTS)[:12]


def settings() -> list[Setting]:
    """All settings, block by block."""
    return [*_null(), *_random(), *_published(), *_curved(), *_power(), *_size()]


def homogeneous() -> Iterator[tuple[str, World]]:
    """Populations with one rule."""
    for population in (
        "gaussian",
        "round clouds",
        "heavy tails",
        "ReLU features",
        "equal clumps",
        "unequal clumps",
        "two images a patient",
    ):
        for signal, strength in (("weak", WEAK), ("strong", STRONG)):
            for share, positive in (("1:1", 0.5), ("1:4", 0.2)):
                yield f"{population}, {signal}, {share}", World(population, strength, positive)
    yield "round clouds, medium, 800 training images", World("round clouds", MEDIUM, rows=(800, 200, 400), features=50)
    # a weaker signal would be lost among so many values: the pooled head would learn nothing
    yield "1,280 ReLU features, strong, 1:1", World("ReLU features", STRONG, features=1280)
    yield "prevalence differs between clumps, weak", World("prevalence", WEAK)


def _null() -> list[Setting]:
    return [Setting("null", name, world, 4, "kmeans", "verdict", 50) for name, world in homogeneous()]


def _published() -> list[Setting]:
    return [Setting("published", name, world, 4, "kmeans", "controls", 12) for name, world in homogeneous()]


def _random() -> list[Setting]:
    worlds = {
        "gaussian, 1:1": World("gaussian", WEAK, rows=(240, 80, 200)),
        "gaussian, 1:4": World("gaussian", WEAK, 0.2, rows=(360, 80, 200)),
        "heavy tails, 1:1": World("heavy tails", STRONG, rows=(240, 80, 200)),
    }
    random = [Setting("random", name, world, 3, "random", "controls", 260) for name, world in worlds.items()]
    skewed = Setting(
        "random",
        "gaussian, class counts differ",
        World("gaussian", WEAK, rows=(360, 80, 200)),
        3,
        "skewed",
        "controls",
        260,
    )
    return [*random, skewed]


def _curved() -> list[Setting]:
    return [
        Setting("curved", f"{population}, {signal}", World(population, strength), 4, "kmeans", "verdict", 40)
        for population in ("square", "product")
        for signal, strength in (("weak", WEAK), ("strong", STRONG))
    ]


def _power() -> list[Setting]:
    return [
        Setting(
            "power",
            f"{ratio}, {degrees} degrees",
            World("planted", PLANTED, degrees=degrees, small=small, features=20),
            2,
            "kmeans",
            "verdict",
            30,
        )
        for ratio, small in (("1:1", 1 / 2), ("1:10", 1 / 11))
        for degrees in ANGLES
    ]


def _size() -> list[Setting]:
    return [
        Setting(
            "size",
            f"{gap:.0%}, {train} training images",
            World(
                "planted", PLANTED, rows=(train, train // 4, train // 2), degrees=angle_of(gap, PLANTED), features=20
            ),
            2,
            "kmeans",
            "verdict",
            30,
        )
        for gap in GAPS
        for train in SIZES
    ]
