"""Sheets of class activation maps over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke

from heteroscope.data.places import Lesions, enlarged
from heteroscope.evaluation.explained import Explained
from heteroscope.figures.pictures import read_pictures
from heteroscope.figures.style import INK, PALETTE, roomy, sentence, styled

HEAT_MAP = "inferno"
OPACITY = 0.8  # of a map's strongest place
PANEL = 1.55  # inches of an image
CAPTION = 0.22  # inches of the words below it
LONGEST = 29  # letters of a caption
LONGEST_NAME = 15  # of a class within it
WRONG = PALETTE[5]
OUTLINE = PALETTE[4]


@dataclass(frozen=True)
class Examples:
    """Images that are shown, and what is known of them.

    Attributes:
        pictures: (size, size, 3) or (size, size) uint8.
        words: below each.
        label: (n,) int.
        right: (n,) bool, whether they are called right.
        lesions: outlined.
    """

    pictures: list[np.ndarray]
    words: list[str]
    label: np.ndarray
    right: np.ndarray
    lesions: list[Lesions]


@dataclass(frozen=True)
class Column:
    """Maps of the examples.

    Attributes:
        title: above them.
        cams: (n, h, w), none below 0.
        words: below each.
        right: (n,) bool, whether the decision that each explains is right.
        peaks: x and y of each one's strongest place, in pixels of the picture, NaN where there is none; None: not
            shown.
    """

    title: str
    cams: np.ndarray
    words: list[str]
    right: np.ndarray
    peaks: list[tuple[float, float]] | None = None


@styled
def draw_sheet(examples: Examples, columns: Sequence[Column], *, title: str) -> Figure:
    """Every example with its maps beside it, class by class.

    Where there is one map an image, those called right stand on the left and those called wrong on the right; else one
    below the other.
    """
    pairs = len(columns) == 1
    rows = _rows(examples, pairs)
    across = 1 + len(columns)
    width = (2 if pairs else 1) * across
    size = (PANEL * width + 0.2, (PANEL + CAPTION) * max(len(rows), 1) + 0.6)
    figure = Figure(figsize=size, layout=roomy(0.02))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    grid = _blank(figure, max(len(rows), 1), width)
    for row, axes in zip(rows, grid, strict=False):
        for place, example in enumerate(row):
            if example is not None:
                _draw_example(axes[place * across : (place + 1) * across], examples, columns, example)
    titles = [column.title for column in columns]
    heads = ["called right", *titles, "called wrong", *titles] if pairs else ["image", *titles]
    for axis, words in zip(grid[0], heads, strict=True):
        _head(axis, words)
    if pairs and examples.right.all():
        grid[0, across].text(0.02, 0.5, "None is called wrong.", fontsize=8)
    return figure


def _blank(figure: Figure, rows: int, columns: int) -> np.ndarray:
    """Square axes (rows, columns) that show nothing yet."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axis in grid.flat:
        axis.axis("off")
        axis.set_box_aspect(1)
    return np.asarray(grid)


def _head(axis: Axes, words: str) -> None:
    axis.set_title(_short(words), fontsize=8, loc="center", fontweight="normal")


def _rows(examples: Examples, pairs: bool) -> list[list[int | None]]:
    """The numbers of the examples in each row of the sheet."""
    rows: list[list[int | None]] = []
    for label in dict.fromkeys(examples.label.tolist()):
        right, wrong = (np.flatnonzero((examples.label == label) & (examples.right == side)) for side in (True, False))
        rows += (
            [list(row) for row in zip_longest(right.tolist(), wrong.tolist())]
            if pairs
            else [[row] for row in (*right, *wrong)]
        )
    return rows


def _draw_example(axes: Sequence[Axes], examples: Examples, columns: Sequence[Column], number: int) -> None:
    picture, lesions = examples.pictures[number], examples.lesions[number]
    _draw_picture(axes[0], picture, lesions)
    _caption(axes[0], examples.words[number], INK)
    for axis, column in zip(axes[1:], columns, strict=True):
        peak = column.peaks[number] if column.peaks else None
        _draw_overlay(axis, picture, column.cams[number], lesions, peak)
        _caption(axis, column.words[number], INK if column.right[number] else WRONG)


@styled
def draw_features(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    pictures: Sequence[np.ndarray],
    words: Sequence[str],
    *,
    title: str,
) -> Figure:
    """Where single features are active: a row a feature, a column an image.

    Args:
        rows: a feature's words, and its map (h, w) over each image.
        pictures: (size, size, 3) or (size, size) uint8, one a column.
        words: above the pictures.
        title: of the sheet.
    """
    count = len(pictures)
    figure = Figure(figsize=(PANEL * (count + 1) + 0.2, (PANEL + 0.08) * (len(rows) + 1) + 0.7), layout=roomy(0.02))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    grid = _blank(figure, len(rows) + 1, count + 1)
    for axis, picture, text in zip(grid[0, 1:], pictures, words, strict=True):
        _draw_picture(axis, picture, None)
        _head(axis, text)
    for axes, (text, cams) in zip(grid[1:], rows, strict=True):
        axes[0].text(0.0, 0.5, text, va="center", fontsize=8, linespacing=1.5)
        for axis, picture, cam in zip(axes[1:], pictures, cams, strict=True):
            _draw_overlay(axis, picture, cam, None, None)
    return figure


def _draw_picture(axis: Axes, picture: np.ndarray, lesions: Lesions | None) -> None:
    axis.axis("on")
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if lesions is not None:
        _outline(axis, lesions)


def _draw_overlay(
    axis: Axes, picture: np.ndarray, cam: np.ndarray, lesions: Lesions | None, peak: tuple[float, float] | None
) -> None:
    """A map over the grey image: the stronger the place, the less of the image is seen."""
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    _draw_picture(axis, grey, lesions)
    size = len(picture)
    [heat] = np.maximum(enlarged(cam[None], size, size), 0)
    heat = heat / heat.max() if heat.max() > 0 else heat
    axis.imshow(heat, cmap=HEAT_MAP, vmin=0, vmax=1, alpha=OPACITY * heat, interpolation="antialiased")
    if peak is not None and np.isfinite(peak).all():
        stroke = [withStroke(linewidth=2.4, foreground="black")]
        axis.plot(peak[0] - 0.5, peak[1] - 0.5, marker="+", color="white", markersize=7, path_effects=stroke)
    axis.set_xlim(-0.5, size - 0.5)
    axis.set_ylim(size - 0.5, -0.5)


def _outline(axis: Axes, lesions: Lesions) -> None:
    for x, y, across, down in zip(lesions.x, lesions.y, lesions.across, lesions.down, strict=True):
        circle = Ellipse((x - 0.5, y - 0.5), 2 * across, 2 * down, fill=False, edgecolor=OUTLINE, linewidth=1.1)
        circle.set_path_effects([withStroke(linewidth=2.2, foreground="black")])
        axis.add_patch(circle)


def _caption(axis: Axes, words: str, color: str) -> None:
    axis.set_xlabel("\n".join(_short(line) for line in words.split("\n")), fontsize=7, labelpad=2, color=color)


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _name(class_name: str) -> str:
    return _short(class_name, LONGEST_NAME)


def example_columns(found: Explained) -> list[Column]:
    """The maps beside every example: of the decision, and of a fusion also each part's share and its own decision."""
    count, names, made = found.examples, found.samples.class_names, found.decisions
    rows = found.rows[:count]
    places = list(zip(found.table["peak_x"][:count], found.table["peak_y"][:count], strict=True))
    joint = found.maps.joint()[:count]
    words = decided(made.probability[rows], made.explained[rows], names, joint)
    whole = "decision" if found.alone is None else "fused decision"
    columns = [Column(whole, joint, words, made.right[rows], places)]
    if found.alone is None or found.alone_maps is None:
        return columns
    nothing = [""] * count
    for number, backbone in enumerate(found.backbones):
        share = found.maps.of_branch(number)[:count]
        columns.append(Column(f"{backbone}'s share", share, nothing, made.right[rows]))
    for number, backbone in enumerate(found.backbones):
        probability = found.alone.probability[number]
        cams = found.alone_maps.of_branch(number)
        words = decided(probability, found.alone.explained[number], names, cams)
        right = probability.argmax(axis=1) == made.label[rows]
        columns.append(Column(f"{backbone} alone", cams, words, right))
    return columns


def decided(probability: np.ndarray, explained: np.ndarray, names: Sequence[str], cams: np.ndarray) -> list[str]:
    """What each image is called and how surely; the explained class where it is another, and where its map is empty."""
    words = []
    for row, e, cam in zip(probability, explained, cams, strict=True):
        c = int(row.argmax())
        about = f"no place for {_name(names[e])}" if cam.max() <= 0 else f"map of {_name(names[e])}" if c != e else ""
        words.append(f"called {_name(names[c])}, {row[c]:.2f}\n{about}".strip())
    return words


def sheet_of_examples(found: Explained, pixels: Path) -> Figure:
    """See `draw_sheet`."""
    rows, made = found.rows[: found.examples], found.decisions
    image_id = found.image_ids(rows).tolist()
    pictures = read_pictures(pixels, image_id)
    examples = Examples(
        pictures=[pictures[name] for name in image_id],
        words=[found.samples.class_names[label] for label in made.label[rows]],
        label=made.label[rows],
        right=made.right[rows],
        lesions=found.lesions[: found.examples],
    )
    title = f"Where decisions of {'+'.join(found.backbones)} come from ({found.spec.method})"
    return draw_sheet(examples, example_columns(found), title=title)


def sheet_of_features(found: Explained, pixels: Path) -> Figure:
    """See `draw_features`; a sentence where no features are shown."""
    title = "Where the most telling features are active"
    if found.untested:
        return sentence(f"{title}: not shown\n{found.untested}")
    image_id = found.image_ids(found.feature_rows).tolist()
    pictures = read_pictures(pixels, image_id)
    words = [found.samples.class_names[label] for label in found.decisions.label[found.feature_rows]]
    rows = [
        (_described(row, found.samples.class_names), list(cams))
        for row, cams in zip(found.features.to_dict("records"), found.feature_maps, strict=True)
    ]
    return draw_features(rows, [pictures[name] for name in image_id], words, title=title)


def _described(row: Mapping[Any, Any], names: Sequence[str]) -> str:
    most = max(names, key=lambda name: row[f"mean_{name}"])
    lines = [
        row["backbone"],
        f"feature {row['number']}",
        f"{row['measure']} {row['effect']:.2f}".replace("-", "−"),
        f"q = {row['q']:.2g}",
    ]
    return "\n".join(map(_short, [*lines, f"more in {most}"]))
