"""An image's shard follows from its own bytes."""

from __future__ import annotations

import hashlib

import pytest

from heteroscope.data.shards import shard_of


def test_known_ids() -> None:
    assert [shard_of(name, 2) for name in ("00000000ffffffff", "00000001ffffffff", "00000002")] == [1, 2, 1]
    assert shard_of("ffffffff0", 16) == 16


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_shards_are_about_equally_large(shards: int) -> None:
    """Binomial: 4000 images, bounds of five standard errors."""
    counts = [0] * shards
    for number in range(4000):
        counts[shard_of(hashlib.sha256(bytes(str(number), "ascii")).hexdigest()[:16], shards) - 1] += 1
    expected = 4000 / shards
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts)
