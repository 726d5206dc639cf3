"""Saved figures: the same data, the same bytes; nothing half-written."""

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from heteroscope.figures.hybrids import draw_costs
from heteroscope.figures.style import LABEL_PALETTE, PALETTE, colors, label_colors, save_figure, styled


@styled
def line(values):
    figure = Figure(figsize=(2, 2), layout="constrained")
    figure.subplots().plot(values)
    return figure


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name, values in (("a", [1, 2]), ("b", [1, 2]), ("c", [1, 3])):
        save_figure(line(values), tmp_path / f"{name}.png")
    first, second, third = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert first == second != third
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert b"tIME" not in first


def test_a_failed_figure_leaves_the_old_one_and_no_rest(tmp_path):
    target = tmp_path / "figure.png"
    target.write_bytes(b"old")
    broken = line([1, 2])
    broken.axes[0].set_title("$\\notacommand$", parse_math=True)
    with pytest.raises(ValueError, match="notacommand"):
        save_figure(broken, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_names_between_dollars_stand_as_they_are(tmp_path):
    """A word of a source's table that TeX would not take, wherever a figure writes it."""

    @styled
    def named(word):
        figure = Figure(figsize=(2, 2), layout="constrained")
        axis = figure.subplots()
        axis.plot([1, 2], label=word)
        axis.set_title(word)
        axis.set_xticks([0, 1], [word, ""])
        axis.legend()
        return figure

    save_figure(named(r"$\frac{a$"), tmp_path / "figure.png", footer=r"$\frac{a$")


@pytest.mark.parametrize(
    ("seconds", "expected"), [([0.2, 0.7], {"0.2", "0.3", "0.4", "0.6"}), ([0.003, 4000], {"0.01", "1", "100"})]
)
def test_numbers_of_a_logarithmic_axis_are_plain(seconds, expected):
    scores = {"accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.7}
    names = {"backbone": "a", "classifier": ["svm", "forest"]}
    figure = draw_costs(pd.DataFrame(names | scores | {"training_s": seconds, "ms_per_image": seconds}))
    figure.draw_without_rendering()
    texts = [tick.get_text() for which in ("major", "minor") for tick in figure.axes[0].get_xticklabels(which=which)]
    assert expected <= set(texts)
    assert not any("$" in text for text in texts)


def test_the_style_ends_with_the_function():
    before = dict(mpl.rcParams)
    assert line([1, 2]).axes[0].spines["top"].get_visible() is False
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("number", [1, 2, 8, 9, 20])
@pytest.mark.parametrize("palette", [colors, label_colors])
def test_every_category_has_a_colour_of_its_own(palette, number):
    assert len({to_rgb(color) for color in palette(number)}) == number


def test_labels_do_not_look_like_clusters():
    assert not {to_rgb(color) for color in PALETTE} & {to_rgb(color) for color in LABEL_PALETTE}
