"""PyTorch Lightning and its metrics, without what these would load beside them.

Lightning imports torchmetrics, which imports torchvision and matplotlib wherever they are installed,
for metrics and plots that nothing here uses: 350 modules at the start of every training job.
"""

from __future__ import annotations

from lightning_utilities.core.imports import RequirementCache

UNUSED = ("torchvision", "matplotlib")

_is_met = RequirementCache.__bool__


def _is_met_and_used(requirement: RequirementCache) -> bool:
    return requirement.requirement not in UNUSED and _is_met(requirement)


# torchmetrics asks these objects what is installed, once, while it is imported
setattr(RequirementCache, "__bool__", _is_met_and_used)  # noqa: B010 (mypy allows no assignment to a method)
try:
    import pytorch_lightning as pytorch_lightning
    import torchmetrics as torchmetrics
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
finally:
    setattr(RequirementCache, "__bool__", _is_met)  # noqa: B010


def single_process() -> LightningEnvironment:
    """Training is one process, whatever SLURM's variables say of the job that it runs in."""
    return LightningEnvironment()
