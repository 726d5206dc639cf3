"""The focal loss against torchvision's, and its derivative against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from heteroscope.training.heads import _errors
from heteroscope.training.losses import focal_factor, focal_loss


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_of_two_classes_it_is_torchvisions(gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logit = 4 * torch.randn(50, generator=generator)
    label = torch.randint(0, 2, (50,), generator=generator)
    scores = torch.stack([torch.zeros(50), logit], dim=1)
    expected = sigmoid_focal_loss(logit, label.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal_loss(scores, label, gamma), expected)


def test_without_gamma_it_is_the_cross_entropy() -> None:
    scores, label = torch.randn(20, 4), torch.arange(20) % 4
    torch.testing.assert_close(focal_loss(scores, label, 0.0), torch.nn.functional.cross_entropy(scores, label))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.5])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_heads_derivative_is_that_of_automatic_differentiation(outputs: int, gamma: float) -> None:
    """Of one output (two classes) and of three, for two groups of two members each."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 2, outputs, 5, generator=generator)
    features = torch.randn(2, 7, 5, generator=generator)
    target = torch.randint(0, max(outputs, 2), (2, 7, 2), generator=generator)
    found = _errors(weight, features, target, gamma)
    assert found.shape == (2, 7, 2, outputs)
    for g in range(2):
        for m in range(2):
            scores = (features[g] @ weight[g, m].T).requires_grad_()
            both = torch.cat([torch.zeros(7, 1), scores], dim=1) if outputs == 1 else scores
            (7 * focal_loss(both, target[g, :, m], gamma)).backward()
            torch.testing.assert_close(found[g, :, m], scores.grad, atol=1e-5, rtol=1e-4)


def test_certain_and_impossible_probabilities_have_finite_factors() -> None:
    assert torch.isfinite(focal_factor(torch.tensor([0.0, 1e-30, 0.5, 1.0]), 0.5)).all()
    assert focal_factor(torch.tensor([1e-30]), 2.0).item() == pytest.approx(1.0)
    assert focal_factor(torch.tensor([1.0]), 2.0).item() == pytest.approx(0.0, abs=1e-6)
