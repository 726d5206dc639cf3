"""Which engine embeds, in which precision: chosen once a study, on a sample of its own images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heteroscope.config import Backbone
from heteroscope.embedding import openvino_engine
from heteroscope.embedding.agreement import features, lowest_cosine, require_finite, sample
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.recipe import EngineName, Precision, Recipe, read_recipe
from heteroscope.errors import ConfigError, StoreError
from heteroscope.provenance import file_sha256, versions

if TYPE_CHECKING:
    from heteroscope.backbones.pooling import FeatureExtractor

# lowest cosine similarity to torch in float32 that is accepted; between two float32 engines it is 1 - 1e-7
BOUNDS: dict[Precision, float] = {"float32": 0.9999, "bfloat16": 0.999}
CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # AVX-512 and AMX of x86, and of ARM

log = logging.getLogger(__name__)

Pair = tuple[EngineName, Precision]
MakeEngine = Callable[[Recipe], Engine]


@dataclass(frozen=True)
class Machine:
    """What decides a choice.

    Attributes:
        gpu: torch sees a GPU.
        openvino: OpenVINO is installed.
        bfloat16: the engines that compute in bfloat16 here without emulation.
    """

    gpu: bool
    openvino: bool
    bfloat16: frozenset[EngineName]

    @classmethod
    def here(cls) -> Machine:
        """This machine; imports torch."""
        import torch

        gpu = torch.cuda.is_available()
        cpu = cpu_has_bfloat16()
        # older GPUs emulate bfloat16, slower than float32
        torch_able = torch.cuda.is_bf16_supported(including_emulation=False) if gpu else cpu
        able: dict[EngineName, bool] = {"openvino": cpu, "torch": torch_able}
        return cls(gpu, openvino_engine.installed(), frozenset(engine for engine, can in able.items() if can))


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16; False where the system does not tell.

    OpenVINO's and torch's own lists name bfloat16 for CPUs too that only emulate it, slower than float32.
    """
    if not CPU_INFO.is_file():
        return False
    lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def make_engine(
    recipe: Recipe, extractor: Callable[[], FeatureExtractor], *, cache: Path, threads: int, workers: int
) -> Engine:
    """The engine of a recipe.

    Args:
        recipe: what to compute with.
        extractor: gives the network in torch; not called, nor torch imported, where the cache has it converted.
        cache: folder of converted networks.
        threads: of torch on a CPU; they fix the order of summation.
        workers: cores to use; no value depends on it.
    """
    if recipe.engine == "openvino":
        network = openvino_engine.converted(recipe, extractor, cache=cache)
        return openvino_engine.OpenVinoEngine(network, precision=recipe.precision, workers=workers)
    from heteroscope.embedding.torch_engine import TorchEngine

    return TorchEngine(extractor(), precision=recipe.precision, threads=threads, batch_size=recipe.batch_size)


def read_extractor(recipe: Recipe, weights: Path) -> FeatureExtractor:
    """The network of a weights file, from pixels to a recipe's embedding."""
    from heteroscope.backbones.pooling import FeatureExtractor
    from heteroscope.backbones.weights import read_weights

    network = read_weights(weights, model=recipe.model).network
    return FeatureExtractor(network, model=recipe.model, pooling=recipe.pooling, layer=recipe.layer)


# -------------------------------------------------------------------------------------- an old choice


def kept(path: Path, current: Backbone, *, weights: Path, shape: tuple[int, int]) -> Recipe | None:
    """An older choice that still holds, with the configuration's batch size; needs no torch for OpenVINO.

    It holds for the same network and form of images, on a machine that can run it, as long as the
    configuration asks for the same as then, or now names what was chosen.

    Args:
        path: the older recipe; it may be missing or damaged.
        current: the configuration.
        weights: the weights file.
        shape: channels and side length of the images.

    Returns:
        None where the choice must be made anew; the log says why if that was not the user's wish.
    """
    if not path.is_file() or not weights.is_file():
        return None
    try:
        old = read_recipe(path)
    except StoreError as error:
        log.warning("%s; the engine is chosen anew", error)
        return None
    network = (current.model, current.pooling, current.layer, shape, file_sha256(weights))
    if (old.model, old.pooling, old.layer, (old.channels, old.size), old.weights_file_sha256) != network:
        return None
    engines, precisions = (old.requested_engine, old.engine), (old.requested_precision, old.precision)
    if current.engine not in engines or current.precision not in precisions:
        return None
    if reason := obstacle(old):
        log.warning("%s: %s in %s cannot go on: %s; chosen anew", path, old.engine, old.precision, reason)
        return None
    asked = {"requested_engine": current.engine, "requested_precision": current.precision}
    return old.model_copy(update=asked | {"batch_size": current.batch_size})


def obstacle(recipe: Recipe) -> str | None:
    """Why this machine cannot run a recipe, in words; None where it can."""
    if recipe.engine == "openvino" and not openvino_engine.installed():
        return "openvino is not installed here"
    if recipe.precision == "float32" or cpu_has_bfloat16():
        return None
    if recipe.engine == "torch" and "torch" in Machine.here().bfloat16:
        return None
    return "this machine has no bfloat16"


def require_able(recipe: Recipe, path: Path) -> None:
    """Refuse to embed on a machine that cannot run a recipe.

    Raises:
        ConfigError: names the recipe's file and the keys to set.
    """
    if reason := obstacle(recipe):
        raise ConfigError(
            f"{path}: {recipe.engine} in {recipe.precision} was chosen for this study, but {reason}; embed on a machine"
            " like the one that chose, or set `engine: torch` and `precision: float32` of the backbone"
        )


# --------------------------------------------------------------------------------------- a new choice


def choose(current: Backbone, reference: Recipe, pixels: Path, make: MakeEngine, machine: Machine) -> Recipe:
    """Choose engine and precision as the configuration asks, by comparison with torch in float32.

    Of the pairs that the configuration allows and the machine can run, the fastest is taken whose
    embeddings of a sample agree. `precision: bfloat16` is no exception: where it disagrees, float32
    is taken, and the note and the log say so.

    Args:
        current: the configuration.
        reference: the network's recipe for torch in float32.
        pixels: the pixels file, of whose images a sample is compared.
        make: builds the engine of a recipe.
        machine: what there is to run on.

    Raises:
        ConfigError: the configuration asks for what this machine does not have, or for an engine
            that cannot run the network or disagrees in float32.
        StoreError: an embedding is not finite in torch in float32.
    """
    pairs, reasons = candidates(current, machine)
    image_id, images = sample(pixels)
    standard = make(reference)
    expected = features(standard, images)
    require_finite(expected, image_id)
    for name, precision in pairs:
        recipe = reference.model_copy(update={"engine": name, "precision": precision})
        try:
            engine = standard if recipe == reference else make(recipe)
        except openvino_engine.UnfitNetworkError as error:
            if current.engine == name:
                raise
            reasons.append(str(error))
            continue
        agreement = 1.0 if engine is standard else lowest_cosine(features(engine, images), expected)
        if agreement >= BOUNDS[precision]:
            return _chosen(recipe, current, engine.device, agreement, len(images), reasons)
        reasons.append(_disagreement(name, precision, agreement, len(images)))
        log.warning("%s", reasons[-1])
    raise ConfigError(f"{'; '.join(reasons)}; set `engine: torch` of the backbone")


def candidates(current: Backbone, machine: Machine) -> tuple[list[Pair], list[str]]:
    """Pairs that the configuration allows and the machine can run, best first, and why others are left out.

    Raises:
        ConfigError: the configuration names what the machine does not have.
    """
    engines, reasons = _engines(current, machine)
    able = [engine for engine in engines if engine in machine.bfloat16]
    if current.precision == "bfloat16" and not able:
        raise ConfigError(
            "precision: bfloat16: this machine computes it by no allowed engine; set `precision: float32`"
        )
    pairs: list[Pair] = []
    for engine in engines:
        # torch on a CPU gains little by bfloat16: only where it is asked for
        fast = engine == "openvino" or machine.gpu
        if engine in able and (current.precision == "bfloat16" or (current.precision == "auto" and fast)):
            pairs.append((engine, "bfloat16"))
        pairs.append((engine, "float32"))
    if current.precision == "auto" and engines[0] not in able:
        reasons.append("this machine has no bfloat16")
    return pairs, reasons


def _engines(current: Backbone, machine: Machine) -> tuple[list[EngineName], list[str]]:
    if current.engine == "openvino" and not machine.openvino:
        raise ConfigError("engine: openvino: it is not installed; install the package openvino, or set `engine: auto`")
    if current.engine != "auto":
        return [current.engine], []
    if machine.gpu:
        return ["torch"], []
    return (["openvino", "torch"], []) if machine.openvino else (["torch"], ["openvino is not installed"])


def _disagreement(engine: str, precision: Precision, agreement: float, count: int) -> str:
    return (
        f"{engine} in {precision} disagrees with torch in float32: lowest cosine similarity {agreement:.6f} over"
        f" {count} images, below {BOUNDS[precision]}"
    )


def _chosen(
    recipe: Recipe, current: Backbone, device: str, agreement: float, compared: int, reasons: Sequence[str]
) -> Recipe:
    asked = [word for word in (current.engine, current.precision) if word != "auto"]
    grounds = [f"asked for: {', '.join(asked)}"] if asked else ["the fastest that this machine has"]
    return recipe.model_copy(
        update={
            "requested_engine": current.engine,
            "requested_precision": current.precision,
            "agreement": agreement,
            "compared": compared,
            "note": f"{recipe.engine} in {recipe.precision} ({'; '.join(grounds + list(reasons))})",
            "device": device,
            "versions": versions("heteroscope", "numpy", "openvino", "torch", "torchvision"),
        }
    )
