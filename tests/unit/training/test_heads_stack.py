"""A stack of heads is many trainings at once, each as plain torch would do it alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from torch.nn import functional

from heteroscope.config import Head
from heteroscope.errors import DataError
from heteroscope.evaluation import metrics
from heteroscope.training import heads
from heteroscope.training.heads import Group, HeadStack, TrainedHeads, train_heads

N, D = 140, 6
SELECTION = np.arange(100, N)


def data(classes: int = 2, seed: int = 0, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, N)
    centres = generator.normal(size=(classes, D))
    return (centres[labels] + noise * generator.normal(size=(N, D))).astype(np.float32), labels


def groups_of(sizes: Sequence[int], seed: int = 1) -> list[Group]:
    generator = np.random.default_rng(seed)
    return [Group(generator.permutation(100)[:size], seed=i % 2, stream=i) for i, size in enumerate(sizes)]


def train(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[Group], spec: Head, classes: int = 2
) -> TrainedHeads:
    return train_heads(features, labels, groups, selection=SELECTION, spec=spec, classes=classes, threads=1)


# early stopping at different epochs needs a rate at which some heads overshoot
SPEC = Head(learning_rate=0.2, batch_size=7, epochs=25, patience=2, monitor="loss", seeds=1)


def stack_bytes(groups: int, members: int, outputs: int = 1) -> int:
    return groups * (heads.TENSORS_A_HEAD * members * outputs + SPEC.batch_size) * 4 * (D + 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_stack_equals_separate_trainings(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, first = data(classes)
    generator = np.random.default_rng(5)
    labels = np.stack([first, generator.permutation(first), generator.integers(0, classes, N)])
    groups = groups_of([100, 9, 35, 36, 7, 60, 1])
    whole = train(features, labels, groups, SPEC, classes)
    assert len(np.unique(whole.best_epoch)) > 3, "all heads stopped at the same epoch: nothing is tested"
    for g, group in enumerate(groups):
        for m in range(len(labels)):
            alone = train(features, labels[m : m + 1], [group], SPEC, classes)
            np.testing.assert_allclose(whole.weight[g, m], alone.weight[0, 0], atol=1e-5)
            assert whole.best_epoch[g, m] == alone.best_epoch[0, 0]
            np.testing.assert_allclose(whole.history[:, g, m], alone.history[:, 0, 0], atol=1e-5)
    monkeypatch.setitem(
        heads.STACK_BYTES, "cpu", stack_bytes(groups=1, members=2, outputs=max(classes * (classes > 2), 1))
    )
    chunked = train(features, labels, groups, SPEC, classes)
    np.testing.assert_allclose(chunked.weight, whole.weight, atol=1e-5)
    np.testing.assert_array_equal(chunked.best_epoch, whole.best_epoch)
    np.testing.assert_allclose(chunked.history, whole.history, atol=1e-5)


@pytest.mark.parametrize("members", [1, 2])
def test_each_group_may_have_selection_rows_of_its_own(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, label = data()
    labels = np.stack([label, np.random.default_rng(5).permutation(label)])[:members]
    groups = groups_of([100, 9, 35, 36, 7])
    selection = np.stack([np.random.default_rng(g).permutation(SELECTION)[:15] for g in range(len(groups))])
    options = {"spec": SPEC, "classes": 2, "threads": 1}
    whole = train_heads(features, labels, groups, selection=selection, **options)
    assert (whole.best_epoch != train(features, labels, groups, SPEC).best_epoch).any()
    for g, group in enumerate(groups):
        alone = train_heads(features, labels, [group], selection=selection[g], **options)
        np.testing.assert_array_equal(whole.best_epoch[g], alone.best_epoch[0])
        np.testing.assert_allclose(whole.weight[g], alone.weight[0], atol=1e-5)
    monkeypatch.setitem(heads.STACK_BYTES, "cpu", stack_bytes(groups=2, members=members))
    chunked = train_heads(features, labels, groups, selection=selection, **options)
    np.testing.assert_array_equal(chunked.best_epoch, whole.best_epoch)


def initial_head(group: Group, outputs: int) -> nn.Linear:
    head = nn.Linear(D, outputs)
    start = torch.from_numpy(heads._initial(group, outputs, D + 1))
    with torch.no_grad():
        head.weight.copy_(start[:, :-1])
        head.bias.copy_(start[:, -1])
    return head


def plain_epochs(features: np.ndarray, labels: np.ndarray, group: Group, spec: Head, classes: int) -> list[np.ndarray]:
    """The weights (outputs, d + 1) after each epoch of an ordinary training loop."""
    head = initial_head(group, 1 if classes == 2 else classes)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[spec.optimizer]
    optimizer = kind(head.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    generator = np.random.default_rng([group.seed, group.stream])
    after = []
    for _ in range(spec.epochs):
        order = group.rows[generator.permutation(len(group.rows))]
        for start in range(0, len(order), spec.batch_size):
            rows = order[start : start + spec.batch_size]
            logits, target = head(torch.from_numpy(features[rows])), torch.from_numpy(labels[rows])
            if classes == 2:
                loss = functional.binary_cross_entropy_with_logits(logits[:, 0], target.float())
            else:
                loss = functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after.append(np.hstack([head.weight.detach().numpy(), head.bias.detach().numpy()[:, None]]))
    return after


@pytest.mark.parametrize(
    ("classes", "optimizer", "weight_decay"), [(2, "adam", 0.0), (2, "sgd", 0.05), (3, "adam", 0.05), (3, "sgd", 0.0)]
)
def test_one_head_equals_a_plain_loop(classes: int, optimizer: str, weight_decay: float) -> None:
    features, labels = data(classes)
    spec = Head(
        optimizer=optimizer, learning_rate=0.03, weight_decay=weight_decay, batch_size=8, epochs=5, patience=5, seeds=1
    )
    [group] = groups_of([43])  # the last batch holds three rows
    expected = plain_epochs(features, labels, group, spec, classes)
    trained = train(features, labels[None], [group], spec, classes)
    np.testing.assert_allclose(trained.weight[0, 0], expected[trained.best_epoch[0, 0] - 1], atol=1e-5)
    assert np.abs(expected[-1] - expected[0]).max() > 0.01, "training moved nothing"
    probability = trained.probabilities(features)[0, 0]
    logits = features @ trained.weight[0, 0, :, :-1].T + trained.weight[0, 0, :, -1]
    if classes == 2:
        np.testing.assert_allclose(probability[:, 1], torch.sigmoid(torch.from_numpy(logits[:, 0])), atol=1e-6)
    else:
        np.testing.assert_allclose(probability, torch.softmax(torch.from_numpy(logits), 1), atol=1e-6)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)


def monitored(weight: np.ndarray, features: np.ndarray, label: np.ndarray, monitor: str) -> float:
    score = 1 / (1 + np.exp(-(features @ weight[0, :-1] + weight[0, -1]).astype(float)))
    return {
        "loss": lambda: -log_loss(label, score),
        "accuracy": lambda: float(((score > 0.5) == label).mean()),
        "auc": lambda: float(roc_auc_score(label, score)),
    }[monitor]()


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "auc"])
@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_keeps_the_first_best_epoch(monitor: str, patience: int) -> None:
    features, labels = data(noise=3.0)
    spec = Head(learning_rate=0.1, batch_size=16, epochs=15, patience=patience, monitor=monitor, seeds=1)
    groups = groups_of([50, 30, 20, 11])
    trained = train(features, labels[None], groups, spec)
    for g, group in enumerate(groups):
        weights = plain_epochs(features, labels, group, spec, 2)
        values = [monitored(w, features[SELECTION], labels[SELECTION], monitor) for w in weights]
        best, epoch = 0, 0
        for epoch, value in enumerate(values):
            if value > values[best] + 1e-9:
                best = epoch
            if epoch - best >= patience:
                break
        assert trained.best_epoch[g, 0] == best + 1
        np.testing.assert_allclose(trained.weight[g, 0], weights[best], atol=1e-4)
        np.testing.assert_allclose(trained.history[: epoch + 1, g, 0], values[: epoch + 1], atol=1e-5)
        assert np.isnan(trained.history[epoch + 1 :, g, 0]).all()


def test_patience_of_all_epochs_trains_them_all() -> None:
    features, labels = data()
    trained = train(features, labels[None], groups_of([40, 12]), SPEC.model_copy(update={"patience": 25}))
    assert np.isfinite(trained.history).all()
    np.testing.assert_array_equal(trained.best_epoch, trained.history.argmax(axis=0) + 1)


def test_weights_and_bias_start_as_in_a_linear_layer() -> None:
    start = np.concatenate([heads._initial(Group(np.arange(1), seed, 0), 4, 101) for seed in range(200)])
    torch.manual_seed(0)
    layers = [nn.Linear(100, 4) for _ in range(200)]
    for ours, theirs in (
        (start[:, :-1], np.concatenate([layer.weight.detach().numpy() for layer in layers])),
        (start[:, -1], np.concatenate([layer.bias.detach().numpy() for layer in layers])),
    ):
        assert np.abs(ours).max() <= 0.1
        np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=0.01)
        np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.05)


def test_seeds_and_streams_start_and_order_apart() -> None:
    def start(seed: int, stream: int) -> np.ndarray:
        return heads._initial(Group(np.arange(5), seed, stream), 1, D + 1)

    starts = {start(seed, stream).tobytes() for seed in range(3) for stream in range(3)}
    assert len(starts) == 9
    # the order of rows must not be drawn from the numbers that made the weights
    order = np.random.default_rng([1, 2]).uniform(-1, 1, D + 1) / np.sqrt(D)
    assert not np.allclose(start(1, 2), order)


def test_training_repeats_to_the_bit() -> None:
    features, labels = data()
    first, second = (train(features, labels[None], groups_of([50, 8]), SPEC) for _ in range(2))
    assert first.weight.tobytes() == second.weight.tobytes()


def test_a_group_without_rows_keeps_its_initial_weights() -> None:
    features, labels = data()
    groups = [Group(np.arange(30), 0, 0), Group(np.empty(0, dtype=np.int64), 0, 1)]
    for chosen in (groups, groups[1:]):
        trained = train(features, labels[None], chosen, SPEC)
        np.testing.assert_array_equal(trained.weight[-1, 0], heads._initial(groups[1], 1, D + 1))
        assert trained.best_epoch[-1, 0] == 1


def test_an_undefined_auc_leaves_the_first_epoch() -> None:
    features, _ = data()
    labels = np.zeros((1, N), dtype=int)
    labels[0, :50] = 1  # selection rows hold one class
    spec = SPEC.model_copy(update={"monitor": "auc"})
    trained = train(features, labels, groups_of([60]), spec)
    assert trained.best_epoch.tolist() == [[1]]


def test_heads_that_diverge_are_an_error_that_names_the_remedy() -> None:
    features, labels = data()
    for monitor in ("loss", "accuracy"):
        spec = Head(optimizer="sgd", learning_rate=1e38, monitor=monitor, epochs=3, seeds=1)
        with pytest.raises(DataError, match="learning_rate"):
            train(features * 1e6, labels[None], groups_of([60]), spec)


def test_predictions_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data(3)
    trained = train(features, labels[None], groups_of([40, 20, 30]), SPEC, 3)
    whole = trained.probabilities(features)
    assert whole.shape == (3, 1, N, 3)
    monkeypatch.setattr(heads, "PREDICTION_BYTES", 1)
    np.testing.assert_allclose(trained.probabilities(features), whole, atol=1e-6)
    np.testing.assert_allclose(metrics.log_losses(whole, labels).mean(), -np.log(whole[..., range(N), labels]).mean())


def test_the_optimizer_lives_where_the_weights_are_trained() -> None:
    features, labels = data()
    ones = torch.from_numpy(heads._with_ones(features))
    stack = HeadStack(ones, torch.from_numpy(labels[None]), groups_of([20]), SELECTION, SPEC, 1).to("meta")
    stack.on_fit_start()
    assert stack.weight.device.type == stack.optimizer.mean.device.type == "meta"
