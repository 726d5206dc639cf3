"""The curve over training size: its subsets are nested, keep patients and classes, and end at the baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from heteroscope.config import Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.baseline import summary
from heteroscope.evaluation.metrics import METRICS
from heteroscope.training import arms
from heteroscope.training.curve import REPEATS, SHARES, SMALLEST, nested_subsets, patient_places, training_curve
from heteroscope.training.heads import Group, train_heads
from tests.unit.training.worlds import make_samples, with_views

HEAD = Head(learning_rate=0.05, batch_size=16, epochs=4, patience=3, monitor="loss", seeds=2)


def world(patients: list[list[int]], views: int = 0) -> Samples:
    """Training images of these labels, a list a patient, and as many to validate and to test."""
    label = np.array([value for labels in patients for value in labels])
    group = np.repeat(np.arange(len(patients)), [len(labels) for labels in patients])
    n = len(label)
    generator = np.random.default_rng(n)
    samples = Samples(
        features=(generator.normal(size=(3 * n, 3)) + np.tile(label, 3)[:, None]).astype(np.float32),
        image_id=np.array([f"i{row}" for row in range(3 * n)], dtype=object),
        view=np.zeros(3 * n, dtype=np.int64),
        part=np.repeat(["train", "validation", "test"], n).astype(object),
        label=np.tile(label, 3),
        group=np.array([f"{part}{number}" for part in "abc" for number in group], dtype=object),
        class_names=["a", "b", "c"][: int(label.max()) + 1],
        embedding={},
    )
    return with_views(samples, np.zeros(3 * n, dtype=int))[0] if views else samples


labels_of_patients = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=4, max_size=60)


@settings(max_examples=60, deadline=None)
@given(patients=labels_of_patients, views=st.integers(0, 1))
def test_subsets_grow_by_whole_patients_and_keep_the_class_shares(patients: list[list[int]], views: int) -> None:
    samples = world(patients, views)
    train = samples.rows("train")
    for repeat in (1, 2):
        place = patient_places(samples, repeat=repeat)
        assert ((place > 0) & (place < 1)).all()
        smaller: set[int] = set()
        for share in (*SHARES, 1.0):
            subset = train[place <= share]
            assert smaller <= set(subset)
            smaller = set(subset)
            outside = np.setdiff1d(train, subset)
            assert not set(samples.group[subset]) & set(samples.group[outside])
            images = pd.Series(samples.group[subset][samples.view[subset] == 0]).value_counts()
            # patients of one class, and those of several: each kind has its share, but for half a patient
            for kind in ({0}, {1}, {2}, None):
                sizes = {
                    f"a{number}": len(labels)
                    for number, labels in enumerate(patients)
                    if (set(labels) == kind if kind else len(set(labels)) > 1)
                }
                inside = images.reindex(list(sizes)).fillna(0)
                assert abs(inside.sum() - share * sum(sizes.values())) <= max(sizes.values(), default=0) / 2
                assert set(inside) <= {0, *sizes.values()}
        assert sorted(smaller) == train.tolist()


def test_every_image_is_as_likely_as_another_to_be_drawn_early() -> None:
    samples = world([[0]] * 30 + [[1]] * 10)
    drawn = np.mean([patient_places(samples, repeat=repeat) <= 0.25 for repeat in range(2000)], axis=0)
    # a quarter is 7.5 and 2.5 images; an image whose middle lies on the border is in
    np.testing.assert_allclose(drawn, [8 / 30] * 30 + [3 / 10] * 10, atol=0.05)


def test_orders_differ_between_repeats_and_depend_on_the_repeat_alone() -> None:
    samples, _ = make_samples("shared", patients=90)
    orders = [patient_places(samples, repeat=repeat) for repeat in range(1, 6)]
    assert len({tuple(order) for order in orders}) == 5
    np.testing.assert_array_equal(orders[3], patient_places(samples, repeat=4))
    moved = replace(samples, features=samples.features + 1)
    np.testing.assert_array_equal(orders[0], patient_places(moved, repeat=1))


def test_views_go_with_their_image_and_weigh_nothing() -> None:
    """Copies of the first images alone, as in the published protocol."""
    plain = world([[0, 0]] * 20 + [[1]] * 30)
    twice, _ = with_views(plain, np.zeros(len(plain), dtype=int))
    kept = (twice.view == 0) | (twice.label == 0) & np.isin(twice.group, ["a1", "a2", "a3"])
    columns = ("features", "image_id", "view", "part", "label", "group")
    copied = replace(twice, **{name: getattr(twice, name)[kept] for name in columns})
    train = copied.rows("train")
    place = dict(zip(plain.image_id[plain.rows("train")], patient_places(plain, repeat=3), strict=True))
    expected = [place[name] for name in copied.image_id[train]]
    np.testing.assert_array_equal(patient_places(copied, repeat=3), expected)
    for subset in nested_subsets(copied):
        inside = np.isin(copied.image_id[train], copied.image_id[subset.rows])
        assert train[inside].tolist() == subset.rows.tolist()


def test_a_size_without_enough_images_or_without_a_class_is_left_out() -> None:
    def shares(samples: Samples) -> list[float]:
        return sorted({subset.share for subset in nested_subsets(samples)})

    assert shares(world([[0]] * 320 + [[1]] * 320)) == list(SHARES)
    assert shares(world([[0]] * 80 + [[1]] * 80)) == [1 / 16, 1 / 8, 1 / 4, 1 / 2], "five images at the smallest"
    rare = world([[0]] * 320 + [[1]] * 3)
    assert shares(rare) == [1 / 4, 1 / 2], "the first of three is in at a sixth"
    assert shares(world([[0]] * 8 + [[1]] * 8)) == []
    assert shares(world([[0]] * 9 + [[1]] * 9)) == [1 / 2], "the fifth of nine lies on the border, and is in"
    three = world([[0]] * 160 + [[1]] * 160 + [[2]] * 6)
    assert shares(three) == [1 / 8, 1 / 4, 1 / 2]
    for subset in nested_subsets(three):
        assert len(subset.rows) >= SMALLEST
        assert set(three.label[subset.rows]) == {0, 1, 2}


def test_a_size_is_left_out_of_all_repeats_where_one_lacks_a_class() -> None:
    """The large patient of the second class comes first in some orders only."""
    samples = world([[0]] * 100 + [[1], [1], [1], [1] * 5])
    train = samples.rows("train")
    has_both = {
        (share, repeat): len(set(samples.label[train[patient_places(samples, repeat=repeat) <= share]])) == 2
        for share in SHARES
        for repeat in range(1, REPEATS + 1)
    }
    mixed = {share for share in SHARES if len({has_both[share, r] for r in range(1, REPEATS + 1)}) == 2}
    assert mixed, "the case is not in the data"
    found = nested_subsets(samples)
    assert not mixed & {subset.share for subset in found}
    counts = pd.Series([subset.share for subset in found]).value_counts()
    assert set(counts) == {REPEATS}


def test_the_last_size_is_the_baseline_itself() -> None:
    samples, _ = make_samples("planted", patients=100)
    curve = training_curve(samples, HEAD, threads=1)
    trained = arms.train_baseline(samples, HEAD, threads=1)
    expected = summary(samples, trained.probabilities(samples.features[samples.rows("test")])[:, 0], HEAD)
    last = curve[curve["share"] == 1]
    assert last["repeat"].tolist() == [0] * HEAD.seeds
    assert last["training_images"].tolist() == [len(samples.rows("train"))] * HEAD.seeds
    for name in METRICS:
        assert last[name].mean() == expected["metrics"][name]["mean"]


def test_a_point_of_the_curve_is_a_head_on_its_subset() -> None:
    samples, _ = with_views(*make_samples("shared", patients=100))
    curve = training_curve(samples, HEAD, threads=1)
    test = samples.rows("test")
    label = samples.label[test]
    for subset in (nested_subsets(samples)[0], nested_subsets(samples)[-3]):
        for seed in range(HEAD.seeds):
            alone = train_heads(
                samples.features,
                samples.label[None],
                [Group(subset.rows, seed, arms.POOLED)],
                selection=samples.rows("validation"),
                spec=HEAD,
                classes=2,
                threads=1,
            )
            score = alone.probabilities(samples.features[test])[0, 0]
            [row] = curve.query(f"share == {subset.share} and repeat == {subset.repeat} and seed == {seed}").to_dict(
                "records"
            )
            assert row["training_rows"] == len(subset.rows) == 3 * row["training_images"]
            assert row["accuracy"] == pytest.approx(accuracy_score(label, score.argmax(axis=1)))
            assert row["f1"] == pytest.approx(f1_score(label, score.argmax(axis=1)))
            assert row["auc"] == pytest.approx(roc_auc_score(label, score[:, 1]), abs=1e-4)


def test_the_curve_is_the_same_twice_and_rises_where_a_rule_is_hard_to_learn() -> None:
    samples, _ = make_samples("shared", n=600, d=60)
    head = HEAD.model_copy(update={"learning_rate": 0.02, "epochs": 8})
    curve = training_curve(samples, head, threads=1)
    pd.testing.assert_frame_equal(curve, training_curve(samples, head, threads=1))
    assert not curve.duplicated(["share", "repeat", "seed"]).any()
    by_size = curve.groupby("share")["auc"].mean()
    assert list(by_size.index) == [*SHARES[1:], 1.0]
    assert by_size.iloc[-1] - by_size.iloc[0] > 0.1


def test_a_tiny_study_has_the_full_set_alone() -> None:
    curve = training_curve(world([[0]] * 8 + [[1]] * 8), HEAD, threads=1)
    assert curve["share"].tolist() == [1.0] * HEAD.seeds
