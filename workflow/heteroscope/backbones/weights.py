"""A backbone's weights: published ones, a file of the user, or random ones; one file format for all.

A weights file is a mapping with `format_version`, `model`, `weights` (what they are, in words),
`sha256` (of the tensors) and `state_dict` (without the classification head).
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import re
import urllib.error
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heteroscope.atomic import atomic_path
from heteroscope.backbones.registry import GREY_ADAPTER, add_grey_adapter, build_backbone, head_prefix
from heteroscope.errors import ConfigError, DataError, StoreError
from heteroscope.model_names import RANDOM, TORCHVISION_MODELS, TORCHVISION_WEIGHTS
from heteroscope.provenance import file_sha256

FORMAT_VERSION = 1

log = logging.getLogger(__name__)

# torchvision's oldest DenseNet files were saved with dots that module names may no longer hold.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


@dataclass(frozen=True)
class Weights:
    """A backbone's network with its weights.

    Attributes:
        network: without its head.
        model: the network's name.
        description: what the weights are, such as "IMAGENET1K_V1" or "random (seed 0)".
        sha256: of the tensors, in hex.
    """

    network: nn.Module
    model: str
    description: str
    sha256: str


def initial_weights(model: str, weights: str, *, seed: int, downloads: Path, key: str) -> Weights:
    """Build a network with published, given or random weights.

    Args:
        model: a network's name.
        weights: a torchvision weight name, a file, or `random`.
        seed: of random weights.
        downloads: folder of published weight files, looked up first and downloaded to.
        key: the configuration key of `weights`, for messages.

    Raises:
        ConfigError: the name is neither a weight name of this model nor a file.
        DataError: the file cannot be had or used.
    """
    network = build_backbone(model, seed=seed)
    if weights == RANDOM:
        settle_batch_norms(network, seed=seed)
        return describe(network, model, f"random (seed {seed})")
    published = _published(model, weights)
    if published:
        path = _fetch(published, downloads, key)
        description = published.name
    else:
        path = Path(weights)
        description = f"file {path.name}"
        if not path.is_file():
            raise ConfigError(
                f"{key}: {weights!r} is neither a file nor a published weight name of {model}"
                f" ({', '.join(_published_names(model)) or 'there is none'}), nor `random`"
            )
    _load_into(network, model, _read(path), path)
    return describe(network, model, description)


def settle_batch_norms(network: nn.Module, *, seed: int) -> None:
    """Give a network that was never trained the running statistics of its own activations on seeded noise.

    Without them the activations of a deep random network fade to nothing (1e-12 for EfficientNetB0),
    and no head could learn from them.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        if norms:
            network(photograph_like_noise(seed=seed))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train()


def photograph_like_noise(*, seed: int) -> torch.Tensor:
    """Noise of every scale, contrast and brightness, as photographs have them: (16, 3, 224, 224).

    On white noise the deep layers settle so far from photographs that a few of those overflow.
    """
    generator = torch.Generator().manual_seed(seed)
    scales = [torch.randn(16, 3, cells, cells, generator=generator) for cells in (1, 2, 4, 8, 16, 32)]
    noise = torch.stack([nn.functional.interpolate(cells, size=224, mode="bicubic") for cells in scales]).sum(dim=0)
    contrast, brightness = torch.rand(2, 16, 1, 1, 1, generator=generator)
    return noise * (0.2 + 1.3 * contrast) + 3 * (brightness - 0.5)  # type: ignore[no-any-return]  # a tensor unpacks to Any


def write_weights(weights: Weights, path: Path) -> None:
    """Write a weights file atomically; the same weights give the same bytes."""
    content = {
        "format_version": FORMAT_VERSION,
        "model": weights.model,
        "weights": weights.description,
        "sha256": weights.sha256,
        "state_dict": _tensors(weights.network),
    }
    buffer = io.BytesIO()  # not the path: torch writes the file's name into the archive
    torch.save(content, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_weights(path: Path, *, model: str) -> Weights:
    """The network of a weights file, checked against its own digest.

    Raises:
        StoreError: the file is missing, damaged, or of another model or version.
    """
    remedy = "delete it and run the workflow again"
    if not path.is_file():
        raise StoreError(f"{path}: no such file; run the workflow again to make it")
    try:
        content = _read(path)
        if (content.get("format_version"), content.get("model")) != (FORMAT_VERSION, model):
            raise StoreError(
                f"{path}: weights of {content.get('model')!r}, format {content.get('format_version')}; expected"
                f" {model!r}, format {FORMAT_VERSION}; {remedy}"
            )
        network = build_backbone(model)
        _load_into(network, model, content, path)
    except DataError as error:
        raise StoreError(f"{error}; {remedy}") from None
    weights = describe(network, model, content["weights"])
    if weights.sha256 != content["sha256"]:
        raise StoreError(f"{path}: the tensors do not match their digest; {remedy}")
    return weights


def describe(network: nn.Module, model: str, description: str) -> Weights:
    """A network without its head as weights, with their digest."""
    return Weights(network, model, description, _tensors_sha256(_tensors(network)))


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}


def _tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of names, types, shapes and values in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------- reading


def _read(path: Path) -> Mapping[str, Any]:
    """A saved mapping; nothing but tensors and plain values is ever unpickled."""
    try:
        require_whole(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's own words advise to run what the file holds
            reason = "it holds more than tensors and plain values, or PyTorch did not write it"
        raise DataError(f"{path}: not a weights file that is safe to load ({reason})") from None
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: holds a {type(content).__name__}, expected a mapping of tensors (a state dict)")
    return content


def require_whole(path: Path) -> None:
    """Compare the checksums in an archive of torch, which torch itself does not look at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"damaged: {damaged} does not match its checksum")


def _load_into(network: nn.Module, model: str, content: Mapping[str, Any], path: Path) -> None:
    """Load a state dict, bare or under `state_dict`, head or no head; with a grey adapter if it holds one.

    Raises:
        DataError: names or shapes are not those of the model.
    """
    if content.get("model", model) != model:
        raise DataError(f"{path}: holds weights of {content['model']}, not of {model}")
    prefix = head_prefix(network)
    given = content.get("state_dict", content)
    state = OrderedDict(
        (_OLD_DENSENET.sub(r"\1\2", name), tensor)
        for name, tensor in given.items()
        if isinstance(tensor, torch.Tensor) and not name.startswith(prefix)
    )
    # some networks ask which version of their layout a file has; a file that does not say so has today's
    version = {"version": getattr(network, "_version", None)}
    state._metadata = getattr(given, "_metadata", {"": version})  # type: ignore[attr-defined]  # torch reads it there
    if any(name.startswith(f"{GREY_ADAPTER}.") for name in state) and not hasattr(network, GREY_ADAPTER):
        add_grey_adapter(network)
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise DataError(f"{path}: not weights of {model}: {lines[-1].strip()}") from None
    if missing or unexpected:
        problems = [
            f"{what} {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for what, names in (("misses", missing), ("has the unknown", unexpected))
            if names
        ]
        raise DataError(f"{path}: not weights of {model}: it {' and '.join(problems)}")


# ------------------------------------------------------------------------------------- publishing


def _published_names(model: str) -> list[str]:
    if model not in TORCHVISION_MODELS:
        return []
    from torchvision.models import get_model_weights

    return [name for name in get_model_weights(model).__members__ if name in TORCHVISION_WEIGHTS]


def _published(model: str, name: str) -> Any:
    """torchvision's weight entry of that name, or None."""
    if name not in _published_names(model):
        return None
    from torchvision.models import get_model_weights

    return get_model_weights(model)[name]


def _fetch(published: Any, downloads: Path, key: str) -> Path:
    """The published file: in the folder, else in torch's own cache, else downloaded; always checked.

    Raises:
        DataError: no network, or the bytes are not those of the digest in the file's name.
    """
    name = str(published.url).rsplit("/", 1)[-1]
    here, cached = downloads / name, Path(torch.hub.get_dir()) / "checkpoints" / name
    path = cached if cached.is_file() and not here.is_file() else here
    if not path.is_file():
        log.info("downloading %s", published.url)
        try:
            with atomic_path(here) as temporary:
                torch.hub.download_url_to_file(published.url, str(temporary), _name_digest(here), progress=False)
        except RuntimeError as error:
            raise DataError(f"{published.url}: the download does not match its digest ({error}); try again") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise DataError(
                f"{key}: cannot download {published.name} ({getattr(error, 'reason', error)})."
                f" Either fetch {published.url} on a machine with network and put it at {here};"
                f" or put it anywhere and set {key} to its path;"
                f" or set {key} to `random`, and know that results then stand on random weights"
            ) from None
    check_digest(path)
    return path


def check_digest(path: Path) -> None:
    """Compare a published file with the start of its SHA-256 in its name (`resnet18-f37072fd.pth`).

    Raises:
        DataError: they differ.
    """
    expected = _name_digest(path)
    found = file_sha256(path)
    if not found.startswith(expected):
        raise DataError(
            f"{path}: its SHA-256 begins with {found[: len(expected)]}, its name says {expected}; the file is damaged"
            " or incomplete: delete it and run the workflow again"
        )


def _name_digest(path: Path) -> str:
    """The start of the SHA-256 that a published file's name ends with."""
    return path.stem.rsplit("-", 1)[-1]
