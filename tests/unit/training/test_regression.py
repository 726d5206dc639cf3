"""Regressors on embeddings: planted truth, the target's unit, and training rows alone in all that is fitted."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import GroupKFold

from heteroscope import reference
from heteroscope.cli.check import wrong_targets
from heteroscope.config import Regression, load
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.layout import Layout
from heteroscope.store import write_table
from heteroscope.training.regression import Regressed, target_of, train_regression
from tests.unit.training.test_hybrid import make_samples

METHODS = ["linear", "random-forest", "adaboost", "xgboost", "svm", "knn"]
RANDOM = ["random-forest", "adaboost"]
SMALL = {"random-forest": {"n_estimators": 20}, "adaboost": {"n_estimators": 20}, "xgboost": {"n_estimators": 20}}


def spec(method: str, **keys: Any) -> Regression:
    regressor = {"method": method} | SMALL.get(method, {}) | keys.pop("regressor", {})
    return Regression.model_validate({"target": "age", "seeds": 2, "regressor": regressor} | keys)


def ages(samples: Samples, *, noise: float = 0.0) -> np.ndarray:
    """Years that two features tell."""
    drawn = np.random.default_rng(1).normal(size=len(samples))
    return 60 + 8 * samples.features[:, 0] - 5 * samples.features[:, 1] + noise * drawn


def trained(samples: Samples, target: np.ndarray, regression: Regression) -> Regressed:
    return train_regression(samples, target, regression, dataset="eyes", threads=1)


def r2(found: Regressed) -> float:
    return float(np.mean([r2_score(found.target, one) for one in found.predicted]))


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_number_is_found_and_noise_is_not(method: str) -> None:
    samples = make_samples(patients=120)
    found = trained(samples, ages(samples), spec(method))
    assert len(found.predicted) == (2 if method in RANDOM else 1)
    assert r2(found) > (0.999 if method == "linear" else 0.5)
    np.testing.assert_array_equal(trained(samples, ages(samples), spec(method)).predicted, found.predicted)
    if method in RANDOM:
        assert (found.predicted[0] != found.predicted[1]).any()
    drawn = np.random.default_rng(0).normal(60, 10, len(samples))
    assert r2(trained(samples, drawn, spec(method))) < 0.1


def test_the_linear_head_is_scikit_learns_ridge_on_standardised_training_rows() -> None:
    samples = make_samples()
    target = ages(samples, noise=5)
    train, test = samples.rows("train"), samples.rows("test")
    mean, spread = samples.features[train].mean(axis=0), samples.features[train].std(axis=0)
    by_hand = Ridge(alpha=30).fit((samples.features[train] - mean) / spread, target[train])
    found = trained(samples, target, spec("linear", regressor={"alpha": 30.0}))
    expected = by_hand.predict((samples.features[test] - mean) / spread)
    np.testing.assert_allclose(found.predicted[0], expected, rtol=1e-4)
    assert found.mean == pytest.approx(target[train].mean())
    assert found.trained == len(train)


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_the_target_changes_nothing(method: str) -> None:
    """A power of two keeps all digits, so that trees divide alike where gains are equal."""
    samples = make_samples()
    target = ages(samples, noise=3)
    years, parts = (trained(samples, unit * target, spec(method)).predicted for unit in (1, 16))
    np.testing.assert_allclose(parts, 16 * years, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_is_fitted_sees_validation_or_test_rows(method: str) -> None:
    samples = make_samples()
    target = ages(samples, noise=3)
    regression = spec(method, reduce={"method": "pca", "components": 5})
    before = trained(samples, target, regression)
    other = samples.part != "train"
    features, changed = samples.features.copy(), target.copy()
    features[samples.part == "validation"] *= 50
    changed[other] += 1000
    after = trained(replace(samples, features=features), changed, regression)
    np.testing.assert_array_equal(after.predicted, before.predicted)


def test_rows_of_unknown_target_are_left_out_and_counted() -> None:
    samples = make_samples()
    target = ages(samples, noise=3)
    hidden = np.random.default_rng(2).random(len(samples)) < 0.3
    found = trained(samples, np.where(hidden, np.nan, target), spec("linear"))
    kept = replace(
        samples,
        **{
            name: getattr(samples, name)[~hidden] for name in ("features", "image_id", "view", "part", "label", "group")
        },
    )
    without = trained(kept, target[~hidden], spec("linear"))
    np.testing.assert_allclose(found.predicted, without.predicted)
    original = samples.view == 0
    assert found.unknown == {part: (hidden & original & (samples.part == part)).sum() for part in ("train", "test")}
    assert without.unknown == {"train": 0, "test": 0}
    np.testing.assert_array_equal(found.target, target[found.test])


def images_of(samples: Samples, **attributes: Any) -> pd.DataFrame:
    """images.parquet, in another order than the samples."""
    frame = pd.DataFrame({"image_id": samples.image_id} | {f"attr_{name}": v for name, v in attributes.items()})
    return frame.drop_duplicates("image_id").iloc[::-1]


def test_the_target_is_joined_by_image_and_its_views_have_it_too() -> None:
    samples = make_samples()
    same = replace(samples, image_id=np.array([f"i{number // 2}" for number in range(len(samples))], dtype=object))
    age = (np.arange(len(samples)) // 2).astype(float)
    age[6:8] = [np.inf, np.inf]
    found = target_of(same, images_of(same, age=age), "age", "eyes")
    np.testing.assert_array_equal(found, np.where(np.isfinite(age), age, np.nan))


def test_a_target_that_cannot_be_is_named_with_what_there_is() -> None:
    samples = make_samples()
    number = np.arange(len(samples))
    images = images_of(samples, age=number, eye=np.array(["left", "right"])[number % 2], tall=number > 3)
    with pytest.raises(DataError, match=r"'eyes': no attribute 'agee'; .*age, eye, tall; .* numbers: age; name one"):
        target_of(samples, images, "agee", "eyes")
    for name, shown in (("eye", "'right', 'left'"), ("tall", "'True', 'False'")):
        with pytest.raises(DataError, match=rf"'eyes': attribute '{name}' is not numeric \(it is {shown}\)"):
            target_of(samples, images, name, "eyes")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["n/a"], r"is not numeric: it is 'n/a' in 1 of 234 rows; leave the cell empty where"),
        (["-", "n/a", "old", "n/a", "?"], r"is not numeric: it is '\?', 'n/a', 'old' … in 5 of 234 rows; leave"),
    ],
)
def test_values_that_are_no_numbers_are_named_with_the_remedy(others: list[str], said: str) -> None:
    samples = make_samples()
    years = np.arange(len(samples)).astype(str).astype(object)
    years[: len(others)] = others
    years[-1] = None
    with pytest.raises(DataError, match=f"'eyes': attribute 'age' {said}"):
        target_of(samples, images_of(samples, age=years), "age", "eyes")


def test_a_target_without_any_value_is_said_to_be_empty() -> None:
    samples = make_samples()
    images = images_of(samples, age=np.full(len(samples), None), size=np.arange(len(samples)))
    with pytest.raises(DataError, match=r"'eyes': attribute 'age' is empty: .* numbers: size; name one"):
        target_of(samples, images, "age", "eyes")


def test_check_names_a_target_that_is_no_number_once_the_images_were_read(tmp_path: Path) -> None:
    classes = {"normal": ["n"], "disease": ["d"]}
    study = {"dataset": "eyes", "split": "holdout", "backbones": ["net"], "head": "linear", "clusterings": ["k2"]}
    study |= {"controls": "all", "primary": {"backbone": "net", "clustering": "k2"}, "regressions": ["age", "again"]}
    columns = {"path": "path", "label": "label", "group": "patient", "attributes": {"age": "age"}}
    config = {
        "datasets": {"eyes": {"adapter": "table", "root": "x", "table": "t.csv", "classes": classes} | columns},
        "pixels": {"small": {"size": 32}},
        "splits": {"holdout": {}},
        "backbones": {"net": {"model": "small-cnn", "weights": "random", "pixels": "small"}},
        "clusterings": {"k2": {"k": 2}},
        "heads": {"linear": {}},
        "controls": {"all": {}},
        "regressions": {key: {"target": "age", "regressor": {"method": "linear"}} for key in ("age", "again")},
        "studies": {"one": study},
    }
    layout = Layout(load(config))
    with contextlib.chdir(tmp_path):
        assert list(wrong_targets(layout)) == []
        images = Path(layout.images("eyes"))
        for ages, problems in ((["54", "61", "n/a"], 1), ([54.0, 61.0, np.nan], 0)):
            write_table(pd.DataFrame({"image_id": list("abc"), "attr_age": ages}), images)
            found = list(wrong_targets(layout))
            assert len(found) == problems
            assert all("'eyes': attribute 'age' is not numeric: it is 'n/a' in 1 of 3 rows" in line for line in found)
        images.write_bytes(b"damaged")
        assert list(wrong_targets(layout)) == []


def test_too_few_known_values_are_named() -> None:
    samples = make_samples()
    train = samples.part == "train"
    for values, there in ((np.full(len(samples), 60.0), "the value 60"), (np.full(len(samples), np.nan), "none")):
        with pytest.raises(DataError, match=rf"'eyes': .*attribute 'age', but of {train.sum()} training rows.*{there}"):
            trained(samples, values, spec("linear"))
    with pytest.raises(DataError, match=r"'age' is known of none of \d+ test images"):
        trained(samples, np.where(train, ages(samples), np.nan), spec("linear"))
    with pytest.raises(DataError, match=r"n_neighbors: 500, but there are \d+ training rows"):
        trained(samples, ages(samples), spec("knn", regressor={"n_neighbors": 500}))
    rows = train.sum()
    tuned = spec("knn", tuning={"grid": {"n_neighbors": [int(rows) - 2]}, "folds": 3})
    with pytest.raises(
        DataError, match=r"n_neighbors: \d+, but there are \d+ training rows in one of 3 folds of the tun"
    ):
        trained(samples, ages(samples), tuned)


# ------------------------------------------------------------------------------------------- tuning


def test_tuning_is_not_deceived_by_a_patients_other_images() -> None:
    """Each patient has a place of their own among the features, which tells the age of their other image alone."""
    samples = make_samples(patients=90)
    generator = np.random.default_rng(3)
    owner = pd.factorize(samples.group)[0]
    features = (30 * generator.normal(size=(90, 12))[owner] + generator.normal(size=samples.features.shape)).astype(
        "f4"
    )
    memorable, age = replace(samples, features=features.astype("f4")), generator.normal(60, 10, 90)[owner]
    tuning = {"grid": {"n_neighbors": [1, 20]}}
    found = trained(memorable, age, spec("knn", standardize=False, tuning=tuning))
    assert [candidate.parameters["n_neighbors"] for candidate in found.candidates] == [1, 20]
    assert found.candidates[0].mean > found.candidates[1].mean
    assert found.spec.regressor == spec("knn", regressor={"n_neighbors": 20}).regressor
    assert found.spec.tuning is None
    without = trained(memorable, age, spec("knn", standardize=False, regressor={"n_neighbors": 20}))
    np.testing.assert_array_equal(found.predicted, without.predicted)
    assert without.candidates == []


@pytest.mark.parametrize(("metric", "score"), [("rmse", root_mean_squared_error), ("mae", mean_absolute_error)])
def test_candidates_are_scored_on_originals_of_other_patients(metric: str, score: Any) -> None:
    samples = make_samples()
    target = ages(samples, noise=5)
    tuning = {"grid": {"alpha": [1.0, 1e6]}, "folds": 3, "metric": metric, "seed": 4}
    found = trained(samples, target, spec("linear", standardize=False, tuning=tuning))
    train = samples.rows("train")
    by_hand = []
    for rows, asked in GroupKFold(3, shuffle=True, random_state=4).split(train, groups=samples.group[train]):
        assert set(samples.group[train[rows]]).isdisjoint(samples.group[train[asked]])
        rows, asked = train[rows], train[asked][samples.view[train[asked]] == 0]
        spread = target[rows].std()
        fitted = Ridge(alpha=1.0).fit(samples.features[rows], target[rows] / spread)
        by_hand.append(score(target[asked], spread * fitted.predict(samples.features[asked])))
    assert found.candidates[0].mean == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert found.candidates[0].sd == pytest.approx(np.std(by_hand, ddof=1), rel=1e-3)
    assert found.spec.regressor.alpha == 1.0


def test_a_table_of_keys_speaks_of_numbers() -> None:
    """Neighbours that vote, and layers of a perceptron, are of classifiers."""
    tables = reference.tables()
    for said, times in (("neighbours that vote", 1), ("neighbours that are averaged", 1)):
        assert tables.count(said) == times
    grids = {}
    for title in ("hybrids: `tuning`", "regressions: `tuning`"):
        [grids[title]] = [
            row for row in tables.split(title)[1].split("###")[0].splitlines() if row.startswith("| `grid`")
        ]
    assert ["list of integer" in row for row in grids.values()] == [True, False]


def test_a_tuning_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"tuning.grid.alphas: linear has no such key; known: alpha"):
        spec("linear", tuning={"grid": {"alphas": [1]}})
    with pytest.raises(ValidationError, match=r"tuning.grid.alpha: -1: Input should be greater"):
        spec("linear", tuning={"grid": {"alpha": [-1]}})
    samples = make_samples()
    with pytest.raises(
        DataError, match=r"tuning takes 99 folds, but 'age' is known of 54 training patients; set fewer"
    ):
        trained(samples, ages(samples), spec("linear", tuning={"grid": {"alpha": [1]}, "folds": 99}))
