"""The focal loss: cross-entropy that gives less weight to images which are already called right (Lin et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-7  # of 1 − p, which stands in a denominator


def focal_loss(scores: Tensor, label: Tensor, gamma: float, weight: Tensor | None = None) -> Tensor:
    """The mean of −(1 − p)^γ log p, p the probability of the true class; γ = 0 is cross-entropy.

    Args:
        scores: (n, C) before the softmax.
        label: (n,) int.
        gamma: γ.
        weight: (C,) of the classes, as torch's cross-entropy takes it; None: all alike.
    """
    log_p = scores.log_softmax(dim=1).gather(1, label[:, None])[:, 0]
    losses = -((-torch.expm1(log_p)) ** gamma * log_p)
    if weight is None:
        return losses.mean()
    weights = weight[label]
    return (weights * losses).sum() / weights.sum()


def focal_factor(p: Tensor, gamma: float) -> Tensor:
    """By what the derivative of the cross-entropy is multiplied to be that of the focal loss.

    Both losses depend on the scores through p alone, so the factor is the ratio of their derivatives by p:
    (1 − p)^γ − γ p (1 − p)^(γ − 1) log p.

    Args:
        p: probabilities of the true class.
        gamma: γ.
    """
    rest = (1 - p).clamp_min(SMALLEST)
    factor: Tensor = rest**gamma - gamma * rest ** (gamma - 1) * torch.special.xlogy(p, p)
    return factor
