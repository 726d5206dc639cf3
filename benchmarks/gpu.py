"""Images a second on a GPU, from pixels.h5 to embeddings.h5. It needs neither Snakemake nor OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import plain_way
from benchmarks.data import images_table, photographs
from benchmarks.machine import gpu_name
from benchmarks.measure import Result, Row, Table, at_least, in_turn, judged, not_measured, quotients, say, spread
from benchmarks.ours import extractor_of, weights_of
from benchmarks.workplace import Workplace
from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
from heteroscope.config import Pixels
from heteroscope.data.pixels import build_pixels
from heteroscope.embedding.embed import embed
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.gpu import Gpu
from heteroscope.embedding.keys import originals
from heteroscope.embedding.recipe import Recipe
from heteroscope.embedding.torch_engine import Forward, TorchEngine
from heteroscope.provenance import file_sha256

BAR = at_least(0.8)
ALONE = "the forward pass alone, in device memory"
PLAIN_SHARE = 8  # the plain way embeds one image in so many: it is slow
HEADER = ["network", "ours", "the network alone, in device memory", "the plain way"]


def images_per_second(place: Workplace) -> Result:
    """All networks against the forward pass alone in device memory, and against the plain way."""
    name = gpu_name()
    if not name:
        rows = [not_measured(f"{model} on a GPU", ALONE, BAR, "no GPU here") for model in place.sizes.models]
        cells = [[model, *["not measured"] * 3] for model in place.sizes.models]
        return Result(rows, tables=[Table("Images a second on a GPU", HEADER, cells)])
    folder = photographs(place, place.sizes.gpu, place.sizes.source)
    pixels = place.below("gpu") / "pixels.h5"
    spec = Pixels(size=place.sizes.side)
    say("  decoding")
    build_pixels(images_table(place, folder), root=folder, spec=spec, target=pixels, workers=place.cores)
    rows, cells = [], []
    for model in place.sizes.models:
        row, cell = _network(place, folder, pixels, model)
        rows += row
        cells.append(cell)
    text = (
        f"{name}; {place.sizes.gpu} generated photographs, bfloat16, from pixels.h5 to embeddings.h5 with the engine"
        " warm. The network alone replays the same CUDA graph on pixels in device memory. The plain way: Pillow,"
        f" torchvision's transforms and a DataLoader with 2 or {place.cores} workers (the better one), torch in"
        f" float32, from the JPEGs, on {place.sizes.gpu // PLAIN_SHARE} of them."
    )
    return Result(rows, tables=[Table("Images a second on a GPU", HEADER, cells, text)])


def _network(place: Workplace, folder: Path, pixels: Path, model: str) -> tuple[list[Row], list[str]]:
    """The rows and the line of the table of one network."""
    say(f"  {model}")
    count, few = place.sizes.gpu, place.sizes.gpu // PLAIN_SHARE
    weights = weights_of(place, model)
    extractor = extractor_of(weights, model)
    engine = TorchEngine(extractor, precision="bfloat16", threads=place.cores)
    recipe = _recipe(model, weights, extractor, engine, place)
    output = place.below("gpu") / f"{model}.h5"
    network, paths = plain_way.network(weights, model, "cuda"), sorted(folder.rglob("*.jpg"))[:few]

    def ours() -> None:
        output.unlink(missing_ok=True)
        embed(originals(pixels), recipe, lambda: engine, pixels=pixels, output=output, workers=place.cores)

    def plain(workers: int) -> None:
        plain_way.embed(network, paths, model=model, side=place.sizes.side, workers=workers, threads=place.cores)

    alone = _alone(extractor, engine.batch_size, count, place.sizes.side)
    times = in_turn(
        {"ours": ours, "alone": alone, "plain 2": lambda: plain(2), "plain all": lambda: plain(place.cores)},
        place.sizes.rounds,
    )
    slow = min(times["plain 2"], times["plain all"], key=np.median)
    speed = {
        "ours": [count / value for value in times["ours"]],
        "alone": [count / value for value in times["alone"]],
        "plain": [few / value for value in slow],
    }
    rows = [
        judged(
            f"{model} on a GPU",
            ALONE,
            quotients(speed["ours"], speed["alone"]),
            BAR,
        ),
        judged("the same", "the plain way", quotients(speed["ours"], speed["plain"]), at_least(1)),
    ]
    return rows, [model, *(spread(values, "", 0) for values in speed.values())]


def _alone(extractor: FeatureExtractor, batch: int, count: int, side: int) -> Callable[[], None]:
    """The network on batches that lie in device memory: one CUDA graph, replayed."""
    device = torch.device("cuda", 0)
    forward, gpu = Forward(extractor, "bfloat16", device), Gpu(device)
    batches = torch.randint(0, 256, (4, batch, 3, side, side), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        given = batches[0].contiguous(memory_format=torch.channels_last)
        run = partial(forward, given)
        with gpu.use(gpu.stream()):
            for _ in range(3):
                run()
        torch.cuda.synchronize()
        replay = gpu.capture(run)

    def alone() -> None:
        with torch.inference_mode():
            for number in range(-(-count // batch)):
                given.copy_(batches[number % len(batches)])
                replay()
        torch.cuda.synchronize()

    return alone


def _recipe(model: str, weights: Path, extractor: FeatureExtractor, engine: Engine, place: Workplace) -> Recipe:
    """What the stage `engine` would write, without the comparison."""
    side = place.sizes.side
    return Recipe(
        model=model,
        pooling="avg",
        layer=None,
        weights="random",
        weights_sha256=file_sha256(weights),
        weights_file_sha256=file_sha256(weights),
        channels=3,
        size=side,
        width=embedding_width(extractor, channels=3, size=side),
        batch_size=None,
        engine="torch",
        precision="bfloat16",
        agreement=1.0,
        compared=0,
        note="benchmark",
        device=engine.device,
        versions={},
    )
