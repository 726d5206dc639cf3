"""torch's optimisers over a stack of groups in which only the first groups take part in a step.

A torch optimiser moves every parameter that has a gradient, and leaves the others as they are, their
momentum and count of steps too. So groups with the same number of batches are one parameter: a view of
the stack. The fused kernels read and write a stack once a step.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from heteroscope.config import Head

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class StackedOptimizer:
    """The optimiser that a head's specification names, for a stack of heads.

    Args:
        weight: (groups, members, …), moved in place.
        batches: (groups,) int, batches of an epoch, falling; those of the stack's first groups are never done first.
        spec: optimiser, learning rate, weight decay.
    """

    def __init__(self, weight: Tensor, batches: np.ndarray, spec: Head) -> None:
        self.ends = [0, *(np.flatnonzero(np.diff(batches)) + 1).tolist(), len(batches)]
        self.runs = [torch.nn.Parameter(weight[a:b], requires_grad=False) for a, b in pairwise(self.ends)]
        self.optimizer = OPTIMIZERS[spec.optimizer](
            self.runs, lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True
        )

    def step(self, gradient: Tensor) -> None:
        """Move the first groups of the stack by their gradients, (active groups, members, …)."""
        for run, (start, end) in zip(self.runs, pairwise(self.ends), strict=True):
            run.grad = gradient[start:end] if start < min(end, len(gradient)) else None
        self.optimizer.step()

    def keep(self, weight: Tensor, groups: np.ndarray, members: np.ndarray) -> None:
        """Go on with these heads alone.

        Args:
            weight: (kept groups, kept members, …), their weights.
            groups: (groups,) bool.
            members: (members,) bool.
        """
        before, self.ends = self.ends, [int(groups[:end].sum()) for end in self.ends]
        chosen = torch.from_numpy(members).to(weight.device)
        for run, (a, b), (start, end) in zip(self.runs, pairwise(before), pairwise(self.ends), strict=True):
            kept = torch.from_numpy(groups[a:b]).to(weight.device)
            for name, value in self.optimizer.state[run].items():
                if torch.is_tensor(value) and value.shape == run.shape:  # a moment, not the count of steps
                    self.optimizer.state[run][name] = value[kept][:, chosen]
            run.grad = None
            run.data = weight[start:end]
