"""Attributes that go with the clusters are found, others are not, and patients are exchanged whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heteroscope.data.attributes import restates_group
from heteroscope.evaluation import attributes
from heteroscope.evaluation.attributes import PatientExchange, attribute_table


def collection(patients: int = 90, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every third patient has two images; `site` and `age` go with the clusters, `noise` and `dose` do not."""
    generator = np.random.default_rng(seed)
    patient = np.concatenate([np.arange(patients), np.arange(0, patients, 3)])
    cluster_of = generator.integers(0, 3, patients)
    site_of = np.where(generator.random(patients) < 0.8, cluster_of, generator.integers(0, 3, patients))
    n = len(patient)
    images = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "group": [f"p{number}" for number in patient],
            "width": 224,
            "height": generator.integers(200, 300, n),
            "mode": np.where(cluster_of[patient] == 1, "L", "RGB"),
            "attr_site": np.array(["a", "b", "c"])[site_of[patient]],
            "attr_age": 40 + 5.0 * cluster_of[patient] + generator.normal(0, 6, patients)[patient],
            "attr_noise": np.array(["x", "y"])[generator.integers(0, 2, patients)[patient]],
            "attr_dose": generator.normal(size=patients)[patient],
            "attr_patient": [f"p{number}" for number in patient],
            "attr_empty": None,
        }
    )
    images.loc[:9, "attr_age"] = np.nan
    originals = pd.DataFrame({"image_id": images["image_id"], "view": 0, "cluster": cluster_of[patient]})
    views = originals.assign(view=1, cluster=0)  # would drown every association
    return images, pd.concat([views, originals], ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return attribute_table(*collection(), seed=1).set_index("attribute")


def test_planted_associations_are_found_and_independent_ones_are_not(table: pd.DataFrame) -> None:
    assert (table.loc[["site", "age", "mode"], "p_holm"] <= 0.05).all()
    assert (table.loc[["noise", "dose", "height"], "p_holm"] > 0.05).all()
    assert table.index[0] == "mode"  # perfectly told by the clusters
    # the weaker age (η²) stands as high as its η does
    assert table.index[:3].tolist() == ["mode", "age", "site"] or table.index[:3].tolist() == ["mode", "site", "age"]
    assert np.isnan(table.loc["width", "association"])
    assert np.isnan(table.loc["empty", "p"])


def test_associations_are_those_of_scipy_over_originals(table: pd.DataFrame) -> None:
    images, assignments = collection()
    frame = assignments[assignments["view"] == 0].merge(images, on="image_id")
    expected = stats.contingency.association(pd.crosstab(frame["attr_site"], frame["cluster"]).to_numpy())
    np.testing.assert_allclose(table.loc["site", "association"], expected)
    assert table.loc["site", "measure"] == "Cramér's V"
    known = frame.dropna(subset="attr_age")
    f = stats.f_oneway(*(part["attr_age"] for _, part in known.groupby("cluster"))).statistic
    between, within = 2, len(known) - 3
    np.testing.assert_allclose(table.loc["age", "association"], f * between / (f * between + within))
    assert table.loc["age", "measure"] == "eta squared"
    assert table.loc["age", "images"] == len(known) == len(frame) - 10
    assert table.loc["site", "levels"] == 3


def test_p_is_fair_where_patients_have_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value a patient and a cluster a patient, drawn apart: exchanging images alone would reject far too often."""
    monkeypatch.setattr(attributes, "PERMUTATIONS", 99)
    p = []
    for seed in range(15):
        generator = np.random.default_rng(seed)
        patient = np.repeat(np.arange(12), 8)
        images = pd.DataFrame(
            {
                "image_id": [str(row) for row in range(96)],
                "group": [f"p{number}" for number in patient],
                "attr_site": generator.permutation(np.arange(12) % 2)[patient].astype(str),
            }
        )
        cluster = generator.permutation(np.arange(12) % 2)[patient]
        assignments = pd.DataFrame({"image_id": images["image_id"], "view": 0, "cluster": cluster})
        p.append(attribute_table(images, assignments, seed=seed)["p"].iloc[0])
    assert np.mean(np.array(p) <= 0.05) <= 0.2
    assert len(set(p)) > 2


def test_an_attribute_that_restates_the_patient_is_left_out(table: pd.DataFrame) -> None:
    assert "patient" not in table.index
    group = pd.Series(["p1", "p1", "p2", "p3"])
    assert restates_group(pd.Series(["x", "x", "y", "z"]), group)
    assert restates_group(pd.Series(["x", None, "y", "z"]), group), "unknown values tell nothing"
    assert not restates_group(pd.Series(["x", "w", "y", "z"]), group), "differs within a patient"
    assert not restates_group(pd.Series(["x", "x", "y", "y"]), group), "shared by patients"
    assert not restates_group(pd.Series([None] * 4), group)
    assert not restates_group(pd.Series([61.5, 61.5, 40.2, 33.0]), group), "a measurement, if different in each"
    numbers = pd.Series(["1000001", "1000001", "7"])
    assert restates_group(pd.Series([1000001, 1000001, 7]), numbers)
    assert not restates_group(pd.Series([1000001, 1000001, 8]), numbers)


def test_the_table_repeats_and_its_seed_matters(table: pd.DataFrame) -> None:
    again = attribute_table(*collection(), seed=1).set_index("attribute")
    pd.testing.assert_frame_equal(again, table)
    other = attribute_table(*collection(), seed=2).set_index("attribute")
    assert (other["p"].dropna() != table["p"].dropna()).any()
    np.testing.assert_allclose(other["association"], table["association"])


def test_whole_patients_change_places_with_equals_alone() -> None:
    group = np.array([*"aabbcddde", *"aff"])  # a: 3 images; b, f: 2; c, e: 1; d: 3
    exchange = PatientExchange(group)
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        source = exchange.draw(generator)
        assert sorted(source) == list(range(len(group)))
        for name in set(group):
            giver = group[source[group == name]]
            assert len(set(giver)) == 1
            assert (group == giver[0]).sum() == (group == name).sum()
            # images keep their order, so that a patient's first image gives to a first image
            assert (np.diff(source[group == name]) > 0).all()
            seen.add((name, giver[0]))
    equals = {"a": "ad", "d": "ad", "b": "bf", "f": "bf", "c": "ce", "e": "ce"}
    assert seen == {(name, giver) for name, givers in equals.items() for giver in givers}


def test_no_attributes_at_all() -> None:
    images = pd.DataFrame({"image_id": ["a", "b"], "group": ["p", "q"]})
    assignments = pd.DataFrame({"image_id": ["a", "b"], "view": 0, "cluster": [0, 1]})
    table = attribute_table(images, assignments, seed=0)
    assert table.empty
    assert list(table.columns) == ["attribute", "measure", "association", "p", "p_holm", "images", "levels"]


def test_many_levels_alone_do_not_put_an_attribute_first() -> None:
    """Cramér's V of an attribute with a level for every two images is large by chance; permutations tell."""
    generator = np.random.default_rng(4)
    n = 200
    cluster = generator.integers(0, 3, n)
    images = pd.DataFrame({"image_id": [f"i{row}" for row in range(n)], "group": [f"g{row}" for row in range(n)]})
    images["attr_scanner"] = [f"s{row // 2}" for row in generator.permutation(n)]
    images["attr_site"] = np.where(generator.random(n) < 0.7, cluster, generator.integers(0, 3, n)).astype(str)
    assignments = pd.DataFrame({"image_id": images["image_id"], "view": 0, "cluster": cluster})
    found = attribute_table(images, assignments, seed=0).set_index("attribute")
    assert found.loc["scanner", "association"] > found.loc["site", "association"] - 0.1
    assert found.index[0] == "site"
