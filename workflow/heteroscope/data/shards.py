"""Which part of a scattered dataset an image belongs to."""

from __future__ import annotations


def shard_of(image_id: str, shards: int) -> int:
    """The shard of an image, from 1.

    It follows from the image's id alone, so that an image which comes or goes moves no other one.

    Args:
        image_id: hex digits of the SHA-256 of the image's bytes; the first eight decide.
        shards: number of shards.
    """
    return int(image_id[:8], 16) % shards + 1
