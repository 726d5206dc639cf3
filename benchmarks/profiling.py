"""Where the time of embedding goes: shares of the phases, and a flame graph of all threads of Python."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.data import origin, photographs
from benchmarks.measure import Result, Table, spread
from benchmarks.ours import Ready, precisions
from benchmarks.workplace import Workplace

INTERVAL = 0.002
FIGURE = "profile.png"
Stack = tuple[str, ...]

# a sample belongs to the first part that one of its frames, from the innermost out, begins with
PARTS = {
    "openvino": "the network (handing over and waiting)",
    "heteroscope.embedding.openvino_engine": "the network (handing over and waiting)",
    "heteroscope.embedding.torch_engine": "the network (handing over and waiting)",
    "torch": "the network (handing over and waiting)",
    "PIL": "decoding and resizing",
    "heteroscope.data.decoding": "decoding and resizing",
    "heteroscope.embedding.journal": "journal of finished rows",
    "heteroscope.embedding.reading": "reading pixels.h5",
    "heteroscope.embedding.known": "collecting known rows",
    "heteroscope.embedding.keys": "keys",
    "heteroscope.provenance": "keys",
    "heteroscope.data.pixels": "files, digests and pixels.h5",
    "heteroscope.store": "writing HDF5",
    "heteroscope.embedding.embed": "writing HDF5",
}
OTHER = "other"
WAITING = ("threading.", "queue.", "concurrent.futures.")


class Sampler(threading.Thread):
    """Counts the stacks of all other threads of Python, every `INTERVAL` seconds.

    Threads that run C code without the interpreter's lock, as decoders and HDF5 do, are seen at the
    line of Python that called it. A library's own threads are not seen.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stacks: Counter[Stack] = Counter()
        self._done = threading.Event()

    def run(self) -> None:
        """Sample until the block ends."""
        while not self._done.wait(INTERVAL):
            for ident, frame in sys._current_frames().items():
                if ident != self.ident:
                    self.stacks[_stack(frame)] += 1

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def _stack(frame: FrameType | None) -> Stack:
    """Names of a thread's functions, the outermost first."""
    names = []
    while frame is not None:
        names.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(names))


def is_waiting(stack: Stack) -> bool:
    """Whether a thread waits for another one of Python's."""
    return stack[-1].startswith(WAITING)


def part_of(stack: Stack) -> str:
    """The part of the work that a sample belongs to."""
    for name in reversed(stack):
        for beginning, part in PARTS.items():
            if name.startswith(f"{beginning}."):
                return part
    return OTHER


def shares(stacks: Mapping[Stack, int]) -> dict[str, float]:
    """Share of the samples of working threads that each part has, the largest first."""
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        if not is_waiting(stack) and any(name.startswith("heteroscope.") for name in stack):
            counts[part_of(stack)] += count
    return {part: count / counts.total() for part, count in counts.most_common()}


def embedding(place: Workplace) -> Result:
    """Profile the way from files to embeddings, warm, with the first network in its fastest precision."""
    count = place.sizes.photographs
    ready = Ready.make(place, photographs(place, count, place.sizes.source), place.sizes.models[0], precisions()[0])
    batches = ready.batches()
    phases: dict[str, Callable[[], object]] = {
        "pixels": ready.decode,
        "embed": ready.embed,
        "the network alone": lambda: ready.forward(batches),
    }
    wall: dict[str, list[float]] = {name: [] for name in phases}
    processor: dict[str, list[float]] = {name: [] for name in phases}
    for _ in range(place.sizes.rounds):
        for name, phase in phases.items():
            start, used = time.perf_counter(), time.process_time()
            phase()
            wall[name].append(1000 * (time.perf_counter() - start) / count)
            processor[name].append(1000 * (time.process_time() - used) / count)
    sampled: dict[str, Counter[Stack]] = {}
    for name in ("pixels", "embed"):
        with Sampler() as sampler:
            for _ in range(place.sizes.rounds):
                phases[name]()
        sampled[name] = sampler.stacks
    draw_flames(sampled, place.page / FIGURE)
    times = [[name, spread(wall[name], " ms"), spread(processor[name], " ms")] for name in phases]
    parts = [
        [f"stage {phase}", part, f"{100 * share:.0f} %"]
        for phase, stacks in sampled.items()
        for part, share in shares(stacks).items()
        if share >= 0.005
    ]
    where = f"{count} {origin()}, {ready.model} in {ready.precision}, warm, {place.cores} cores"
    return Result(
        tables=[
            Table(
                "Where the time of embedding goes",
                ["phase", "wall time an image", "processor time an image"],
                times,
                f"{where}. Embedding less the network alone is what reading, the journal and writing cost.",
            ),
            Table(
                "Samples of working threads",
                ["", "part", "share"],
                parts,
                f"All threads of Python were looked at every {1000 * INTERVAL:g} ms; those that waited for one another"
                f" are left out, and OpenVINO's own threads are not seen. ![Flame graph]({FIGURE})",
            ),
        ]
    )


# ------------------------------------------------------------------------------------ flame graph


def draw_flames(sampled: Mapping[str, Mapping[Stack, int]], path: Path) -> None:
    """Draw one flame graph a phase: width is the share of samples of threads that do not wait, depth the calls."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    axes = figure.subplots(len(sampled), 1, squeeze=False)[:, 0]
    for axis, (name, stacks) in zip(axes, sampled.items(), strict=True):
        kept: Counter[Stack] = Counter()
        for stack, count in stacks.items():
            if not is_waiting(stack):
                kept[_shortened(stack)] += count
        kept.pop((), None)
        depth = _draw(axis, kept, level=0, left=0.0, total=max(kept.total(), 1))
        axis.set(title=f"stage {name}", xlim=(0, 1), ylim=(0, max(depth, 1)), xticks=[], yticks=[])
        axis.set_frame_on(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _shortened(stack: Stack) -> Stack:
    """From the first function of the package on, without the benchmarks around it."""
    first = next((place for place, name in enumerate(stack) if name.startswith("heteroscope.")), len(stack))
    return tuple(name.removeprefix("heteroscope.") for name in stack[first:])


def _draw(axis: mpl.axes.Axes, stacks: Counter[Stack], *, level: int, left: float, total: int) -> int:
    """Draw the functions at one depth and those that they call; the deepest level that was drawn."""
    callees: dict[str, Counter[Stack]] = {}
    for stack, count in stacks.items():
        if stack:
            callees.setdefault(stack[0], Counter())[stack[1:]] += count
    deepest = level
    for number, (name, below) in enumerate(sorted(callees.items(), key=lambda item: -item[1].total())):
        width = below.total() / total
        colour = mpl.colormaps["YlOrBr"](0.15 + 0.08 * ((level + number) % 4))
        axis.barh(level + 0.5, width, left=left, height=0.96, color=colour, edgecolor="white", linewidth=0.5)
        if width > 0.04:
            room = int(width * 215)
            axis.text(left + width / 2, level + 0.5, _fitted(name, room), ha="center", va="center", fontsize=6.5)
        deepest = max(deepest, _draw(axis, below, level=level + 1, left=left, total=total))
        left += width
    return max(deepest, level + 1 if callees else level)


def _fitted(name: str, room: int) -> str:
    """The end of a name that has room."""
    return name if len(name) <= room else f"…{name[-room + 1 :]}"
