"""Handcrafted features stand beside the embedding of the same image and view."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heteroscope.config import Augmentation
from heteroscope.data.augmentation import augment
from heteroscope.data.handcrafted import handcrafted
from heteroscope.embedding.appended import append_handcrafted
from heteroscope.embedding.samples import Samples
from heteroscope.store import create_h5, write_strings

COUNT = 70  # more than a batch


def test_rows_are_matched_by_image_and_view(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)
    names = [f"{number:016x}" for number in range(COUNT)]
    path = tmp_path / "pixels.h5"
    with create_h5(path, "pixels", {"spec": {"size": 32}}) as file:
        file.create_dataset("pixels", data=pixels, chunks=(1, 3, 32, 32), fletcher32=True)
        write_strings(file, "image_id", names)
        write_strings(file, "key", names)
    image = np.concatenate([generator.permutation(COUNT), [5, 3]])  # the split has an order of its own; two views
    view = np.array([0] * COUNT + [2, 1])
    rows = len(image)
    samples = Samples(
        features=generator.normal(size=(rows, 4)).astype(np.float32),
        image_id=np.array(names, dtype=object)[image],
        view=view,
        part=np.full(rows, "train", dtype=object),
        label=np.zeros(rows, dtype=int),
        group=np.array(names, dtype=object)[image],
        class_names=["a", "b"],
        embedding={},
    )
    turned = Augmentation(copies=2, rotation=20)
    found = append_handcrafted(samples, ["colour-moments", "lbp"], path, turned).in_memory()
    np.testing.assert_array_equal(found[:, :4], samples.in_memory())
    for row in (0, 1, 64, 69, 70, 71):
        seen = pixels[image[row]]
        seen = augment(seen, turned, names[image[row]], int(view[row])) if view[row] else seen
        np.testing.assert_array_equal(found[row, 4:], handcrafted(seen, ["colour-moments", "lbp"]))
