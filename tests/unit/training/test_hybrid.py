"""Classical classifiers on embeddings: planted truth, and training rows alone in all that is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from heteroscope.config import Hybrid
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.training import hybrid
from heteroscope.training.hybrid import TrainingRows, fit, train_hybrid, tune

METHODS = ["random-forest", "adaboost", "xgboost", "logistic", "svm", "mlp", "knn"]
SMALL = {
    "random-forest": {"n_estimators": 20},
    "adaboost": {"n_estimators": 10},
    "xgboost": {"n_estimators": 10},
    "mlp": {"hidden_layer_sizes": [8], "learning_rate_init": 0.02, "max_iter": 60},
}


def spec(method: str, **keys: Any) -> Hybrid:
    keys.setdefault("seeds", 2)
    return Hybrid.model_validate({"classifier": {"method": method} | SMALL.get(method, {})} | keys)


def make_samples(*, classes: int = 2, patients: int = 90, minority: float = 0.5, seed: int = 0) -> Samples:
    """Two images and one view of each patient; the first feature tells the class, all others are noise."""
    generator = np.random.default_rng(seed)
    label = (np.arange(patients) % classes) if minority == 0.5 else (generator.random(patients) < minority).astype(int)
    part = np.repeat(["train", "validation", "test"], [patients * 6 // 10, patients // 10, patients * 3 // 10])
    rows = [(p, view) for p in range(patients) for view in (0, 0, 1) if view == 0 or part[p] == "train"]
    owner, view = np.array(rows).T
    features = generator.normal(size=(len(rows), 12)).astype(np.float32)
    features[:, 0] += 4 * label[owner]
    return Samples(
        features=features,
        image_id=np.array([f"i{number}" for number in range(len(rows))], dtype=object),
        view=view,
        part=part[owner].astype(object),
        label=label[owner],
        group=np.array([f"p{p}" for p in owner], dtype=object),
        class_names=[f"c{c}" for c in range(classes)],
        embedding={},
    )


def training_rows(samples: Samples) -> TrainingRows:
    train = samples.rows("train")
    return TrainingRows(samples.features[train], samples.label[train], samples.group[train], samples.view[train])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_difference_is_learnt(method: str, classes: int) -> None:
    samples = make_samples(classes=classes)
    trained = train_hybrid(samples, spec(method, imbalance="oversample"), threads=1)
    test = samples.label[samples.rows("test")]
    assert trained.probability.shape == (2, len(test), classes)
    np.testing.assert_allclose(trained.probability.sum(axis=2), 1, atol=1e-5)
    assert (trained.probability.argmax(axis=2) == test).mean() > 0.65
    np.testing.assert_array_equal(
        train_hybrid(samples, spec(method, imbalance="oversample"), threads=1).probability, trained.probability
    )


@pytest.mark.parametrize("keys", [{"imbalance": "smote"}, {"imbalance": "undersample"}, {"method": "random-forest"}])
def test_seeds_differ_where_something_is_drawn(keys: dict[str, str]) -> None:
    keys = {"method": "logistic"} | keys
    first, second = train_hybrid(make_samples(minority=0.3), spec(**keys), threads=1).probability
    assert (first != second).any()


def test_what_is_not_random_is_trained_once() -> None:
    for method, number in (("logistic", 1), ("svm", 1), ("knn", 1), ("xgboost", 1), ("mlp", 2), ("random-forest", 2)):
        assert len(train_hybrid(make_samples(), spec(method), threads=1).probability) == number
    sampled = spec("xgboost", classifier={"method": "xgboost", "n_estimators": 5, "subsample": 0.5})
    assert sampled.is_random


@pytest.mark.parametrize("imbalance", ["none", "class-weights"])
def test_logistic_regression_is_scikit_learns_on_standardised_training_rows(imbalance: str) -> None:
    samples = make_samples(minority=0.2)
    rows, test = training_rows(samples), samples.features[samples.rows("test")]
    mean, spread = rows.features.mean(axis=0), rows.features.std(axis=0)
    weight = "balanced" if imbalance == "class-weights" else None
    reference = LogisticRegression(max_iter=1000, class_weight=weight).fit((rows.features - mean) / spread, rows.label)
    found = train_hybrid(samples, spec("logistic", imbalance=imbalance), threads=1).probability[0]
    np.testing.assert_allclose(found, reference.predict_proba((test - mean) / spread), atol=1e-3)


@pytest.mark.parametrize("imbalance", ["none", "class-weights"])
def test_dense_layers_are_scikit_learns_on_standardised_training_rows(imbalance: str) -> None:
    """Weights of classes are weights of rows."""
    samples = make_samples(minority=0.2)
    rows, test = training_rows(samples), samples.features[samples.rows("test")]
    mean, spread = rows.features.mean(axis=0), rows.features.std(axis=0)
    share = np.bincount(rows.label)[rows.label] / len(rows.label)
    weight = 0.5 / share if imbalance == "class-weights" else None
    layers = {"hidden_layer_sizes": [6, 4], "alpha": 0.01, "learning_rate_init": 0.01, "max_iter": 30}
    found = train_hybrid(samples, spec("mlp", classifier={"method": "mlp"} | layers, imbalance=imbalance), threads=1)
    for seed, probability in enumerate(found.probability):
        reference = MLPClassifier(**layers, random_state=seed)
        reference.fit((rows.features - mean) / spread, rows.label, sample_weight=weight)
        np.testing.assert_allclose(probability, reference.predict_proba((test - mean) / spread), atol=1e-3)


def test_hidden_layers_are_tuned_and_find_what_no_line_does() -> None:
    """Classes in alternate quarters of the plane: one hidden unit cannot, several can, and so are chosen."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(240, 2)).astype(np.float32)
    label = (features.prod(axis=1) > 0).astype(int)
    rows = TrainingRows(features, label, np.arange(240).astype(str), np.zeros(240, dtype=int))
    tuning = {"grid": {"hidden_layer_sizes": [[1], [16, 8]]}, "folds": 3}
    entry = {"method": "mlp", "learning_rate_init": 0.02, "batch_size": 32}
    chosen, candidates = tune(rows, spec("mlp", classifier=entry, tuning=tuning), threads=1)
    assert chosen.classifier.model_dump()["hidden_layer_sizes"] == [16, 8]
    assert candidates[1].mean > 0.9 > 0.75 > candidates[0].mean
    with pytest.raises(ValidationError, match=r"hidden_layer_sizes: \[\]: List should have at least 1 item"):
        spec("mlp", tuning={"grid": {"hidden_layer_sizes": [[]]}})


@pytest.mark.parametrize("imbalance", ["smote", "oversample", "class-weights", "undersample"])
@pytest.mark.parametrize("method", ["random-forest", "xgboost", "adaboost", "svm", "mlp", "logistic"])
def test_balancing_finds_more_of_the_rare_class(method: str, imbalance: str) -> None:
    samples = make_samples(minority=0.15, patients=200)
    samples = replace(samples, features=np.hstack([samples.features[:, :1] / 3, samples.features[:, 1:]]))
    test = samples.label[samples.rows("test")]

    def called(balancing: str) -> float:
        return float(
            (train_hybrid(samples, spec(method, imbalance=balancing), threads=1).probability[..., 1] > 0.5).mean()
        )

    assert test.mean() > 0.05
    assert called(imbalance) >= called("none")
    if method in ("svm", "logistic"):
        assert called(imbalance) > called("none")


@pytest.mark.parametrize("imbalance", ["smote", "oversample", "undersample", "class-weights"])
def test_nothing_that_is_fitted_sees_validation_or_test_rows(imbalance: str) -> None:
    samples = make_samples(minority=0.3)
    tuned = spec(
        "logistic",
        imbalance=imbalance,
        reduce={"method": "pca", "components": 4},
        tuning={"grid": {"C": [0.01, 1]}, "folds": 3},
    )
    probe = np.flatnonzero(samples.part == "test")[:5]
    other = np.setdiff1d(np.flatnonzero(samples.part != "train"), probe)
    features, label = samples.features.copy(), samples.label.copy()
    features[other] = 1e4 * np.random.default_rng(1).normal(size=features[other].shape)
    label[other] = 1 - label[other]
    before = train_hybrid(samples, tuned, threads=1)
    after = train_hybrid(replace(samples, features=features, label=label), tuned, threads=1)
    np.testing.assert_array_equal(before.probability[:, :5], after.probability[:, :5])
    assert before.candidates == after.candidates


def test_synthetic_rows_are_drawn_within_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature carries the row's number: what SMOTE is given never holds a row that the fold asks."""
    samples = make_samples(minority=0.3)
    rows = training_rows(samples)
    numbered = replace(rows, features=np.column_stack([rows.features, np.arange(len(rows.label), dtype=np.float32)]))
    given: list[set[int]] = []

    class Watched(hybrid.SMOTE):
        def fit_resample(self, X: np.ndarray, y: np.ndarray, **keys: Any) -> Any:
            given.append(set(X[:, -1].round().astype(int)))
            return super().fit_resample(X, y, **keys)

    monkeypatch.setattr(hybrid, "SMOTE", Watched)
    tuning = {"grid": {"n_neighbors": [3]}, "folds": 3}
    tune(numbered, spec("knn", imbalance="smote", standardize=False, tuning=tuning), threads=1)
    folds = rows.folds(3, seed=0, what="")
    assert [given_rows & set(asked) for given_rows, (_, asked) in zip(given, folds, strict=True)] == [set()] * 3
    assert given == [set(trained) for trained, _ in folds]


def test_folds_divide_patients_and_ask_no_views() -> None:
    rows = training_rows(make_samples())
    folds = rows.folds(4, seed=0, what="")
    for trained, asked in folds:
        assert not set(rows.group[trained]) & set(rows.group[asked])
        assert (rows.view[asked] == 0).all()
        assert (rows.view[trained] == 1).any()
        assert set(rows.label[asked]) == {0, 1}
    assert sorted(np.concatenate([asked for _, asked in folds])) == np.flatnonzero(rows.view == 0).tolist()


def memorable(patients: int = 60) -> TrainingRows:
    """Three copies of each patient and labels at random: who has seen a patient knows the label, nobody else."""
    generator = np.random.default_rng(4)
    owner = np.repeat(np.arange(patients), 3)
    label = np.arange(patients) % 2
    features = generator.normal(size=(patients, 5)).astype(np.float32)
    return TrainingRows(features[owner], label[owner], owner.astype(str), np.zeros(len(owner), dtype=int))


def test_tuning_is_not_deceived_by_a_patients_other_images() -> None:
    _, candidates = tune(memorable(), spec("knn", tuning={"grid": {"n_neighbors": [1, 5]}}), threads=1)
    assert all(candidate.mean < 0.7 for candidate in candidates)


def test_the_curve_of_margins_is_not_deceived_either() -> None:
    rows = memorable()
    overfit = spec("svm", classifier={"method": "svm", "gamma": 10.0, "C": 100.0})
    found = fit(rows, overfit, seed=0, threads=1).predict_proba(rows.features)
    assert np.abs(found - 0.5).max() < 0.3  # without patients apart it would be sure of every image


def test_tuning_finds_the_kernel_that_the_truth_needs() -> None:
    generator = np.random.default_rng(5)
    features = generator.normal(size=(240, 2)).astype(np.float32)
    label = (features.prod(axis=1) > 0).astype(int)
    rows = TrainingRows(features, label, np.arange(240).astype(str), np.zeros(240, dtype=int))
    for metric in ("accuracy", "auc"):
        tuning = {"grid": {"kernel": ["linear", "rbf"], "C": [1, 10]}, "folds": 3, "metric": metric}
        chosen, candidates = tune(rows, spec("svm", tuning=tuning), threads=1)
        assert [tuple(candidate.parameters.values()) for candidate in candidates] == [
            ("linear", 1), ("linear", 10), ("rbf", 1), ("rbf", 10),
        ]  # fmt: skip
        assert chosen.classifier.model_dump()["kernel"] == "rbf"
        assert chosen.tuning is None
        assert max(candidates, key=lambda c: c.mean).mean > 0.9 > 0.7 > candidates[0].mean


def test_a_random_search_draws_some_combinations_by_its_seed() -> None:
    rows = training_rows(make_samples())

    def tried(seed: int) -> list[dict[str, Any]]:
        grid = {"n_neighbors": [1, 3, 5, 7], "weights": ["uniform", "distance"]}
        tuning = {"grid": grid, "search": "random", "draws": 3, "folds": 2, "seed": seed}
        return [candidate.parameters for candidate in tune(rows, spec("knn", tuning=tuning), threads=1)[1]]

    assert len(tried(0)) == 3
    assert tried(0) == tried(0)
    assert tried(0) != tried(1)


def test_probabilities_of_margins_keep_their_order_and_mean() -> None:
    samples = make_samples()
    rows, test = training_rows(samples), samples.rows("test")
    fitted = fit(rows, spec("svm"), seed=0, threads=1)
    found = fitted.predict_proba(samples.features[test])[:, 1]
    margins = fitted.pipeline.decision_function(samples.features[test])
    assert (np.argsort(found) == np.argsort(margins)).all()
    assert roc_auc_score(samples.label[test], found) > 0.95
    assert found.mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"reduce": {"method": "pca", "components": 500}}, "span at most"),
        ({"tuning": {"grid": {"n_neighbors": [1]}, "folds": 50}}, "a class has 27 patients"),
    ],
)
def test_too_few_rows_end_in_words(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        train_hybrid(make_samples(), spec("knn", **keys), threads=1)


def test_a_class_without_training_rows_or_with_one_ends_in_words() -> None:
    samples = make_samples()
    train = samples.rows("train")
    lonely = replace(samples, part=np.where((samples.part == "train") & (samples.label == 1), "none", samples.part))
    with pytest.raises(DataError, match="no training image of class 'c1'"):
        train_hybrid(lonely, spec("knn"), threads=1)
    lonely.part[train[samples.label[train] == 1][0]] = "train"
    with pytest.raises(DataError, match="one has 1 training row"):
        train_hybrid(lonely, spec("knn", imbalance="smote"), threads=1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tuning": {"grid": {"neighbours": [1]}}}, r"tuning.grid.neighbours: knn has no such key; known: n_neighbors"),
        ({"tuning": {"grid": {"n_neighbors": [0]}}}, r"tuning.grid.n_neighbors: 0: Input should be greater"),
        ({"tuning": {"grid": {"n_neighbors": [1, 1]}}}, "named twice: 1"),
        ({"tuning": {"grid": {}}}, "names no key"),
        ({"imbalance": "class-weights"}, "neighbours have no weights"),
    ],
)
def test_impossible_entries_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec("knn", **keys)
