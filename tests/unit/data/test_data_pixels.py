from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data import pixels as module
from heteroscope.data.decoding import read_image, to_pixels
from heteroscope.data.pixels import build_pixels, pixel_keys
from heteroscope.errors import DataError, StoreError
from heteroscope.provenance import file_sha256
from heteroscope.store import digest_path, open_h5, read_strings

SPEC = Pixels(size=8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(70):  # more than are decoded at once
        Image.fromarray(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def table(root: Path) -> pd.DataFrame:
    files = sorted(root.iterdir())
    sha256 = [file_sha256(path) for path in files]
    return pd.DataFrame({"image_id": [s[:16] for s in sha256], "path": [p.name for p in files], "sha256": sha256})


def work(target: Path) -> tuple[int, int]:
    with open_h5(target, "pixels") as file:
        return int(file.attrs["computed"]), int(file.attrs["reused"])


def check(target: Path, images: pd.DataFrame, root: Path, spec: Pixels = SPEC) -> None:
    with open_h5(target, "pixels") as file:
        assert read_strings(file, "image_id").tolist() == images["image_id"].tolist()
        assert read_strings(file, "key").tolist() == pixel_keys(images["sha256"].tolist(), spec)
        assert file["pixels"].chunks == (1, spec.channels, spec.size, spec.size)
        assert file["pixels"].fletcher32
        for row, path in enumerate(images["path"]):
            np.testing.assert_array_equal(file["pixels"][row], to_pixels(read_image(root / path)[0], spec))


def damage_row(target: Path, row: int) -> None:
    with h5py.File(target) as file:
        chunk = file["pixels"].id.get_chunk_info_by_coord((row, 0, 0, 0))
    data = bytearray(target.read_bytes())
    data[chunk.byte_offset + 4] ^= 0xFF
    target.write_bytes(data)


def test_known_rows_are_copied_and_only_new_ones_decoded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "pixels.h5"
    images = table(root)
    build_pixels(images.iloc[:60], root=root, spec=SPEC, target=target)
    assert work(target) == (60, 0)
    digest = digest_path(target).read_text()
    decoded: list[str] = []
    real = module._decode
    monkeypatch.setattr(module, "_decode", lambda job, spec: decoded.append(job.path.name) or real(job, spec))
    mixed = images.iloc[::-1].reset_index(drop=True)  # another order, and ten more
    build_pixels(mixed, root=root, spec=SPEC, target=target)
    assert sorted(decoded) == [f"{index:02d}.png" for index in range(60, 70)]
    assert work(target) == (10, 60)
    assert digest_path(target).read_text() != digest
    check(target, mixed, root)


def test_another_specification_copies_nothing(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "pixels.h5"
    images = table(root).iloc[:5]
    build_pixels(images, root=root, spec=SPEC, target=target)
    for spec in (Pixels(size=8, resize="crop"), Pixels(size=9), Pixels(size=8, channels=1)):
        build_pixels(images, root=root, spec=spec, target=target)
        assert work(target) == (5, 0)
        check(target, images, root, spec)


def test_other_files_are_reused_without_the_images(root: Path, tmp_path: Path) -> None:
    images = table(root).iloc[:6]
    build_pixels(images.iloc[:3], root=root, spec=SPEC, target=tmp_path / "a.h5")
    build_pixels(images.iloc[3:], root=root, spec=SPEC, target=tmp_path / "b.h5")
    union = images.assign(path="nowhere/" + images["path"])
    reuse = [tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "absent.h5"]
    build_pixels(union, root=tmp_path, spec=SPEC, target=tmp_path / "union.h5", reuse=reuse)
    assert work(tmp_path / "union.h5") == (0, 6)
    check(tmp_path / "union.h5", images, root)


@pytest.mark.parametrize("damage", ["text", "cut", "version"])
def test_a_damaged_old_file_is_computed_anew(
    root: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "pixels.h5"
    images = table(root).iloc[:5]
    build_pixels(images, root=root, spec=SPEC, target=target)
    if damage == "text":
        target.write_text("no HDF5")
    elif damage == "cut":
        target.write_bytes(target.read_bytes()[:-500])
    else:
        with h5py.File(target, "a") as file:
            file.attrs["encoding_version"] = 99
    build_pixels(images, root=root, spec=SPEC, target=target)
    assert work(target) == (5, 0)
    assert "not reused" in caplog.text
    check(target, images, root)


def test_a_row_with_a_bad_checksum_is_decoded_anew(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "pixels.h5"
    images = table(root).iloc[:5]
    build_pixels(images, root=root, spec=SPEC, target=target)
    damage_row(target, 2)
    build_pixels(images, root=root, spec=SPEC, target=target)
    assert work(target) == (1, 4)
    assert "row 2 is damaged" in caplog.text
    check(target, images, root)


def test_a_union_names_the_member_whose_row_is_missing_or_damaged(root: Path, tmp_path: Path) -> None:
    images, members = table(root).iloc[:6], [tmp_path / name / "pixels.h5" for name in ("left", "right")]
    for rows, member in zip((slice(0, 3), slice(3, 6)), members, strict=True):
        build_pixels(images.iloc[rows], root=root, spec=SPEC, target=member)
    paths = [f"{['left', 'right'][row // 3]}/{path}" for row, path in enumerate(images["path"])]
    union, target = images.assign(path=paths), tmp_path / "both" / "pixels.h5"
    build_pixels(union, root=None, spec=SPEC, target=target, reuse=members)
    damage_row(target, 4)  # the member still has it
    build_pixels(union, root=None, spec=SPEC, target=target, reuse=members)
    check(target, images, root)
    target.unlink()
    damage_row(members[1], 1)
    with pytest.raises(
        StoreError, match=r"right/pixels\.h5: image right/04\.png is missing or damaged.*delete"
    ) as caught:
        build_pixels(union, root=None, spec=SPEC, target=target, reuse=members)
    assert str(members[0]) not in str(caught.value)
    members[0].unlink()
    with pytest.raises(StoreError, match=r"left/pixels\.h5: image left/00\.png is missing"):
        build_pixels(union, root=None, spec=SPEC, target=target, reuse=members)


def test_a_file_that_changed_since_its_listing_is_an_error(root: Path, tmp_path: Path) -> None:
    images = table(root).iloc[:3]
    (root / "01.png").write_bytes((root / "02.png").read_bytes())
    with pytest.raises(DataError, match=r"01\.png: changed since it was listed; run the workflow again"):
        build_pixels(images, root=root, spec=SPEC, target=tmp_path / "pixels.h5")
    (root / "01.png").unlink()
    with pytest.raises(DataError, match=r"01\.png: cannot be read"):
        build_pixels(images, root=root, spec=SPEC, target=tmp_path / "pixels.h5")
    assert list(tmp_path.glob("*.h5*")) == []
    assert list(tmp_path.glob(".*.part")) == []


def test_same_bytes_from_any_number_of_threads(root: Path, tmp_path: Path) -> None:
    images = table(root)
    for threads in (1, 3):
        build_pixels(images, root=root, spec=SPEC, target=tmp_path / f"{threads}.h5", threads=threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()
