"""Which images are tested and searched, and what is summed up, against scipy and scikit-learn on a planted world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, kruskal
from sklearn.metrics import silhouette_score

from heteroscope.config import Features, Retrieval
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.evaluation.feature_tests import correlate, redundancy_table
from heteroscope.evaluation.features import retrieval_table, run_tests, search, sheet_queries, silhouettes, summary

NAMES = ["round", "square", "striped"]
BY_IMAGE = Features(unit="image")


def world(parts: tuple[str, ...] = ("train", "train", "test")) -> Samples:
    """Two images of each of 90 patients, of three classes; the first two of eight features tell the classes apart."""
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(90), 2)
    label = patient % 3
    features = generator.normal(size=(180, 8)) + generator.normal(size=(90, 8))[patient]
    features[:, 0] += 4.0 * label
    features[:, 1] -= 4.0 * (label == 1)
    features[:, 7] = 1.0
    return Samples(
        features=features.astype(np.float32),
        image_id=np.array([f"i{row:03d}" for row in range(180)], dtype=object),
        view=np.zeros(180, dtype=np.int64),
        part=np.array(parts, dtype=object)[patient // 3 % len(parts)],
        label=label,
        group=np.array([f"p{number}" for number in patient], dtype=object),
        class_names=NAMES,
        embedding={"weights": "planted"},
    )


@pytest.fixture(scope="module")
def samples() -> Samples:
    return world()


def groups_of(samples: Samples, part: str, feature: int) -> list[np.ndarray]:
    return [samples.features[(samples.part == part) & (samples.label == c), feature] for c in range(3)]


def test_features_are_tested_on_training_images_and_judged_on_test_images(samples: Samples) -> None:
    tested = run_tests(samples, BY_IMAGE, "train")
    table = tested.table.set_index("feature")
    assert (tested.part, len(tested.units.label)) == ("train", 120)
    for feature in range(7):
        assert table.loc[feature, "p"] == pytest.approx(
            f_oneway(*groups_of(samples, "train", feature)).pvalue, rel=1e-3
        )
        held_out = f_oneway(*groups_of(samples, "test", feature)).pvalue
        assert table.loc[feature, "held_out_p"] == pytest.approx(held_out, rel=1e-3)
    assert table.index[:2].tolist() == [0, 1]
    assert tested.telling().tolist() == [number for number in table.index if number != 7]


def test_features_of_a_network_that_saw_the_training_labels_are_tested_on_test_images_alone(samples: Samples) -> None:
    tested = run_tests(samples, Features(unit="image", test="rank"), "test")
    expected = kruskal(*groups_of(samples, "test", 0))
    row = tested.table.set_index("feature").loc[0]
    assert row["statistic"] == pytest.approx(expected.statistic, rel=1e-5)
    assert tested.held_out is None
    assert np.isnan(row["held_out_p"])


def test_the_summary_counts_what_is_found_again(samples: Samples) -> None:
    spec = Features(level=0.01, correlation=0.8)
    tested = run_tests(samples, spec, "train")
    correlated = correlate(tested.units.features, tested.telling(), spec.correlation)
    groups = redundancy_table(correlated)
    found = summary(samples, spec, tested, groups, correlated, search(samples, spec))
    assert (found["features"], found["constant"], found["significant"]) == (8, 1, 2)
    assert found["tested_on"] == {"part": "train", "units": dict.fromkeys(NAMES, 20)}
    assert found["held_out"] == {"units": dict.fromkeys(NAMES, 10), "significant_again": 2}
    assert found["strongest"]["feature"] == 0
    assert found["redundancy"] == {"threshold": 0.8, "correlated": 7, "groups": 0, "features": 0}
    assert found["search"] == {"queries": 60, "gallery": 120}
    assert found["weights"] == "planted"


def test_what_looks_the_other_way_on_other_images_is_not_found_again() -> None:
    two = world()
    rows = two.label < 2
    columns = ("features", "image_id", "view", "part", "label", "group")
    two = replace(two, class_names=NAMES[:2], **{name: getattr(two, name)[rows] for name in columns})
    turned = two.features.copy()
    turned[two.part == "test", 0] *= -1
    found = {}
    for name, features in {"straight": two.features, "turned": turned}.items():
        samples, spec = replace(two, features=features), Features(level=0.001)
        tested = run_tests(samples, spec, "train")
        correlated = correlate(tested.units.features, tested.telling(), 0.9)
        document = summary(samples, spec, tested, redundancy_table(correlated), correlated, search(samples, spec))
        found[name] = (document["significant"], document["held_out"]["significant_again"])
    assert found == {"straight": (2, 2), "turned": (2, 1)}


def test_test_images_ask_and_training_images_answer(samples: Samples) -> None:
    found = search(samples, Features(retrieval=Retrieval(at=[1, 7])))
    assert set(samples.part[found.query]) == {"test"}
    assert set(samples.part[found.gallery]) == {"train"}
    assert found.found.row.shape == (60, 7)
    table = retrieval_table(samples, Features(retrieval=Retrieval(at=[1, 7])), found)
    assert table["k"].tolist() == [1] * 4 + [7] * 4
    right = samples.label[found.gallery][found.found.row] == samples.label[found.query][:, None]
    assert table["precision"].tolist()[4] == pytest.approx(right.mean())


def test_without_test_images_all_are_asked_of_other_patients() -> None:
    samples = world(("train",))
    found = search(samples, Features())
    assert len(found.query) == len(found.gallery) == 180
    assert (samples.group[found.gallery][found.found.row] != samples.group[found.query][:, None]).all()


def test_the_sheet_asks_one_image_a_patient_as_many_of_each_class(samples: Samples) -> None:
    spec = Features(retrieval=Retrieval(queries=9))
    found = search(samples, spec)
    rows = found.query[sheet_queries(samples, spec, found)]
    assert samples.label[rows].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert len(set(samples.group[rows])) == 9
    other = found.query[sheet_queries(samples, Features(retrieval=Retrieval(queries=9, seed=1)), found)]
    assert set(rows) != set(other)


def test_silhouettes_of_labels_patients_and_attributes(samples: Samples) -> None:
    generator = np.random.default_rng(1)
    images = pd.DataFrame(
        {
            "image_id": samples.image_id,
            "group": samples.group,
            "attr_site": generator.choice(["Oslo", "Kyoto", ""], 180),
            "attr_magnification": generator.choice([40.0, 100.0, np.nan], 180),
            "attr_age": np.arange(180.0),
            "attr_patient": samples.group,
            "attr_constant": "x",
        }
    ).sample(frac=1, random_state=0)
    found = silhouettes(samples, images, "train")
    train = samples.part == "train"
    assert found["images"] == 120
    assert found["labels"] == pytest.approx(silhouette_score(samples.features[train], samples.label[train]))
    assert found["patients"] == pytest.approx(silhouette_score(samples.features[train], samples.group[train]))
    assert set(found["attributes"]) == {"site", "magnification"}
    site = images.set_index("image_id").loc[samples.image_id, "attr_site"].to_numpy()
    known = train & (site != "")
    assert found["attributes"]["site"] == pytest.approx(silhouette_score(samples.features[known], site[known]))


def test_an_embedding_that_does_not_vary_is_refused(samples: Samples) -> None:
    with pytest.raises(DataError, match="fewer than two features of the embedding vary"):
        run_tests(replace(samples, features=np.ones_like(samples.features)), Features(), "train")
