"""Principal components: against a singular value decomposition, and on training rows alone."""

import numpy as np
import pytest

from heteroscope.clustering import reduction
from heteroscope.clustering.reduction import Reducer
from heteroscope.config import Reduction
from heteroscope.errors import DataError


def fit_reduction(train: np.ndarray, spec: Reduction, seed: int) -> Reducer:
    """Every row trains."""
    return reduction.fit_reduction(train, np.arange(len(train)), spec, seed)


def features(rows=40, columns=12, seed=0):
    generator = np.random.default_rng(seed)
    scale = 0.6 ** np.arange(columns)
    return (generator.normal(size=(rows, columns)) * scale + 3).astype(np.float32)


def test_components_equal_the_singular_vectors_of_the_centred_training_rows():
    train, test = features(), features(seed=1)
    reducer = fit_reduction(train, Reduction(method="pca", components=4), seed=0)
    mean = train.mean(axis=0, dtype=np.float64)
    _, values, vectors = np.linalg.svd(train - mean)
    expected = (test - mean) @ vectors[:4].T
    found = reducer.transform(test)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(reducer.explained_variance_ratio, (values**2 / (values**2).sum())[:4], rtol=1e-4)
    assert reducer.explained_variance == pytest.approx(((values**2)[:4]).sum() / (values**2).sum(), rel=1e-4)


def test_the_largest_loading_of_every_component_is_positive():
    train = features()
    for data in (train, -train):
        loadings = fit_reduction(data, Reduction(method="pca", components=5), seed=0).pca.components_
        assert (loadings[np.arange(5), np.abs(loadings).argmax(axis=1)] > 0).all()


def test_a_share_of_variance_takes_the_fewest_components_that_reach_it():
    train = features()
    values = np.linalg.svd(train - train.mean(axis=0), compute_uv=False) ** 2
    fewest = int(np.searchsorted(np.cumsum(values) / values.sum(), 0.9)) + 1
    reducer = fit_reduction(train, Reduction(method="pca", variance=0.9), seed=0)
    assert reducer.dimensions == fewest
    assert reducer.transform(train).shape == (40, fewest)


def test_wide_embeddings_are_reduced_reproducibly_and_near_the_exact_answer():
    generator = np.random.default_rng(3)
    signal = generator.normal(size=(150, 5)) * [9, 7, 5, 4, 3] @ np.linalg.qr(generator.normal(size=(3000, 5)))[0].T
    wide = (signal + 0.01 * generator.normal(size=(150, 3000))).astype(np.float32)
    spec = Reduction(method="pca", components=5)
    first, second = (fit_reduction(wide, spec, seed=4).transform(wide) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    exact = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)[:5]
    np.testing.assert_allclose(np.linalg.norm(first, axis=0), exact, rtol=1e-3)


def test_no_reduction_changes_nothing():
    train = features()
    reducer = fit_reduction(train, Reduction(), seed=0)
    assert reducer.dimensions == 12
    assert reducer.explained_variance == 1
    np.testing.assert_array_equal(reducer.transform(train), train)


@pytest.mark.parametrize(("rows", "columns", "most"), [(10, 50, 9), (50, 10, 10)])
def test_more_components_than_the_training_rows_span_are_refused(rows, columns, most):
    data = features(rows, columns)
    fit_reduction(data, Reduction(method="pca", components=most), seed=0)
    with pytest.raises(DataError, match=rf"{most + 1} principal components .* {rows} training rows .* at most {most}"):
        fit_reduction(data, Reduction(method="pca", components=most + 1), seed=0)


@pytest.mark.parametrize(("rows", "columns", "expected"), [(80, 60, 50), (20, 60, 19), (80, 7, 7)])
def test_the_rule_basis_is_as_large_as_the_rows_allow_up_to_fifty(rows, columns, expected):
    assert reduction.fit_rule_basis(features(rows, columns), np.arange(rows), seed=0).dimensions == expected
