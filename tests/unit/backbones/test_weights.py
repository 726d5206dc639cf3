"""Weights: published, from a file, random; and the one file format."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from heteroscope.backbones.registry import build_backbone, build_network
from heteroscope.backbones.weights import (
    check_digest,
    initial_weights,
    photograph_like_noise,
    read_weights,
    write_weights,
)
from heteroscope.errors import ConfigError, DataError, StoreError
from heteroscope.stages import weights as stage

KEY = "backbones.mine.weights"


def make(model: str, weights: str, folder: Path, seed: int = 0):
    return initial_weights(model, weights, seed=seed, downloads=folder, key=KEY)


def test_random_weights_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one.pt", "another-name.pt"):
        write_weights(make("small-cnn", "random", tmp_path, seed=2), tmp_path / name)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "another-name.pt").read_bytes()


def test_a_weights_file_comes_back_whole(tmp_path: Path) -> None:
    made = make("small-cnn", "random", tmp_path, seed=2)
    write_weights(made, tmp_path / "weights.pt")
    read = read_weights(tmp_path / "weights.pt", model="small-cnn")
    assert (read.description, read.sha256) == ("random (seed 2)", made.sha256)
    expected, found = made.network.state_dict(), read.network.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_the_digest_is_of_the_tensors(tmp_path: Path) -> None:
    first, other = (make("small-cnn", "random", tmp_path, seed=seed).sha256 for seed in (0, 1))
    assert first == make("small-cnn", "random", tmp_path).sha256 != other


def test_a_whole_networks_state_dict_is_taken_and_its_head_dropped(tmp_path: Path) -> None:
    torch.manual_seed(8)
    network = build_network("resnet18")
    network.fc = torch.nn.Linear(512, 2)  # trained elsewhere on two classes
    for content in (network.state_dict(), {"state_dict": network.state_dict(), "epoch": 3}):
        torch.save(content, tmp_path / "given.pth")
        made = make("resnet18", str(tmp_path / "given.pth"), tmp_path)
        assert made.description == "file given.pth"
        found = made.network.state_dict()
        assert "fc.weight" not in found
        assert all(torch.equal(found[name], network.state_dict()[name]) for name in found)


@pytest.mark.parametrize(
    "model", ["vit_b_16", "efficientnet_b0", "squeezenet1_0", "regnet_y_400mf", "mobilenet_v3_small"]
)
def test_whole_networks_of_every_kind_are_taken(model: str, tmp_path: Path) -> None:
    torch.manual_seed(8)
    state = build_network(model).state_dict()
    torch.save(state, tmp_path / "given.pth")
    found = make(model, str(tmp_path / "given.pth"), tmp_path).network.state_dict()
    assert len(state) - len(found) == 2, "weight and bias of the head"
    assert all(torch.equal(found[name], state[name]) for name in found)


def test_densenet_files_with_the_old_names_are_taken(tmp_path: Path) -> None:
    state = build_network("densenet121").state_dict()
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: tensor
        for name, tensor in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    found = make("densenet121", str(tmp_path / "old.pth"), tmp_path).network.state_dict()
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(found[name], state[name])


@pytest.mark.parametrize("kept", [True, False], ids=["as torch saves it", "without its version"])
def test_a_network_whose_layout_has_versions_is_taken(kept: bool, tmp_path: Path) -> None:
    """MNASNet refuses a file that does not say which of its layouts it has."""
    torch.manual_seed(8)
    state = build_network("mnasnet0_5").state_dict()
    torch.save(state if kept else dict(state), tmp_path / "given.pth")
    write_weights(make("mnasnet0_5", str(tmp_path / "given.pth"), tmp_path), tmp_path / "ours.pt")
    found = read_weights(tmp_path / "ours.pt", model="mnasnet0_5").network.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in found)


def test_files_that_are_not_weights_of_the_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.pth"
    state = build_backbone("small-cnn").state_dict()
    cases: list[tuple[object, str]] = [
        ({"other": torch.zeros(1)}, "misses features.0.weight.* and has the unknown other"),
        (state | {"features.0.weight": torch.zeros(2, 3, 3, 3)}, "size mismatch for features.0.weight"),
        ([1, 2], "holds a list"),
        ({"state_dict": state, "model": "resnet18"}, "holds weights of resnet18, not of small-cnn"),
    ]
    for content, message in cases:
        torch.save(content, path)
        with pytest.raises(DataError, match=message):
            make("small-cnn", str(path), tmp_path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(build_network("small-cnn"), tmp_path / "pickled.pth")  # a whole module, not a state dict
    with pytest.raises(DataError, match="not a weights file that is safe to load"):
        make("small-cnn", str(tmp_path / "pickled.pth"), tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DataError, match=r"text\.pth: not a weights file .*PyTorch did not write it\)$"):
        make("small-cnn", str(tmp_path / "text.pth"), tmp_path)


def test_an_unknown_name_is_answered_with_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backbones\.mine\.weights: 'imagenet' is neither a file .*IMAGENET1K_V1"):
        make("resnet18", "imagenet", tmp_path)


def published_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let torch look for resnet18's published file at another address, and for its cache in an empty folder."""
    from torchvision.models import ResNet18_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        ResNet18_Weights.IMAGENET1K_V1, "_value_", replace(ResNet18_Weights.IMAGENET1K_V1.value, url=url)
    )


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://localhost:9/models/resnet18-f37072fd.pth"  # nothing listens there
    published_by(tmp_path, monkeypatch, url)
    with pytest.raises(DataError) as caught:
        make("resnet18", "IMAGENET1K_V1", tmp_path / "weights")
    message = str(caught.value)
    for part in (KEY, "IMAGENET1K_V1", url, str(tmp_path / "weights" / "resnet18-f37072fd.pth"), "random"):
        assert part in message
    assert not list((tmp_path / "weights").iterdir()), "a half-made file was left behind"


def test_a_published_file_is_downloaded_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    network = build_network("resnet18")
    torch.save(network.state_dict(), tmp_path / "source.pth")
    digest = hashlib.sha256((tmp_path / "source.pth").read_bytes()).hexdigest()[:8]
    source = (tmp_path / "source.pth").rename(tmp_path / f"resnet18-{digest}.pth")
    published_by(tmp_path, monkeypatch, source.as_uri())
    downloads = tmp_path / "weights"
    made = make("resnet18", "IMAGENET1K_V1", downloads)
    assert made.description == "IMAGENET1K_V1"
    assert torch.equal(made.network.state_dict()["conv1.weight"], network.conv1.weight)
    source.unlink()  # from now on only the kept file is there
    assert make("resnet18", "IMAGENET1K_V1", downloads).sha256 == made.sha256


def test_a_damaged_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "resnet18-0123abcd.pth"
    torch.save(build_network("resnet18").state_dict(), source)
    published_by(tmp_path, monkeypatch, source.as_uri())
    with pytest.raises(DataError, match="does not match its digest"):
        make("resnet18", "IMAGENET1K_V1", tmp_path / "weights")
    (tmp_path / "weights").mkdir(exist_ok=True)
    source.rename(tmp_path / "weights" / source.name)  # put there by hand
    with pytest.raises(DataError, match="its name says 0123abcd"):
        make("resnet18", "IMAGENET1K_V1", tmp_path / "weights")


def test_the_digest_in_the_name_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / f"net-{hashlib.sha256(b'bytes').hexdigest()[:8]}.pth"
    path.write_bytes(b"bytes")
    check_digest(path)
    path.write_bytes(b"other")
    with pytest.raises(DataError, match="damaged"):
        check_digest(path)


def test_damaged_or_foreign_weights_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with pytest.raises(StoreError, match="no such file"):
        read_weights(path, model="small-cnn")
    write_weights(make("small-cnn", "random", tmp_path), path)
    with pytest.raises(StoreError, match=r"weights of 'small-cnn'.*expected 'resnet18'"):
        read_weights(path, model="resnet18")
    content = torch.load(path, weights_only=True)
    content["state_dict"]["features.0.weight"][0] += 1
    torch.save(content, path)
    with pytest.raises(StoreError, match="do not match their digest"):
        read_weights(path, model="small-cnn")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StoreError, match="delete it and run the workflow again"):
        read_weights(path, model="small-cnn")


def test_the_stage_writes_initial_weights_of_a_backbone_to_be_trained(tmp_path: Path) -> None:
    spec = '{"model": "small-cnn", "weights": "trained", "pixels": "p", "seed": 6, "finetune": {"initial": "random"}}'
    output = tmp_path / "cnn.pt"
    stage.main(["--backbone-id", "cnn", "--spec", spec, "--output", str(output)])
    assert read_weights(output, model="small-cnn").sha256 == make("small-cnn", "random", tmp_path, seed=6).sha256


def test_random_networks_have_the_statistics_of_their_own_activations(tmp_path: Path) -> None:
    network = initial_weights("resnet18", "random", seed=3, downloads=tmp_path, key="key").network
    with torch.no_grad():
        maps = network.conv1(photograph_like_noise(seed=3))
    torch.testing.assert_close(network.bn1.running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(network.bn1.running_var, maps.var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert network.bn1.momentum == 0.1


def test_random_networks_pass_signals_on(tmp_path: Path) -> None:
    network = initial_weights("efficientnet_b0", "random", seed=0, downloads=tmp_path, key="key").network.eval()
    with torch.no_grad():
        embedding = network(photograph_like_noise(seed=1))
    assert 1e-3 < embedding.std(dim=0).mean() < 1e3
