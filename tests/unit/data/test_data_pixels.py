import errno
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data import known_rows
from heteroscope.data import pixels as module
from heteroscope.data.decoding import read_image, to_pixels, verify_image
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
    found = pd.DataFrame([verify_image(path) for path in files])
    names = [path.name for path in files]
    return found.assign(image_id=[value[:16] for value in sha256], path=names, sha256=sha256)


def work(target: Path) -> tuple[int, int]:
    with open_h5(target, "pixels") as file:
        return int(file.attrs["computed"]), int(file.attrs["reused"])


def check(target: Path, images: pd.DataFrame, root: Path, spec: Pixels = SPEC) -> None:
    with open_h5(target, "pixels") as file:
        assert read_strings(file, "image_id").tolist() == images["image_id"].tolist()
        assert read_strings(file, "key").tolist() == pixel_keys(images, spec, reduced=False)
        assert file["pixels"].chunks == (1, spec.channels, spec.size, spec.size)
        assert file["pixels"].fletcher32
        for row, path in enumerate(images["path"]):
            np.testing.assert_array_equal(file["pixels"][row], to_pixels(read_image(root / path), spec))


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
    real = module._ImageFile.decoded

    def spy(file: module._ImageFile, spec: Pixels, *, reduced: bool) -> np.ndarray:
        decoded.append(file.path.name)
        return real(file, spec, reduced=reduced)

    monkeypatch.setattr(module._ImageFile, "decoded", spy)
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
    assert not (tmp_path / "pixels.h5").exists()


def test_an_image_that_has_changed_costs_no_other_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "rows_at_once", lambda _: 4)
    images, target = table(root), tmp_path / "pixels.h5"
    Image.new("RGB", (12, 10), "red").save(root / "66.png")
    with pytest.raises(DataError, match=r"66\.png: changed"):
        build_pixels(images, root=root, spec=SPEC, target=target)
    assert not target.exists()
    build_pixels(table(root), root=root, spec=SPEC, target=target)
    check(target, table(root), root)
    assert work(target) == (6, 64)
    assert list(tmp_path.glob(".*.part")) == []


def test_same_bytes_from_any_number_of_workers(root: Path, tmp_path: Path) -> None:
    images = table(root)
    for workers in (1, 3):
        build_pixels(images, root=root, spec=SPEC, target=tmp_path / f"{workers}.h5", workers=workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_rows_are_copied_and_written_in_runs_of_any_length(
    root: Path, tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_rows, "RUN_BYTES", most * 3 * 8 * 8)
    images, target = table(root).iloc[:20], tmp_path / "pixels.h5"
    build_pixels(images.iloc[[0, 1, 2, 3, 7, 8, 12, 5]], root=root, spec=SPEC, target=target)
    damage_row(target, 2)
    damage_row(target, 5)
    mixed = images.iloc[[12, 0, 1, 2, 3, 13, 14, 8, 7, 5, 5, 15, 16]]  # one of them twice, as published
    build_pixels(mixed, root=root, spec=SPEC, target=target)
    check(target, mixed, root)
    assert work(target) == (6, 7)


# --------------------------------------------------------------------------- what a killed run leaves

KILLED = """
    import os, signal, sys, time
    from pathlib import Path
    import pandas as pd
    from heteroscope.config import Pixels
    from heteroscope.data import pixels
    from heteroscope.data.known_rows import rows_at_once

    def decoded(file, spec, *, reduced, real=pixels._ImageFile.decoded):
        if file.path.name == "50.png":
            time.sleep(1.5)  # rows before it are written by then
            os.kill(os.getpid(), getattr(signal, sys.argv[3]))
            time.sleep(20)
        return real(file, spec, reduced=reduced)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
    pixels.FLUSHED_EVERY = 0
    pixels.rows_at_once = lambda shape: 4
    pixels._ImageFile.decoded = decoded
    root, target = map(Path, sys.argv[1:3])
    images = pd.read_pickle(target.with_suffix(".pickle"))
    pixels.build_pixels(images, root=root, spec=Pixels(size=8), target=target, workers=1)
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_what_a_killed_run_has_decoded_is_not_decoded_again(root: Path, tmp_path: Path, how: str) -> None:
    images, target = table(root), tmp_path / "pixels.h5"
    images.to_pickle(target.with_suffix(".pickle"))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(root), str(target), how]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode in (-getattr(signal, how), 128 + signal.SIGINT, 1)
    assert not target.exists()
    assert len(list(tmp_path.glob(".pixels.h5.*.part"))) == 1
    build_pixels(images, root=root, spec=SPEC, target=target)
    check(target, images, root)
    computed, reused = work(target)
    assert reused >= 44  # of the 50 before the end; a few may have waited to be written
    assert computed + reused == 70
    assert list(tmp_path.glob(".*.part")) == []


def test_zeros_that_a_failed_machine_has_left_are_not_taken_for_images(root: Path, tmp_path: Path) -> None:
    images, target, left = table(root), tmp_path / "pixels.h5", tmp_path / ".pixels.h5.abc.part"
    build_pixels(images, root=root, spec=SPEC, target=target)
    with h5py.File(target) as file:
        chunk = file["pixels"].id.get_chunk_info_by_coord((7, 0, 0, 0))
    data = bytearray(target.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    left.write_bytes(data)
    target.unlink()
    with h5py.File(left) as file:
        assert not file["pixels"][7].any(), "HDF5 takes these zeros for whole"
    build_pixels(images, root=root, spec=SPEC, target=target)
    check(target, images, root)
    assert work(target) == (1, 69)


def test_a_disk_that_is_full_is_not_a_damaged_row(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class FullDisk:
        shape = (70, 3, 8, 8)

        def __setitem__(self, rows: object, values: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    images, target = table(root), tmp_path / "pixels.h5"
    build_pixels(images, root=root, spec=SPEC, target=target)
    with ExitStack() as stack, pytest.raises(OSError, match="No space left"):
        known_rows.KnownRows([target], (3, 8, 8), stack).copy_to(FullDisk(), pixel_keys(images, SPEC, reduced=False))  # type: ignore[arg-type]
    assert "damaged" not in caplog.text


# --------------------------------------------------------------------------------- reduced decoding


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Ten smooth JPEGs of 40 x 40, one that is too small for reduction, one PNG."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    y, x = np.mgrid[:40, :40]
    for index in range(10):
        values = 120 + 80 * np.sin((x + index) / 9) * np.cos(y / (7 + index))
        Image.fromarray(values.astype(np.uint8)).convert("RGB").save(folder / f"{index:02d}.jpg", quality=95)
    Image.fromarray(values[:12, :12].astype(np.uint8)).save(folder / "small.jpg")
    Image.fromarray(values.astype(np.uint8)).save(folder / "x.png")
    return folder


def noisy(folder: Path, index: int) -> None:
    """Texture finer than the target's pixels: the two ways of decoding average it differently."""
    values = np.random.default_rng(index).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / f"{index:02d}.jpg", quality=100, subsampling=0)


def attributes(target: Path) -> tuple[str, float, int]:
    with open_h5(target, "pixels") as file:
        found = file.attrs
        return str(found["decoding"]), float(found["decoding_difference"]), int(found["compared"])


def stored(target: Path) -> np.ndarray:
    with open_h5(target, "pixels") as file:
        return file["pixels"][:].astype(int)


def full(images: pd.DataFrame, root: Path) -> np.ndarray:
    return np.stack([to_pixels(read_image(root / path), SPEC) for path in images["path"]]).astype(int)


def test_smooth_jpegs_are_decoded_at_reduced_scale_and_the_difference_is_told(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    images, target = table(photographs), tmp_path / "pixels.h5"
    build_pixels(images, root=photographs, spec=SPEC, target=target)
    difference = np.abs(stored(target) - full(images, photographs)).mean(axis=(1, 2, 3))
    assert (difference[:10] > 0).all()
    assert (difference[10:] == 0).all()  # the small one and the PNG
    word, largest, compared = attributes(target)
    assert (word, compared) == ("reduced", module.COMPARED)
    sample = images[:10].sort_values("sha256").index[:compared]
    assert largest == pytest.approx(difference[sample].max())
    assert "at reduced scale" in caplog.text


def test_where_it_matters_all_are_decoded_in_full(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for index in range(5, 10):
        noisy(photographs, index)
    images, target = table(photographs), tmp_path / "pixels.h5"
    build_pixels(images, root=photographs, spec=SPEC, target=target)
    np.testing.assert_array_equal(stored(target), full(images, photographs))
    word, largest, compared = attributes(target)
    assert (word, compared) == ("full", module.COMPARED)
    assert largest > module.MOST_DIFFERENCE
    assert f"in full: in {compared} of them the two ways differ by {largest:.2f}" in caplog.text
    assert read_keys(target) == pixel_keys(images, SPEC, reduced=False)


def read_keys(target: Path) -> list[str]:
    with open_h5(target, "pixels") as file:
        return read_strings(file, "key").tolist()


def test_the_configuration_forces_full_decoding_and_only_reducible_rows_change(
    photographs: Path, tmp_path: Path
) -> None:
    images, target = table(photographs), tmp_path / "pixels.h5"
    build_pixels(images, root=photographs, spec=SPEC, target=target)
    forced = Pixels(size=8, decoding="full")
    build_pixels(images, root=photographs, spec=forced, target=target)
    assert work(target) == (10, 2)
    assert attributes(target) == ("full", 0.0, 0)
    np.testing.assert_array_equal(stored(target), full(images, photographs))
    assert read_keys(target) == pixel_keys(images, SPEC, reduced=False)
    build_pixels(images, root=photographs, spec=SPEC, target=target)  # full is allowed: nothing is decoded again
    assert work(target) == (0, 12)
    assert attributes(target)[0] == "full"


def test_new_images_are_compared_too_before_they_are_decoded_as_the_others(photographs: Path, tmp_path: Path) -> None:
    target = tmp_path / "pixels.h5"
    images = table(photographs)
    build_pixels(images.iloc[1:], root=photographs, spec=SPEC, target=target)
    _, difference, compared = attributes(target)
    build_pixels(images, root=photographs, spec=SPEC, target=target)
    assert work(target) == (1, 11)
    own = np.abs(stored(target) - full(images, photographs)).mean(axis=(1, 2, 3))[0]
    assert attributes(target) == ("reduced", pytest.approx(max(difference, own)), compared + 1)
    noisy(photographs, 10)
    images = table(photographs)
    build_pixels(images, root=photographs, spec=SPEC, target=target)
    assert attributes(target)[0] == "full"
    assert work(target) == (11, 2)  # the small one and the PNG are no other way decoded in full
    np.testing.assert_array_equal(stored(target), full(images, photographs))


def test_a_union_takes_every_row_as_its_member_has_it(photographs: Path, tmp_path: Path) -> None:
    images, members = table(photographs), [tmp_path / name / "pixels.h5" for name in ("left", "right")]
    build_pixels(images.iloc[:6], root=photographs, spec=SPEC, target=members[0])
    build_pixels(images.iloc[6:], root=photographs, spec=Pixels(size=8, decoding="full"), target=members[1])
    union = images.assign(path=[f"{'left' if row < 6 else 'right'}/{path}" for row, path in enumerate(images["path"])])
    target = tmp_path / "both" / "pixels.h5"
    for _ in range(2):
        build_pixels(union, root=None, spec=SPEC, target=target, reuse=members)
        np.testing.assert_array_equal(stored(target), np.concatenate([stored(path) for path in members]))
        assert read_keys(target) == [*read_keys(members[0]), *read_keys(members[1])]
        assert attributes(target) == attributes(members[0])


def test_a_truncated_jpeg_is_an_error_whatever_the_listing_says(photographs: Path, tmp_path: Path) -> None:
    images = table(photographs)
    path = photographs / "03.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    images.loc[3, "sha256"] = file_sha256(path)
    for spec in (SPEC, Pixels(size=8, decoding="full")):
        with pytest.raises(DataError, match=r"03\.jpg: truncated.*listed anew"):
            build_pixels(images, root=photographs, spec=spec, target=tmp_path / "pixels.h5")
