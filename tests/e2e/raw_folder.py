"""A folder of images with a table beside them, and what can happen to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

PATIENTS = 40
IMAGES = 2 * PATIENTS


def write_source(root: Path) -> None:
    """Two images a patient and a table of them; disease is brighter in the middle."""
    generator = np.random.default_rng(0)
    root.mkdir()
    rows = []
    for number in range(IMAGES):
        patient, diseased = number // 2, number // 2 % 2
        pixels = generator.integers(0, 120, (40, 40, 3), dtype=np.uint8)
        pixels[15:25, 15:25] += np.uint8(100 * diseased)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
        known = {"finding": ["healthy", "ill"][diseased], "patient": f"p{patient}", "age": 40 + patient}
        rows.append({"file": f"{number:03d}.png"} | known)
    pd.DataFrame(rows).to_csv(root / "table.csv", index=False)


def on_the_folder(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a study, of the images in the folder `raw`."""
    columns = {"table": "table.csv", "path": "file", "label": "finding", "group": "patient"}
    classes = {"normal": ["healthy"], "disease": ["ill"]}
    dataset = {"adapter": "table", "root": "raw", "classes": classes, "attributes": {"age": "age"}} | columns
    few = config["controls"]["few"] | {"power": 0}
    return config | {"datasets": {"toy": dataset}, "controls": {"few": few}}


def replace(root: Path) -> None:
    """Brighten one image."""
    pixels = np.asarray(Image.open(root / "003.png"))
    Image.fromarray(pixels + np.uint8(9)).save(root / "003.png")


def add(root: Path) -> None:
    """Add one image of a new patient, in the middle of the table."""
    generator = np.random.default_rng(1)
    Image.fromarray(generator.integers(0, 120, (40, 40, 3), dtype=np.uint8)).save(root / "added.png")
    lines = (root / "table.csv").read_text().splitlines()
    (root / "table.csv").write_text("\n".join([*lines[:20], "added.png,healthy,another,50", *lines[20:]]) + "\n")


def remove(root: Path) -> None:
    """Remove one image from the table and the folder."""
    (root / "010.png").unlink()
    lines = (root / "table.csv").read_text().splitlines()
    (root / "table.csv").write_text("\n".join(line for line in lines if not line.startswith("010.png")) + "\n")


def lose(root: Path) -> None:
    """Remove one image from the folder alone."""
    (root / "003.png").unlink()


def relabel(root: Path) -> None:
    """Call a patient's two images by the other label."""
    text = (root / "table.csv").read_text()
    (root / "table.csv").write_text(
        text.replace("000.png,healthy", "000.png,ill").replace("001.png,healthy", "001.png,ill")
    )
