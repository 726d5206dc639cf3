"""Stacked optimisers move every group as torch.optim moves a parameter of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heteroscope.config import Head
from heteroscope.training.optimizers import StackedAdam, StackedSGD, make_optimizer

SHAPE = (2, 3, 5)  # members, outputs, values of one group


def torch_optimizer(spec: Head, weight: torch.Tensor) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[spec.optimizer]
    return kind([weight], lr=spec.learning_rate, weight_decay=spec.weight_decay)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_groups_move_like_parameters_of_their_own(optimizer: str, weight_decay: float) -> None:
    spec = Head(optimizer=optimizer, learning_rate=0.05, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, *SHAPE, generator=generator)
    single = [torch.nn.Parameter(group.clone()) for group in weight]
    references = [torch_optimizer(spec, parameter) for parameter in single]
    stacked = make_optimizer(weight, np.array([5, 5, 3, 1]), spec)
    # the last groups sit out some steps, as short epochs do
    for active in (4, 4, 3, 2, 4, 2, 2, 4):
        gradient = torch.randn(active, *SHAPE, generator=generator)
        stacked.step(weight, gradient)
        for group in range(active):
            single[group].grad = gradient[group].clone()
            references[group].step()
        assert_close(weight, torch.stack([parameter.data for parameter in single]))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batches", [[4, 4, 4], [4, 4, 2], [4, 3, 2]])
def test_kept_heads_go_on_with_their_own_state(optimizer: str, batches: list[int]) -> None:
    spec = Head(optimizer=optimizer, learning_rate=0.05, weight_decay=0.1)
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(3, *SHAPE, generator=generator)
    single = torch.nn.Parameter(weight[2, 1].clone())
    reference = torch_optimizer(spec, single)
    stacked = make_optimizer(weight, np.array(batches), spec)
    for step in range(6):
        gradient = torch.randn(*weight.shape, generator=generator)
        stacked.step(weight, gradient)
        single.grad = gradient[-1, -1].clone()
        reference.step()
        if step == 2:
            weight = weight[[0, 2]][:, [1]].clone()
            stacked.keep(np.array([True, False, True]), np.array([False, True]))
    assert_close(weight[-1, -1], single.data)


def test_the_specification_names_the_optimizer() -> None:
    weight, batches = torch.zeros(1, 1, 1, 2), np.ones(1)
    assert isinstance(make_optimizer(weight, batches, Head(optimizer="adam")), StackedAdam)
    assert isinstance(make_optimizer(weight, batches, Head(optimizer="sgd")), StackedSGD)
