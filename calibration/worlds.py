"""Simulated studies: embeddings, labels and patients drawn from a population whose truth is known.

In most populations the classes are two clouds that stand 2 δ standard deviations apart along one direction, so that
the best rule is right on Φ(δ) of the images of balanced classes. In none but `planted` do the rules of two parts
of the data differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit
from scipy.stats import norm

from heteroscope.embedding.samples import PARTS, Samples

FREEDOM = 4  # degrees of freedom of the heavy tails
SPREADS = (2.0, 0.5)  # of the first and the last feature, as embeddings have them
SEPARATION = 6.0  # between the centres of clumps, in standard deviations within them
UNEQUAL = (0.5, 0.25, 0.15, 0.1)  # shares of unequal clumps
TIGHTNESS = (1.0, 0.6, 1.4, 0.8)  # their standard deviations
PREVALENCES = (0.2, 0.4, 0.6, 0.8)  # of the clumps that differ in nothing else
RESEMBLANCE = 0.6  # share of variance that images of one patient have in common
STREAM = 2_000_000_001  # of random numbers: beyond any number of a draw, whose label sets are drawn from (seed, draw)
LATENT = 60  # dimensions behind wide embeddings


@dataclass(frozen=True)
class World:
    """A population and a size of study.

    Attributes:
        population: a name of `POPULATIONS`.
        signal: δ, half the distance of the classes in standard deviations.
        positive: prevalence of the positive class.
        rows: of training, validation and test.
        features: columns of the embedding.
        degrees: between the rules of the two strata of `planted`.
        small: share of its smaller stratum.
    """

    population: str
    signal: float
    positive: float = 0.5
    rows: tuple[int, int, int] = (500, 150, 250)
    features: int = 30
    degrees: float = 0.0
    small: float = 0.5


@dataclass(frozen=True)
class Drawn:
    """Rows of a world.

    Attributes:
        features: (n, d).
        label: (n,) int.
        patient: (n,) int.
        stratum: (n,) int, the clump each row comes from; 0 where there are none.
    """

    features: np.ndarray
    label: np.ndarray
    patient: np.ndarray
    stratum: np.ndarray


def draw(world: World, seed: int) -> tuple[Samples, np.ndarray]:
    """The samples of one study, and the stratum (n,) that each row truly comes from.

    Rows are drawn independently, so the first ones train, the next ones validate and the last ones test.
    """
    generator = np.random.default_rng([seed, STREAM])
    n = sum(world.rows)
    drawn = POPULATIONS[world.population](world, n, generator)
    names = np.array([f"{number:06d}" for number in range(n)], dtype=object)
    samples = Samples(
        features=drawn.features.astype(np.float32),
        image_id=names,
        view=np.zeros(n, dtype=np.int64),
        part=np.repeat(np.array(PARTS, dtype=object), world.rows),
        label=drawn.label,
        group=np.array([f"{number:06d}" for number in drawn.patient], dtype=object),
        class_names=["negative", "positive"],
        embedding={},
    )
    return samples, drawn.stratum


def _labels(world: World, n: int, generator: np.random.Generator) -> np.ndarray:
    return (generator.random(n) < world.positive).astype(np.int64)


def _direction(size: int, generator: np.random.Generator) -> np.ndarray:
    direction = generator.normal(size=size)
    return np.asarray(direction / np.linalg.norm(direction))


def _shifted(noise: np.ndarray, label: np.ndarray, world: World, generator: np.random.Generator) -> np.ndarray:
    """Noise (n, d) of unit spread, with the classes δ to either side along a random direction."""
    return np.asarray(noise + world.signal * np.outer(2 * label - 1, _direction(noise.shape[1], generator)))


def _spread(features: np.ndarray) -> np.ndarray:
    """Features of unequal spread."""
    return np.asarray(features * np.geomspace(*SPREADS, features.shape[1]))


def _alone(features: np.ndarray, label: np.ndarray, stratum: np.ndarray | None = None) -> Drawn:
    """One image a patient."""
    n = len(label)
    return Drawn(features, label, np.arange(n), np.zeros(n, dtype=np.int64) if stratum is None else stratum)


def _gaussian(world: World, n: int, generator: np.random.Generator) -> Drawn:
    label = _labels(world, n, generator)
    return _alone(_spread(_shifted(generator.normal(size=(n, world.features)), label, world, generator)), label)


def _round(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Two round clouds: embeddings vary most along the line between the classes, so that clusters lie along it too."""
    label = _labels(world, n, generator)
    return _alone(_shifted(generator.normal(size=(n, world.features)), label, world, generator), label)


def _heavy(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Multivariate t: far from the centre the classes are told apart less well than a linear rule believes."""
    label = _labels(world, n, generator)
    radius = np.sqrt(FREEDOM / generator.chisquare(FREEDOM, size=(n, 1)))
    return _alone(
        _spread(_shifted(radius * generator.normal(size=(n, world.features)), label, world, generator)), label
    )


def _relu(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """What a layer with rectified linear units makes of two Gaussian clouds."""
    label = _labels(world, n, generator)
    latent = min(LATENT, world.features)
    cloud = _spread(_shifted(generator.normal(size=(n, latent)), label, world, generator))
    layer = generator.normal(size=(latent, world.features)) / np.sqrt(latent)
    return _alone(np.maximum(cloud @ layer + 0.5 * generator.normal(size=world.features), 0.0), label)


def _centres(number: int, world: World, generator: np.random.Generator) -> np.ndarray:
    """Of clumps, a like distance apart from each other."""
    return np.asarray(generator.normal(size=(number, world.features)) * SEPARATION / np.sqrt(2 * world.features))


def _clumps(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Four equal clumps, in each of which the classes differ along the same direction."""
    label, stratum = _labels(world, n, generator), generator.integers(0, 4, n)
    noise = _shifted(generator.normal(size=(n, world.features)), label, world, generator)
    return _alone(noise + _centres(4, world, generator)[stratum], label, stratum)


def _prevalence(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """The same, but for the share of the positive class in each clump."""
    stratum = generator.integers(0, 4, n)
    label = (generator.random(n) < np.array(PREVALENCES)[stratum]).astype(np.int64)
    noise = _shifted(generator.normal(size=(n, world.features)), label, world, generator)
    return _alone(noise + _centres(4, world, generator)[stratum], label, stratum)


def _unequal(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Four clumps of unequal size and tightness; one logistic rule gives the labels of all."""
    stratum = generator.choice(4, size=n, p=UNEQUAL)
    noise = np.array(TIGHTNESS)[stratum, None] * generator.normal(size=(n, world.features))
    features = noise + _centres(4, world, generator)[stratum]
    score = noise @ _direction(world.features, generator)
    return _alone(features, _logistic(_strength(world) * score, world, generator), stratum)


def _patients(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Two images a patient, alike and of one label."""
    patient = np.arange(n) // 2
    label = _labels(world, n, generator)[patient]
    shared = generator.normal(size=(n, world.features))[patient]
    noise = np.sqrt(RESEMBLANCE) * shared + np.sqrt(1 - RESEMBLANCE) * generator.normal(size=(n, world.features))
    features = _spread(_shifted(noise, label, world, generator))
    return Drawn(features, label, patient, np.zeros(n, dtype=np.int64))


def _square(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """One curved rule: a direction, and the square of the first axis, along which clusters lie."""
    noise = generator.normal(size=(n, world.features))
    score = noise[:, 1:] @ _direction(world.features - 1, generator)
    curved = (noise[:, 0] ** 2 - 1) / np.sqrt(2)
    return _alone(_spread(noise), _logistic(_strength(world) * (score + curved) / np.sqrt(2), world, generator))


def _product(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """One rule with a product: what a direction says turns around along the first axis, where clusters lie."""
    noise = generator.normal(size=(n, world.features))
    score = noise[:, 1:] @ _direction(world.features - 1, generator)
    return _alone(_spread(noise), _logistic(_strength(world) * score * noise[:, 0], world, generator))


def _strength(world: World) -> float:
    """The slope that a logistic rule needs on scores of unit spread to tell as much as classes δ apart do."""
    return 2 * world.signal * float(np.sqrt(1 + world.signal**2))


def _logistic(logit: np.ndarray, world: World, generator: np.random.Generator) -> np.ndarray:
    """Labels from log odds, moved by a constant so that the prevalence is the world's."""
    moved = brentq(lambda shift: expit(logit + shift).mean() - world.positive, -50, 50)
    return (generator.random(len(logit)) < expit(logit + moved)).astype(np.int64)


def _planted(world: World, n: int, generator: np.random.Generator) -> Drawn:
    """Two strata far apart; the direction of the classes is turned by an angle from one to the other."""
    label = _labels(world, n, generator)
    stratum = (generator.random(n) < world.small).astype(np.int64)
    # the plane of the two rules, and the line between the strata, at right angles to each other
    base, across, apart = np.linalg.qr(generator.normal(size=(world.features, 3)))[0].T
    half = np.deg2rad(world.degrees) / 2 * (1 - 2 * stratum)[:, None]
    rule = np.cos(half) * base + np.sin(half) * across
    noise = generator.normal(size=(n, world.features))
    features = noise + world.signal * (2 * label - 1)[:, None] * rule + SEPARATION * np.outer(stratum, apart)
    return _alone(features, label, stratum)


POPULATIONS: dict[str, Callable[[World, int, np.random.Generator], Drawn]] = {
    "gaussian": _gaussian,
    "round clouds": _round,
    "heavy tails": _heavy,
    "ReLU features": _relu,
    "equal clumps": _clumps,
    "unequal clumps": _unequal,
    "two images a patient": _patients,
    "prevalence": _prevalence,
    "square": _square,
    "product": _product,
    "planted": _planted,
}


def accuracy_at_stake(world: World) -> float:
    """What the strata's own best rules of `planted` are right on more often than the best rule in common.

    With balanced classes a direction at angle φ to a stratum's own is right on Φ(δ cos φ) of its images; the common
    direction is the best compromise.
    """
    own, turn = norm.cdf(world.signal), np.deg2rad(world.degrees)

    def shared(angle: float) -> float:
        large, small = norm.cdf(world.signal * np.cos([angle, turn - angle]))
        return float((1 - world.small) * large + world.small * small)

    best = minimize_scalar(lambda angle: -shared(angle), bounds=(0, turn / 2), method="bounded")
    return float(own - max(-best.fun, shared(0.0), shared(turn / 2)))


def angle_of(gap: float, signal: float) -> float:
    """Degrees between the rules of two equal strata at which `accuracy_at_stake` is this much."""
    own = norm.cdf(signal)
    return float(2 * np.rad2deg(np.arccos(norm.ppf(own - gap) / signal)))
