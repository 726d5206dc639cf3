"""Optimisers over a stack of groups in which only the first groups take part in a step.

torch.optim moves every parameter of a tensor at once: a head whose epoch is over would go on
moving by its momentum. Here a step touches the first `active` groups, each with its own count of
steps, and is otherwise torch.optim.Adam and torch.optim.SGD to the letter.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from heteroscope.config import Head

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class StackedOptimizer(Protocol):
    """Moves a prefix of a stack of groups, and can drop groups that are done."""

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """Move `weight[:len(gradient)]` in place; both (groups, …)."""

    def keep(self, groups: Tensor) -> None:
        """Forget all groups but these."""


class StackedSGD:
    """Plain stochastic gradient descent."""

    def __init__(self, weight: Tensor, spec: Head) -> None:
        del weight
        self.spec = spec

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer`."""
        active = weight[: len(gradient)]
        active.sub_(gradient.add(active, alpha=self.spec.weight_decay), alpha=self.spec.learning_rate)

    def keep(self, groups: Tensor) -> None:
        """See `StackedOptimizer`; there is no state."""


class StackedAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1), with L2 weight decay in the gradient."""

    def __init__(self, weight: Tensor, spec: Head) -> None:
        self.spec = spec
        self.mean = torch.zeros_like(weight)
        self.square = torch.zeros_like(weight)
        self.steps = torch.zeros(len(weight), *[1] * (weight.ndim - 1), dtype=torch.float64, device=weight.device)

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer`."""
        size = len(gradient)
        active, mean, square, steps = weight[:size], self.mean[:size], self.square[:size], self.steps[:size]
        if self.spec.weight_decay:
            gradient = gradient.add(active, alpha=self.spec.weight_decay)
        steps += 1
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        first, second = (1 - beta**steps for beta in BETAS)
        denominator = square.sqrt().div_(second.sqrt().to(square.dtype)).add_(EPSILON)
        active.sub_(mean.mul((self.spec.learning_rate / first).to(mean.dtype)).div_(denominator))

    def keep(self, groups: Tensor) -> None:
        """See `StackedOptimizer`."""
        self.mean, self.square, self.steps = self.mean[groups], self.square[groups], self.steps[groups]


def make_optimizer(weight: Tensor, spec: Head) -> StackedOptimizer:
    """The optimiser that a head's specification names, for a stack of weights (groups, …)."""
    return StackedAdam(weight, spec) if spec.optimizer == "adam" else StackedSGD(weight, spec)
