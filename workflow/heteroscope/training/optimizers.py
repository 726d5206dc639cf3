"""Optimisers over a stack of groups in which only the first groups take part in a step.

torch.optim moves a whole parameter at once: a head whose epoch is over would go on moving by its
momentum. So groups with the same number of batches, which share a count of steps, are handed to
torch's fused kernel as one tensor, a view of the stack; it reads and writes the stack once a step.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from heteroscope.config import Head

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class StackedOptimizer(Protocol):
    """Moves a prefix of a stack of groups, and can drop heads that are done."""

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """Move `weight[:len(gradient)]` in place; both (groups, members, …)."""

    def keep(self, groups: np.ndarray, members: np.ndarray) -> None:
        """Forget all heads but these: (groups,) and (members,) bool."""


class StackedSGD:
    """Plain stochastic gradient descent."""

    def __init__(self, spec: Head) -> None:
        self.spec = spec

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer`."""
        active = weight[: len(gradient)]
        active.sub_(gradient.add(active, alpha=self.spec.weight_decay), alpha=self.spec.learning_rate)

    def keep(self, groups: np.ndarray, members: np.ndarray) -> None:
        """See `StackedOptimizer`; there is no state."""


class StackedAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1), with L2 weight decay in the gradient."""

    def __init__(self, weight: Tensor, batches: np.ndarray, spec: Head) -> None:
        self.spec = spec
        self.mean = torch.zeros_like(weight)
        self.square = torch.zeros_like(weight)
        self.ends = [0, *(np.flatnonzero(np.diff(batches)) + 1).tolist(), len(batches)]
        self.steps = [torch.zeros((), device=weight.device) for _ in self.ends[1:]]

    def step(self, weight: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer`."""
        active = [place for place, (a, b) in enumerate(pairwise(self.ends)) if a < b <= len(gradient)]

        def views(stack: Tensor) -> list[Tensor]:
            return [stack[self.ends[place] : self.ends[place + 1]] for place in active]

        # the function behind torch.optim.Adam, whose own bookkeeping costs more than the step of a small stack
        adam(
            views(weight),
            views(gradient),
            views(self.mean),
            views(self.square),
            max_exp_avg_sqs=[],
            state_steps=[self.steps[place] for place in active],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.spec.learning_rate,
            weight_decay=self.spec.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def keep(self, groups: np.ndarray, members: np.ndarray) -> None:
        """See `StackedOptimizer`."""
        rows, columns = (torch.from_numpy(kept).to(self.mean.device) for kept in (groups, members))
        self.mean, self.square = self.mean[rows][:, columns], self.square[rows][:, columns]
        self.ends = [int(groups[:end].sum()) for end in self.ends]


def make_optimizer(weight: Tensor, batches: np.ndarray, spec: Head) -> StackedOptimizer:
    """The optimiser that a head's specification names.

    Args:
        weight: (groups, members, …), the stack.
        batches: (groups,) int, batches of an epoch, never rising: groups with more are active whenever others are.
        spec: optimiser, learning rate, weight decay.
    """
    return StackedAdam(weight, batches, spec) if spec.optimizer == "adam" else StackedSGD(spec)
