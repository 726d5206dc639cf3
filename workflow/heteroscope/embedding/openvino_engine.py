"""The CPU engine: OpenVINO, on networks that are converted once and kept in a cache folder."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heteroscope.atomic import atomic_path
from heteroscope.embedding.keys import NETWORK_CODE
from heteroscope.embedding.recipe import Precision, Recipe
from heteroscope.errors import ConfigError
from heteroscope.provenance import digest, modules_digest, versions

if TYPE_CHECKING:
    from heteroscope.backbones.pooling import FeatureExtractor

BATCH_SIZE = 8  # larger batches are slower: their activations leave the cache
TOPOLOGY, PARAMETERS = "network.xml", "network.bin"
HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}

log = logging.getLogger(__name__)


class UnfitNetworkError(ConfigError):
    """OpenVINO cannot run this network."""


def installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:
    """The module `openvino`, without its telemetry.

    Importing OpenVINO and converting a network would each report to its makers over the network. It
    does without where the package that does so, `openvino_telemetry`, cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # so an import of it fails
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    """The one `openvino.Core` of this process, which lives as long as it does.

    Every Core's CPU plugin gives the thread an alternate stack for signals when it begins, and when
    it ends unmaps that stack and sets the one that was there before. So where of two Cores the older
    ends first, the thread keeps an unmapped stack, and the next signal that Python handles, such as
    Ctrl-C or the end of a child process, kills the process or overwrites memory that is there now.
    """
    return load_openvino().Core()


class OpenVinoEngine:
    """A network on all given cores: one stream a core, one thread a stream.

    A batch is computed by one thread in a fixed shape, the last batch padded with zeros. So an
    image's embedding is the same to the bit for any number of workers, at any place in a batch, and
    beside any other images.
    """

    name = "openvino"

    def __init__(self, network: Any, *, precision: Precision, workers: int) -> None:
        """Compile a network for this machine's CPU.

        Args:
            network: of fixed shape, as `converted` gives it.
            precision: of its arithmetic.
            workers: cores to use; no value depends on it.

        Raises:
            UnfitNetworkError: it cannot be compiled.
        """
        core = _core()
        self.precision = precision
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self.batch_size = int(network.inputs[0].shape[0])
        options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": workers,
            "INFERENCE_NUM_THREADS": workers,
            "ENABLE_CPU_PINNING": False,  # two jobs on one machine would pin their threads to the same cores
        }
        try:
            self._compiled = core.compile_model(network, "CPU", options)
        except RuntimeError as error:
            raise _unfit(error) from None
        self._streams = int(self._compiled.get_property("NUM_STREAMS"))

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches in their order, at most two a stream in flight; see `Engine`."""
        idle = [self._compiled.create_infer_request() for _ in range(2 * self._streams)]
        running: deque[tuple[Any, int]] = deque()
        for pixels in batches:
            if not idle:
                yield _finish(running, idle)
            request = idle.pop()
            batch = request.get_input_tensor().data  # the request's own memory: nobody else writes to it
            batch[: len(pixels)] = pixels
            batch[len(pixels) :] = 0
            request.start_async()
            running.append((request, len(pixels)))
        while running:
            yield _finish(running, idle)


def _finish(running: deque[tuple[Any, int]], idle: list[Any]) -> np.ndarray:
    """Features (n, d) of the oldest batch; its request becomes idle."""
    request, count = running.popleft()
    request.wait()
    features: np.ndarray = request.get_output_tensor().data[:count].copy()
    idle.append(request)
    return features


# ------------------------------------------------------------------------------ converted networks


def converted(recipe: Recipe, extractor: Callable[[], FeatureExtractor], *, cache: Path) -> Any:
    """The network of a recipe in OpenVINO's form, from the cache, or converted and put there.

    Args:
        recipe: what network; its engine and precision do not matter.
        extractor: makes the network in torch; called only where the cache does not have it whole.
        cache: folder of converted networks.

    Raises:
        UnfitNetworkError: it cannot be converted.
    """
    path = network_path(recipe, cache)
    if path.is_file():
        try:
            return _read(path)
        except (zipfile.BadZipFile, zlib.error, KeyError, OSError, RuntimeError) as error:
            log.warning("%s: damaged (%s); the network is converted anew", path, str(error).strip())
    size, channels = recipe.size, recipe.channels
    _write(_convert(extractor(), (recipe.batch_size or BATCH_SIZE, channels, size, size)), path)
    return _read(path)


def network_path(recipe: Recipe, cache: Path) -> Path:
    """Where a recipe's converted network stands: a name for everything that it depends on."""
    key = digest(
        [recipe.weights_sha256, recipe.model, recipe.pooling, recipe.layer],
        [recipe.channels, recipe.size, recipe.batch_size or BATCH_SIZE],
        versions("openvino"),
        modules_digest(*NETWORK_CODE, __name__),
    )
    return cache / f"{recipe.model}-{key}.zip"


def _convert(extractor: FeatureExtractor, shape: tuple[int, int, int, int]) -> Any:
    """Trace a network on one batch and convert the trace: several times faster than OpenVINO's own tracing."""
    import torch

    openvino = load_openvino()
    pixels = torch.zeros(shape, dtype=torch.uint8)
    log.info("converting the network for OpenVINO")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of tracing: shapes become constants, which is wanted here
            trace = torch.jit.trace(extractor.eval(), pixels, check_trace=False)  # type: ignore[no-untyped-call]
        with _logging_kept():
            network = openvino.convert_model(trace, example_input=pixels)
        network.reshape(list(shape))
    except Exception as error:  # torch and OpenVINO raise many kinds
        raise _unfit(error) from None
    return network


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Leave the root logger as it was: OpenVINO silences warnings while it converts, and for good where it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, [*root.filters], [*root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def _unfit(error: Exception) -> UnfitNetworkError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UnfitNetworkError(f"openvino cannot run this network ({lines[0]}); set `engine: torch` of the backbone")


def _write(network: Any, path: Path) -> None:
    """Topology and float32 parameters in one archive, whose checksums tell a damaged one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".converting-") as folder:
        parts = [Path(folder, TOPOLOGY), Path(folder, PARAMETERS)]
        load_openvino().save_model(network, parts[0], compress_to_fp16=False)
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for part in parts:
                archive.write(part, part.name)


def _read(path: Path) -> Any:
    openvino = load_openvino()
    with zipfile.ZipFile(path) as archive:
        topology, parameters = archive.read(TOPOLOGY), archive.read(PARAMETERS)
    weights = openvino.Tensor(np.frombuffer(parameters, dtype=np.uint8))
    return _core().read_model(topology, weights)
