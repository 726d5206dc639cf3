from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import PhantomDataset
from heteroscope.data.fundus import LOOKS, draw_fundus
from heteroscope.data.phantom import generate, population
from heteroscope.data.sources import read_phantom


def spec(truth: str, **options: object) -> PhantomDataset:
    return PhantomDataset(adapter="phantom", truth=truth, **options)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("truth", ["homogeneous", "benign", "planted"])
def test_patients_have_two_eyes_one_site_and_one_label(truth: str) -> None:
    table = population(spec(truth, patients=200, sites=4))
    assert len(table) == 400
    by_patient = table.groupby("patient")
    assert (by_patient.size() == 2).all()
    assert (by_patient["eye"].nunique() == 2).all()
    constant = by_patient[["label", "site", "camera", "exudates", "haemorrhages"]].nunique()
    assert (constant == 1).all(axis=None)
    counts = table.groupby(["site", "label"]).size()
    assert counts.min() == counts.max()  # classes are balanced within every site
    assert len(counts) == 2 * (1 if truth == "homogeneous" else 4)


@pytest.mark.parametrize("truth", ["homogeneous", "benign", "planted"])
def test_one_lesion_is_the_class_and_the_other_is_most_in_the_healthy(truth: str) -> None:
    table = population(spec(truth, patients=2000, sites=3, seed=1)).query("eye == 'left'")
    diseased = table["label"] == "disease"
    for site, rows in table.groupby("site"):
        cue = "haemorrhages" if truth == "planted" and site == "site-3" else "exudates"
        other = {"haemorrhages": "exudates", "exudates": "haemorrhages"}[cue]
        assert (rows["cue"] == cue).all()
        assert (rows[cue] == diseased[rows.index]).all()
        assert abs(rows.loc[diseased[rows.index], other].mean() - 0.25) < 0.08
        assert abs(rows.loc[~diseased[rows.index], other].mean() - 0.75) < 0.08


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(spec("planted", patients=8, size=32, seed=seed), tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


def test_numbers_are_told_where_they_are_asked_for_and_change_nothing_else(tmp_path: Path) -> None:
    for name, numbers in (("plain", []), ("lesions", ["haemorrhages", "exudates"]), ("aged", ["age"])):
        generate(spec("planted", patients=8, size=32, attributes=numbers), tmp_path / name)
    assert files(tmp_path / "lesions") == files(tmp_path / "plain")
    pictures = {name: data for name, data in files(tmp_path / "plain").items() if name != "phantom.csv"}
    assert files(tmp_path / "aged").items() >= pictures.items()
    plain, aged = (pd.read_csv(tmp_path / name / "phantom.csv") for name in ("plain", "aged"))
    pd.testing.assert_frame_equal(aged.drop(columns="age"), plain)
    assert len(aged[["patient", "age"]].drop_duplicates()) == 8
    ages = population(spec("planted", patients=2000, attributes=["age"])).query("eye == 'left'")
    assert (ages["age"].min(), ages["age"].max()) == (30, 90)
    assert abs(np.corrcoef(ages["age"], ages["label"] == "disease")[0, 1]) < 0.07
    for numbers in ([], ["exudates"], ["age", "haemorrhages"]):
        place = tmp_path / ("aged" if "age" in numbers else "plain")
        rows = read_phantom(spec("planted", attributes=numbers), place, [])
        told = [name for name in rows if name.startswith("attr_")]
        assert told == [f"attr_{name}" for name in ("site", "camera", "patient", "eye", *numbers)]
        drawn = pd.read_csv(place / "phantom.csv")
        assert all((rows[f"attr_{name}"] == drawn[name]).all() for name in numbers)


def test_an_older_phantom_is_removed_and_nothing_else(tmp_path: Path) -> None:
    generate(spec("planted", patients=12, size=32), tmp_path)
    (tmp_path / "site-1" / "mine.png").write_bytes(b"mine")
    (tmp_path / "phantom.csv").unlink()  # as the workflow does before the job
    generate(spec("homogeneous", patients=8, size=32), tmp_path)
    named = pd.read_csv(tmp_path / "phantom.csv")["path"].tolist()
    assert sorted(files(tmp_path)) == sorted([*named, "phantom.csv", "site-1/mine.png"])


def drawn(seed: int, site: int, **features: bool) -> np.ndarray:
    present = {"exudates": False, "haemorrhages": False} | features
    return draw_fundus(64, LOOKS[site], right_eye=True, rng=np.random.default_rng(seed), **present).astype(int)


@pytest.mark.parametrize("site", range(4))
def test_lesions_brighten_or_darken_what_is_drawn(site: int) -> None:
    plain = np.mean([drawn(seed, site) for seed in range(12)], axis=0)
    bright = np.mean([drawn(seed, site, exudates=True) for seed in range(12)], axis=0)
    dark = np.mean([drawn(seed, site, haemorrhages=True) for seed in range(12)], axis=0)
    inner = np.s_[14:50, 14:50, 1]  # green, inside every field of view
    assert bright[inner].mean() > plain[inner].mean() + 0.5
    assert dark[inner].mean() < plain[inner].mean() - 0.5


def test_anatomy_disc_is_bright_on_its_side_and_the_surround_is_black() -> None:
    for right in (True, False):
        picture = draw_fundus(
            96, LOOKS[0], right_eye=right, exudates=False, haemorrhages=False, rng=np.random.default_rng(3)
        ).astype(float)
        assert picture[:4].max() < 10
        assert picture[:, :, 0].mean() > picture[:, :, 1].mean() > picture[:, :, 2].mean()  # reddish orange
        green = picture[:, :, 1]
        column = np.unravel_index(green.argmax(), green.shape)[1]
        assert (column > 48) == right


def test_sites_look_different_and_homogeneous_ones_do_not(tmp_path: Path) -> None:
    generate(spec("benign", patients=24, size=32), tmp_path)
    table = pd.read_csv(tmp_path / "phantom.csv")
    table["mean"] = [np.asarray(Image.open(tmp_path / path)).mean() for path in table["path"]]
    first, second = (rows["mean"] for _, rows in table.groupby("site"))
    assert np.mean(first.to_numpy()[:, None] < second.to_numpy()) > 0.95
    assert table.groupby("label")["mean"].mean().diff().abs().max() < 0.2 * (second.mean() - first.mean())
