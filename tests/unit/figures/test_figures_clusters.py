"""Figures of a clustering show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.cluster.hierarchy import fcluster, linkage

from heteroscope.errors import StoreError
from heteroscope.figures import clusters
from heteroscope.figures.clusters import dendrogram_figure, distance_figure, exemplar_figure
from heteroscope.figures.pictures import read_pictures
from heteroscope.figures.style import NEUTRAL, colors, label_colors, save_figure
from heteroscope.store import create_h5, write_strings


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_the_heat_map_writes_every_distance_in_its_cell():
    table = pd.DataFrame(
        {"cluster": [0, 0, 1, 1], "other": [0, 1, 0, 1], "distance": [1.5, 234.6, 234.6, float("nan")]}
    )
    axis = distance_figure(table, [30, 1]).axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts if "framed" not in text.get_text()}
    assert cells == {(0, 0): "1.50", (1, 0): "235", (0, 1): "235", (1, 1): "one row"}
    np.testing.assert_array_equal(axis.images[0].get_array().filled(-1), [[1.5, 234.6], [234.6, -1]])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0\nn = 30", "1\nn = 1"]


def test_a_heat_map_of_many_clusters_has_no_values():
    k = 21
    rows, columns = np.indices((k, k)).reshape(2, -1)
    table = pd.DataFrame({"cluster": rows, "other": columns, "distance": 1.0 * np.abs(rows - columns)})
    assert texts(distance_figure(table, [5] * k).axes[0]) == ["framed: mean distance of all pairs within the cluster"]


def blobs():
    generator = np.random.default_rng(0)
    cluster = generator.permutation(np.repeat([0, 1, 2], [40, 30, 20]))
    return (generator.normal(size=(90, 4)) + 30 * np.eye(3, 4)[cluster]).astype(np.float32), cluster


def test_dendrogram_branches_hold_what_the_ward_tree_puts_there(monkeypatch):
    monkeypatch.setattr(clusters, "DENDROGRAM_LEAVES", 7)
    points, cluster = blobs()
    label = np.random.default_rng(1).integers(0, 2, 90)
    figure = dendrogram_figure(points, cluster, 3, label, ["normal", "cataract"], of=90)
    _, by_cluster, by_label = figure.axes
    sizes = [int(tick.get_text()) for tick in by_label.get_xticklabels()]
    branches = fcluster(linkage(points, "ward"), 7, "maxclust")
    assert sorted(sizes) == sorted(np.bincount(branches)[1:].tolist())

    def shares(axis, number):
        return np.array([[bar.get_height() for bar in container] for container in axis.containers[:number]]).T

    found = sorted((size, *np.round(share, 6)) for size, share in zip(sizes, shares(by_label, 2).tolist(), strict=True))
    expected = sorted(
        (
            int((branches == b).sum()),
            *np.round(np.bincount(label[branches == b], minlength=2) / (branches == b).sum(), 6),
        )
        for b in range(1, 8)
    )
    assert found == expected
    assert (shares(by_cluster, 3).max(axis=1) == 1).all()


def test_dendrogram_links_take_the_colour_of_a_cluster_that_holds_them():
    points, cluster = blobs()
    figure = dendrogram_figure(points, cluster, 3, np.zeros(90, int), ["a", "b"], of=90)
    drawn = {to_rgba(color) for lines in figure.axes[0].collections for color in lines.get_colors()}
    assert drawn == {to_rgba(color) for color in [*colors(3), NEUTRAL]}


def test_a_dendrogram_of_some_rows_says_that_it_shows_a_sample():
    points, cluster = blobs()
    figure = dendrogram_figure(points[:50], cluster[:50], 3, np.zeros(50, int), ["a", "b"], of=90)
    assert figure.axes[0].get_title(loc="left") == "Ward dendrogram of 50 of 90 training rows, drawn at random"
    assert sum(int(tick.get_text()) for tick in figure.axes[2].get_xticklabels()) == 50


def test_the_sheet_has_a_row_a_cluster_with_sizes_and_labels(tmp_path):
    picture = np.full((8, 8, 3), 200, dtype=np.uint8)
    grey = np.zeros((8, 8), dtype=np.uint8)
    figure = exemplar_figure([[(picture, 1), (picture, 0)], [(grey, 0)]], ["normal", "cataract"], [12, 3])
    names = [text for axis in figure.axes for text in texts(axis)]
    assert names == ["cluster 0", "n = 12", "cluster 1", "n = 3"]
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_xlabel() for axis in shown] == ["cataract", "normal", "normal"]
    assert [axis.xaxis.label.get_color() for axis in shown] == [label_colors(2)[label] for label in (1, 0, 0)]
    np.testing.assert_array_equal(shown[0].images[0].get_array(), picture)
    save_figure(figure, tmp_path / "sheet.png")


def test_a_sheet_of_too_many_clusters_says_so(monkeypatch):
    monkeypatch.setattr(clusters, "SHEET_CLUSTERS", 2)
    figure = exemplar_figure([[(np.zeros((4, 4), np.uint8), 0)]] * 3, ["a", "b"], [5, 4, 3])
    assert figure.get_suptitle() == "Training images nearest to each centroid (the 2 largest of 3 clusters)"


def write_pixels(path, order, channels=3):
    pixels = np.arange(2 * channels * 4 * 4, dtype=np.uint8).reshape(2, channels, 4, 4)
    with create_h5(path, "pixels", {"spec": {"channel_order": order}}) as file:
        file.create_dataset("pixels", data=pixels)
        write_strings(file, "image_id", ["aa", "bb"])
    return pixels


@pytest.mark.parametrize(("order", "red"), [("rgb", 0), ("bgr", 2)])
def test_pictures_are_red_green_blue_whatever_the_file(tmp_path, order, red):
    pixels = write_pixels(tmp_path / "pixels.h5", order)
    picture = read_pictures(tmp_path / "pixels.h5", ["bb"])["bb"]
    assert picture.shape == (4, 4, 3)
    np.testing.assert_array_equal(picture[..., 0], pixels[1, red])


def test_grey_pictures_have_no_channel(tmp_path):
    pixels = write_pixels(tmp_path / "pixels.h5", "rgb", channels=1)
    np.testing.assert_array_equal(read_pictures(tmp_path / "pixels.h5", ["aa"])["aa"], pixels[0, 0])


def test_a_missing_picture_is_named(tmp_path):
    write_pixels(tmp_path / "pixels.h5", "rgb")
    with pytest.raises(StoreError, match="image cc is missing"):
        read_pictures(tmp_path / "pixels.h5", ["aa", "cc"])
