"""Where a run of the benchmarks works, how large it is, and how it calls the stages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import cores


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of the page.

    Attributes:
        rounds: timed rounds of every comparison.
        photographs: JPEGs of the first comparison.
        source: width and height of a photograph.
        side: width and height that networks see.
        models: the network of most rows, then those that are compared with it.
        compared: images on which engines are held against each other.
        pngs: 1024×1024 PNGs that several networks share.
        png_side: their width and height.
        known: images that are embedded already when one more comes.
        small, large: numbers of images between which peak memory is compared.
        memory_side: what networks see there.
        rows: rows of the heads' features.
        width: their values.
        few, many: repeats of the controls.
        studied: training images of the studies whose tests are timed.
        originals: images of the published protocol.
        epochs: of its heads.
        gpu: images of the comparison on a GPU.
    """

    rounds: int = 5
    photographs: int = 256
    source: int = 512
    side: int = 224
    models: tuple[str, ...] = ("efficientnet_b0", "resnet50", "densenet121", "densenet201")
    compared: int = 128
    pngs: int = 64
    png_side: int = 1024
    known: int = 2000
    small: int = 1000
    large: int = 8000
    memory_side: int = 64
    rows: int = 1142
    width: int = 1280
    few: int = 5
    many: int = 200
    studied: tuple[int, ...] = (800, 8000)
    originals: int = 1036
    epochs: int = 10
    gpu: int = 8192


TINY = Sizes(
    rounds=1,
    photographs=9,
    source=48,
    side=32,
    models=("small-cnn", "small-cnn"),
    compared=6,
    pngs=4,
    png_side=40,
    known=8,
    small=20,
    large=40,
    memory_side=32,
    rows=80,
    width=6,
    few=1,
    many=2,
    studied=(60, 80),
    originals=80,
    epochs=2,
    gpu=12,
)
"""So small that every group runs in seconds: for the test of the benchmarks themselves."""


@dataclass(frozen=True)
class Workplace:
    """A scratch folder and the sizes of a run.

    Attributes:
        folder: removed by whoever made it.
        sizes: of the run.
        page: folder of the page, for its figures.
        cores: that every way may use.
    """

    folder: Path
    sizes: Sizes = Sizes()
    page: Path = Path()
    cores: int = field(default_factory=cores)

    def below(self, name: str) -> Path:
        """A sub-folder, made where it is not there."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def command(stage: str, **flags: object) -> list[str]:
    """The command line of a stage; `root=…` becomes `--root …`, None is left out, a list gives several words."""
    words = [sys.executable, "-m", f"heteroscope.stages.{stage}"]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


def run(words: Sequence[str], folder: Path | None = None) -> str:
    """Run a command to its end.

    Returns:
        What it wrote to either stream.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:400]} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def stage(name: str, **flags: object) -> str:
    """Run a stage as the DAG does: a process of its own."""
    return run(command(name, **flags))
