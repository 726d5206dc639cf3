"""Embedding: end to end against the plain way and against the network alone, and networks that share their images."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path

import h5py

from benchmarks import plain_way
from benchmarks.data import origin, photographs, radiographs
from benchmarks.measure import (
    Action,
    Result,
    Row,
    Table,
    at_least,
    at_most,
    in_turn,
    judged,
    not_measured,
    quotients,
    spread,
    told,
)
from benchmarks.ours import Ready, precisions
from benchmarks.workplace import Workplace
from heteroscope.embedding.agreement import features, lowest_cosine
from heteroscope.embedding.choice import cpu_has_bfloat16

OF_FORWARD = at_least(0.85)
BARS = {"bfloat16": at_least(5), "float32": at_least(2.5)}


def first_network(place: Workplace) -> Result:
    """The first network in both precisions, against the plain way and its own forward pass."""
    model, count = place.sizes.models[0], place.sizes.photographs
    folder = photographs(place, count, place.sizes.source)
    ready = [Ready.make(place, folder, model, precision) for precision in precisions()]
    times = _in_turn(place, folder, ready, model)
    plain, workers = _best_plain(times)
    what = f"embedding {count} JPEGs of {place.sizes.source}×{place.sizes.source}, {model}"
    rows = []
    for one in ready:
        ours, forward = times[one.name], times[one.forward_name]
        rows += [
            judged(f"{what}, {one.precision}", "the plain way", quotients(plain, ours), BARS[one.precision]),
            judged("the same", "the forward pass alone, in memory", quotients(forward, ours), OF_FORWARD),
        ]
    if not cpu_has_bfloat16():
        reason = "this processor has neither AMX nor AVX512-BF16"
        rows.insert(0, not_measured(f"{what}, bfloat16", "the plain way", BARS["bfloat16"], reason))
    notes = [
        f"Embedding: {count} {origin()}; from files to pixels.h5 to embeddings.h5 in a warm process: the engine is"
        " chosen and compiled. The plain way (Pillow, torchvision's transforms, DataLoader, torch in float32, network"
        f" in memory) with {workers}, the better of {' and '.join(map(str, plain_way.WORKERS))}, in batches of"
        f" {plain_way.BATCH}; all ways use {place.cores} cores. Images a second: "
        + "; ".join(f"{name} {spread(_per_second(values, count), '', 0)}" for name, values in times.items())
        + ".",
        "What a first run pays beside that, once a network and machine: "
        + "; ".join(f"{one.precision}: {one.cold}" for one in ready)
        + ". Each is a process of its own, start included.",
    ]
    return Result(rows, notes=notes)


def further_networks(place: Workplace) -> Result:
    """Two slower networks against the plain way."""
    count = place.sizes.photographs
    folder = photographs(place, count, place.sizes.source)
    rows: list[Row] = []
    notes = []
    for model in place.sizes.models[1:3]:
        ready = Ready.make(place, folder, model, precisions()[0])
        times = _in_turn(place, folder, [ready], model)
        plain, workers = _best_plain(times)
        ours, forward = times[ready.name], times[ready.forward_name]
        rows += [
            judged(f"{model}, {ready.precision}, {count} JPEGs", "the plain way", quotients(plain, ours), at_least(6)),
            told("the same", "the forward pass alone, in memory", spread(quotients(forward, ours))),
        ]
        shown = "; ".join(f"{name} {spread(_per_second(values, count), '', 0)}" for name, values in times.items())
        notes.append(f"{model}, images a second: {shown}. The plain way with {workers}.")
    return Result(rows, notes=notes)


def _in_turn(place: Workplace, folder: Path, ready: list[Ready], model: str) -> dict[str, list[float]]:
    """Seconds of ours, of our forward passes alone, and of the plain way with every number of workers."""
    paths = sorted(folder.rglob("*.jpg"))
    network = plain_way.network(ready[0].weights, model)
    actions: dict[str, Action] = {}
    for one in ready:
        actions[one.name] = one.end_to_end
        actions[one.forward_name] = partial(one.forward, one.batches())
    for workers in plain_way.WORKERS:
        actions[f"plain way, {workers} workers"] = partial(
            plain_way.embed,
            network,
            paths,
            model=model,
            side=place.sizes.side,
            workers=workers,
            threads=place.cores,
        )
    return in_turn(actions, place.sizes.rounds)


def _best_plain(times: dict[str, list[float]]) -> tuple[list[float], str]:
    """The plain way with the number of workers that suits it best, and that number in words."""
    name = min((name for name in times if name.startswith("plain")), key=lambda name: statistics.median(times[name]))
    return times[name], name.partition(", ")[2]


def _per_second(times: list[float], count: int) -> list[float]:
    return [count / value for value in times]


def shared_pixels(place: Workplace) -> Result:
    """Several networks on the same PNGs: the first decodes, the others do not."""
    folder, what = radiographs(place, place.sizes.pngs, place.sizes.png_side)
    first, *others = [Ready.make(place, folder, model, precisions()[0]) for model in place.sizes.models[:3]]
    rows = [row for other in others for row in _second_network(place, first, other)]
    note = (
        f"Shared pixels: {place.sizes.pngs} {what}, {place.sizes.png_side}×{place.sizes.png_side}. In a study the stage"
        " pixels does not even run for a further network; here it runs again and copies its rows."
    )
    return Result(rows, notes=[note])


def _second_network(place: Workplace, first: Ready, other: Ready) -> list[Row]:
    """What a network costs on images that another one has seen."""
    batches = first.batches()
    times = in_turn(
        {
            "decode": first.decode,
            "pixels again": lambda: first.decode(anew=False),
            "embed": lambda: other.embed(first.pixels),
            "forward": lambda: other.forward(batches),
        },
        place.sizes.rounds,
    )
    first.decode(anew=False)
    with h5py.File(first.pixels) as file:
        decoded = int(file.attrs["computed"])
    what = f"{other.model} on {place.sizes.pngs} PNGs that {first.model} has seen"
    beside = [embed - forward for embed, forward in zip(times["embed"], times["forward"], strict=True)]
    again = quotients(times["pixels again"], times["decode"])
    return [
        judged(what, "images decoded again", [decoded], at_most(0, ""), digits=0),
        told("the same: embedding less its forward pass", "decoding", spread(quotients(beside, times["decode"]))),
        told("the same: pixels.h5 checked again", "decoding", spread(again)),
    ]


def agreement(place: Workplace) -> Result:
    """Every engine against torch in float32: the lowest cosine similarity over a set of images."""
    folder = photographs(place, place.sizes.compared, place.sizes.source)
    cells = []
    for model in dict.fromkeys(place.sizes.models):
        ready = Ready.make(place, folder, model, "float32")
        images = ready.pixel_rows()
        expected = features(ready.engine_in("torch", "float32"), images)
        found = [lowest_cosine(features(ready.engine_in("openvino", name), images), expected) for name in precisions()]
        cosines = dict(zip(precisions(), found, strict=True))
        shown = [f"{cosines[name]:.6f}" if name in cosines else "not measured" for name in BARS]
        cells.append([model, str(len(images)), *shown])
    return Result(
        tables=[
            Table(
                "Agreement of the engines",
                ["network", "images", *(f"OpenVINO in {precision}" for precision in BARS)],
                cells,
                "The lowest cosine similarity of an image's embedding to torch's in float32, on the CPU. Under 0.999"
                f" the workflow takes float32. Random weights with settled batch norms; {origin()}.",
            )
        ]
    )
