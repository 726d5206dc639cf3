"""Metrics as they are written for a reader."""

METRIC_NAMES = {"auc": "AUC", "f1": "F1"}


def metric_name(metric: str) -> str:
    """A metric as it is written for a reader."""
    return METRIC_NAMES.get(metric, metric)
