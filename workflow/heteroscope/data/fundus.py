"""Drawing of fundus-like photographs: anatomy, two kinds of lesions, and the look of a site.

Coordinates are those of the field of view: a disc of radius 1 about the origin, x to the right, y
down. Colours are RGB between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

LESION_STRENGTH = 1.0
"""Contrast of the lesions that carry the class; 1 lets a small CNN reach about nine in ten within a site."""

OVERSAMPLING = 2
RETINA = np.array([0.80, 0.37, 0.17])
MACULA = np.array([0.50, 0.18, 0.08])
DISC = np.array([0.98, 0.80, 0.50])
CUP = np.array([1.00, 0.93, 0.74])
VESSEL = np.array([0.42, 0.09, 0.06])
EXUDATE = np.array([1.00, 0.92, 0.45])
HAEMORRHAGE = np.array([0.26, 0.02, 0.03])


@dataclass(frozen=True)
class Look:
    """What a site's camera and operators do to every photograph, whatever is in it.

    Attributes:
        gain: factor of each colour.
        gamma: exponent of brightness.
        blur: standard deviation, as a share of the image's width.
        radius: of the field of view, as a share of half the width; over 1 it is cut at the sides.
        cut: half height of the field of view over its radius; below 1 it is cut above and below.
        noise: standard deviation of each pixel.
        vignetting: darkening at the rim.
    """

    gain: tuple[float, float, float]
    gamma: float
    blur: float
    radius: float
    cut: float
    noise: float
    vignetting: float


LOOKS = (
    Look((1.00, 0.97, 0.95), 1.00, 0.004, 0.90, 1.00, 0.010, 0.30),
    Look((1.00, 1.10, 1.15), 0.93, 0.005, 0.98, 0.80, 0.014, 0.10),
    Look((1.05, 0.88, 0.82), 1.06, 0.006, 0.86, 1.00, 0.018, 0.45),
    Look((0.90, 0.96, 0.88), 1.00, 0.007, 1.02, 0.72, 0.018, 0.50),
)
"""The looks of up to four sites. Field of view and light differ enough for the sites to be the clusters of an early
layer of a small CNN, and so little that a lesion looks alike through all of them: one rule can serve all sites."""


def draw_fundus(
    size: int,
    look: Look,
    *,
    right_eye: bool,
    exudates: bool,
    haemorrhages: bool,
    rng: np.random.Generator,
    strength: float = LESION_STRENGTH,
) -> np.ndarray:
    """One photograph.

    Args:
        size: width and height in pixels.
        look: of the site.
        right_eye: the optic disc lies on the right.
        exudates: bright yellowish patches are present.
        haemorrhages: dark red blots are present.
        rng: everything that chance decides.
        strength: contrast of the lesions.

    Returns:
        (size, size, 3) uint8.
    """
    canvas = _Canvas(size * OVERSAMPLING, look)
    side = 1.0 if right_eye else -1.0
    disc = np.array([side * rng.uniform(0.40, 0.52), rng.uniform(-0.10, 0.06)])
    macula = np.array([disc[0] - side * rng.uniform(0.56, 0.66), disc[1] + rng.uniform(0.02, 0.12)])
    picture = _retina(canvas, macula, rng)
    picture = _paint(picture, canvas.vessels(disc, side, rng), VESSEL, 0.75)
    picture = _disc(picture, canvas, disc, rng)
    picture = _lesions(picture, canvas, disc, exudates=exudates, haemorrhages=haemorrhages, strength=strength, rng=rng)
    return _photograph(picture, canvas, look, rng)


class _Canvas:
    """The pixel grid of a picture in the coordinates of the field of view."""

    def __init__(self, width: int, look: Look) -> None:
        self.width = width
        self.scale = look.radius * width / 2
        axis = ((np.arange(width) + 0.5) - width / 2) / self.scale
        self.x, self.y = np.meshgrid(axis.astype(np.float32), axis.astype(np.float32))

    def distance(self, centre: np.ndarray, stretch: float = 1.0) -> np.ndarray:
        """(width, width) distance from a point; `stretch` widens it upwards and downwards."""
        distance: np.ndarray = np.hypot(self.x - np.float32(centre[0]), (self.y - np.float32(centre[1])) / stretch)
        return distance

    def to_pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Pixel positions of (n, 2) points."""
        return [(float(x), float(y)) for x, y in points * self.scale + self.width / 2]

    def vessels(self, disc: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
        """(width, width) opacity of the vessels that leave the disc."""
        mask = Image.new("L", (self.width, self.width))
        pen = ImageDraw.Draw(mask)
        for points, thickness, opacity in _vascular_tree(disc, side, rng):
            pieces = np.array_split(np.arange(len(points)), 3)
            for piece, taper in zip(pieces, (1.0, 0.8, 0.6), strict=True):
                line = points[piece[0] : piece[-1] + 2]
                pen.line(
                    self.to_pixels(line),
                    fill=int(255 * opacity),
                    width=max(1, round(thickness * taper * self.scale)),
                    joint="curve",
                )
        return gaussian_filter(np.asarray(mask, dtype=np.float32) / 255, 0.006 * self.scale)

    def blots(
        self, centres: np.ndarray, radii: np.ndarray, opacity: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """(width, width) opacity of irregular patches: (n, 2) centres, (n,) radii and opacities."""
        mask = Image.new("L", (self.width, self.width))
        pen = ImageDraw.Draw(mask)
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for centre, radius, value in zip(centres, radii, opacity, strict=True):
            outline = centre + rim * radius * rng.uniform(0.7, 1.25, size=(12, 1))
            pen.polygon(self.to_pixels(outline), fill=int(255 * min(float(value), 1.0)))
        return gaussian_filter(np.asarray(mask, dtype=np.float32) / 255, 0.012 * self.scale)


# ---------------------------------------------------------------------------------------- anatomy


def _retina(canvas: _Canvas, macula: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(width, width, 3): the background with the choroid's mottling and the darker macula."""
    tint = RETINA * rng.normal(1.0, [0.06, 0.08, 0.12])
    grid = Image.fromarray(rng.normal(size=(9, 9)).astype(np.float32))
    mottling = np.asarray(grid.resize((canvas.width, canvas.width), Image.Resampling.BICUBIC))
    picture = tint.astype(np.float32) * (1 + 0.07 * mottling[..., None])
    spread = rng.uniform(0.20, 0.28)
    dark = np.exp(-((canvas.distance(macula) / spread) ** 2)) * rng.uniform(0.5, 0.8)
    return _paint(picture, dark, MACULA, 1.0)


def _disc(picture: np.ndarray, canvas: _Canvas, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The optic disc with its paler cup, over the vessels' roots but not hiding them."""
    radius = rng.uniform(0.145, 0.185)
    distance = canvas.distance(centre, stretch=1.12)
    picture = _paint(picture, _edge(distance, radius, 0.018), DISC, 0.75)
    return _paint(picture, _edge(distance, radius * rng.uniform(0.35, 0.6), 0.03), CUP, 0.6)


def _vascular_tree(
    disc: np.ndarray, side: float, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, float, float]]:
    """Branches as ((n, 2) points, thickness, opacity): four arcades of a vein and an artery each."""
    temporal = np.pi if side > 0 else 0.0
    for vertical in (-1.0, 1.0):
        # Angles are measured from the temporal axis; the temporal arcades arch around the macula.
        for start, bend in ((1.30, -1.25), (2.25, -0.25)):
            for thickness, opacity, swing in ((0.034, 0.95, 0.10), (0.024, 0.65, -0.10)):
                turn = vertical * (-1.0 if side > 0 else 1.0)
                angle = temporal + turn * (start + swing + rng.normal(0, 0.10))
                yield from _branch(
                    disc, angle, turn * (bend + rng.normal(0, 0.12)), 1.25, thickness, opacity, generation=0, rng=rng
                )


def _branch(
    start: np.ndarray,
    angle: float,
    bend: float,
    length: float,
    thickness: float,
    opacity: float,
    *,
    generation: int,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, float, float]]:
    """A branch and those that leave it; `bend` is its whole change of direction in radians."""
    steps = max(8, int(36 * length))
    wander = np.cumsum(rng.normal(0, 0.055, steps))
    direction = angle + bend * np.linspace(0, 1, steps) + wander
    moves = np.stack([np.cos(direction), np.sin(direction)], axis=1) * (length / steps)
    points = start + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    yield points, thickness, opacity
    if generation == 2:
        return
    for place, fork in zip(np.sort(rng.uniform(0.2, 0.9, 3 - generation)), (1, -1, 1), strict=False):
        at = int(place * (steps - 1))
        turn = fork * rng.uniform(0.45, 0.95)
        yield from _branch(
            points[at],
            direction[at] + turn,
            -0.5 * turn + rng.normal(0, 0.2),
            length * rng.uniform(0.35, 0.55),
            thickness * 0.62,
            opacity * 0.85,
            generation=generation + 1,
            rng=rng,
        )


# ---------------------------------------------------------------------------------------- lesions


def _lesions(
    picture: np.ndarray,
    canvas: _Canvas,
    disc: np.ndarray,
    *,
    exudates: bool,
    haemorrhages: bool,
    strength: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Both kinds of lesions where present, among faint specks that every photograph has."""
    for present, colour in ((exudates, EXUDATE), (haemorrhages, HAEMORRHAGE)):
        specks = int(rng.integers(0, 4))
        patches = int(rng.integers(3, 8)) if present else 0
        number = specks + patches
        centres = _places(number, disc, rng)
        radii = np.concatenate([rng.uniform(0.02, 0.04, specks), rng.uniform(0.045, 0.095, patches)])
        faint = rng.uniform(0.3, 0.7, specks)
        plain = strength * rng.uniform(0.35, 1.0) * rng.uniform(0.7, 1.0, patches)
        picture = _paint(picture, canvas.blots(centres, radii, np.concatenate([faint, plain]), rng), colour, 0.9)
    return picture


def _places(number: int, disc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(number, 2) points in the field of view, off the optic disc."""
    angles, distances = rng.uniform(0, 2 * np.pi, 60), 0.72 * np.sqrt(rng.uniform(0, 1, 60))
    points = np.stack([distances * np.cos(angles), distances * np.sin(angles)], axis=1)
    off_disc: np.ndarray = points[np.linalg.norm(points - disc, axis=1) > 0.28]
    return off_disc[:number]


# --------------------------------------------------------------------------------------- the look


def _photograph(picture: np.ndarray, canvas: _Canvas, look: Look, rng: np.random.Generator) -> np.ndarray:
    """What the site's camera makes of the eye: light, colour, blur, field of view, noise."""
    from_centre = np.hypot(canvas.x, canvas.y)
    light = rng.normal(1.0, 0.06) * (1 - look.vignetting * from_centre**2)
    light += rng.normal(0, 0.05) * canvas.x + rng.normal(0, 0.05) * canvas.y
    picture = picture * light[..., None]
    picture = np.clip(picture, 0, 1) ** (look.gamma * rng.normal(1.0, 0.04))
    picture = picture * (np.array(look.gain) * rng.normal(1.0, 0.025, 3)).astype(np.float32)
    inside = _edge(from_centre, 1.0, 0.008) * _edge(np.abs(canvas.y), look.cut, 0.008)
    picture = picture * inside[..., None]
    sigma = look.blur * canvas.width * rng.uniform(0.8, 1.2)
    picture = gaussian_filter(picture, (sigma, sigma, 0))
    small = canvas.width // OVERSAMPLING
    picture = picture.reshape(small, OVERSAMPLING, small, OVERSAMPLING, 3).mean(axis=(1, 3))
    picture = picture + rng.normal(0, look.noise, picture.shape) * np.maximum(picture, 0.15)
    pixels: np.ndarray = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return pixels


def _paint(picture: np.ndarray, opacity: np.ndarray, colour: np.ndarray, most: float) -> np.ndarray:
    cover = (np.clip(opacity, 0, 1) * most)[..., None].astype(np.float32)
    painted: np.ndarray = picture * (1 - cover) + cover * colour.astype(np.float32)
    return painted


def _edge(distance: np.ndarray, radius: float, softness: float) -> np.ndarray:
    """1 inside the radius, 0 outside, with a soft edge."""
    inside: np.ndarray = np.clip((radius - distance) / (2 * softness) + 0.5, 0, 1)
    return inside
