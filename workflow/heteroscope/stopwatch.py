"""How long training and prediction take: numbers that no run repeats, so they stand in files of their own."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds by the clock since it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap, or since it was made."""
        before, self._last = self._last, time.perf_counter()
        return self._last - before


def times_document(
    *,
    training: float,
    prediction: float,
    images: int,
    trainings: int,
    threads: int,
    tuning: float = 0.0,
    handcrafted: float = 0.0,
) -> dict[str, float]:
    """What `times.json` holds of a classifier on embeddings that are already there.

    Args:
        training: seconds of one training.
        prediction: seconds of the predictions of all test images.
        images: number of test images.
        trainings: over which `training` and `prediction` are means.
        threads: of numerical work.
        tuning: seconds of the choice of hyper-parameters.
        handcrafted: seconds of an image's handcrafted features.
    """
    return {
        "training_s": training,
        "tuning_s": tuning,
        "ms_per_image": 1000 * (prediction / images + handcrafted),
        "images": images,
        "trainings": trainings,
        "threads": threads,
    }
