"""Training inside a SLURM job."""

from __future__ import annotations

import numpy as np
import pytest

from heteroscope.config import Head
from heteroscope.training.heads import Group, train_heads


def test_slurms_variables_are_no_instructions_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of several tasks would be taken for a training by as many processes, of which one is there."""
    monkeypatch.setenv("SLURM_JOB_NAME", "study")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(40, 3)).astype(np.float32), np.arange(40)[np.newaxis] % 2
    groups, spec = [Group(np.arange(30), seed=0, stream=0)], Head(epochs=1, seeds=1)
    trained = train_heads(features, labels, groups, selection=np.arange(30, 40), spec=spec, classes=2, threads=1)
    assert np.isfinite(trained.weight).all()
