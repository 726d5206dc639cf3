"""DICOM: what a viewer would show, what is refused, and that no name leaves a file."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.pixels import compress
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from heteroscope.config import InBreastDataset, Pixels, dump
from heteroscope.data import dicom as module
from heteroscope.data.decoding import ImageError, read_image, read_pixels, verify_image
from heteroscope.data.listing import update_listing
from heteroscope.store import open_h5, read_table
from tests.unit.data.dicoms import PATIENT, dataset, save, save_lossless_jpeg

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def grey(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "L"
    return np.asarray(image).astype(float)


def refusal(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    with pytest.raises(ImageError) as verified:
        verify_image(path)
    assert str(verified.value) == str(caught.value)
    return caught.value


@pytest.mark.parametrize(("bits", "mode"), [(8, "L"), (10, "I;16"), (12, "I;16"), (14, "I;16"), (16, "I;16")])
def test_all_that_the_bits_can_hold_is_shown(tmp_path: Path, bits: int, mode: str) -> None:
    values = np.linspace(0, 2**bits - 1, 256).astype(np.uint8 if bits == 8 else np.uint16).reshape(16, 16)
    path = save(tmp_path / "x.dcm", values, bits=bits)
    np.testing.assert_allclose(grey(path), values / (2**bits - 1) * 255, atol=0.51)
    found = verify_image(path)
    assert (found.width, found.height, found.mode, found.format) == (16, 16, mode, "DICOM")


def test_sixteen_bits_state_no_depth_and_show_what_is_held(tmp_path: Path) -> None:
    ramp = grey(save(tmp_path / "x.dcm", RAMP + 1000, bits=16))
    np.testing.assert_allclose(ramp, RAMP / 4095 * 255, atol=0.51)
    signed = RAMP.astype(np.int16) - 2000
    signed[0, :5] = -30000
    padded = dataset(signed, bits=16, RescaleSlope=-2, RescaleIntercept=7)
    padded.add_new("PixelPaddingValue", "SS", -30000)
    dcmwrite(tmp_path / "p.dcm", padded, enforce_file_format=True)
    shown = grey(tmp_path / "p.dcm")
    assert not shown[0, :5].any()
    np.testing.assert_allclose(shown[1:], 255 - (RAMP[1:] - 5) / 4090 * 255, atol=0.51)
    np.testing.assert_array_equal(grey(save(tmp_path / "one.dcm", np.full((4, 4), 9, "u2"), bits=16)), 0)


def test_signed_values_begin_at_the_lowest(tmp_path: Path) -> None:
    values = np.array([[-2048, 0, 2047]], dtype=np.int16)
    np.testing.assert_allclose(grey(save(tmp_path / "x.dcm", values)), [[0, 127.5, 255]], atol=0.6)


def test_a_window_is_applied_to_rescaled_values(tmp_path: Path) -> None:
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    path = save(tmp_path / "x.dcm", RAMP, WindowCenter=1000, WindowWidth=501, **rescaled)
    expected = np.clip((2.0 * RAMP - 1000 - 999.5) / 500 + 0.5, 0, 1) * 255  # PS3.3, C.11.2.1.2.1
    np.testing.assert_allclose(grey(path), expected, atol=0.51)
    exact = save(
        tmp_path / "e.dcm", RAMP, WindowCenter=1000, WindowWidth=500, VOILUTFunction="LINEAR_EXACT", **rescaled
    )
    np.testing.assert_allclose(grey(exact), np.clip((2.0 * RAMP - 2000) / 500 + 0.5, 0, 1) * 255, atol=0.51)
    sigmoid = save(tmp_path / "s.dcm", RAMP, WindowCenter=[2000, 1], WindowWidth=[800, 1], VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(grey(sigmoid), 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 800)), atol=0.51)


def test_monochrome1_is_inverted_and_padding_stays_black(tmp_path: Path) -> None:
    plain = grey(save(tmp_path / "x.dcm", RAMP, WindowCenter=2000, WindowWidth=1000))
    inverted = save(
        tmp_path / "y.dcm", RAMP, WindowCenter=2000, WindowWidth=1000, PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_allclose(grey(inverted), 255 - plain, atol=1)
    padded = dataset(RAMP, PhotometricInterpretation="MONOCHROME1", PixelPaddingRangeLimit=10)
    padded.add_new("PixelPaddingValue", "US", 0)
    dcmwrite(tmp_path / "z.dcm", padded, enforce_file_format=True)
    shown = grey(tmp_path / "z.dcm")
    assert not shown[0, :11].any()
    assert shown[0, 11] > 250


def test_a_table_of_the_display_goes_before_the_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (np.arange(4096)[::-1] * 16).tolist()
    table["LUTData"].VR = "US"
    path = save(tmp_path / "x.dcm", RAMP, VOILUTSequence=[table], WindowCenter=5, WindowWidth=5)
    np.testing.assert_allclose(grey(path), (4095.0 - RAMP) * 16 / 65535 * 255, atol=0.51)


def test_colour_comes_back(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
    image = read_image(save(tmp_path / "x.dcm", colour, bits=8))
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), colour)


# ------------------------------------------------------------------------------------- compression


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_comes_back_exactly(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, size=(33, 47)).astype("u1" if bits == 8 else "u2")
    plain = grey(save(tmp_path / "plain.dcm", values, bits=bits))
    np.testing.assert_array_equal(grey(save_lossless_jpeg(tmp_path / "x.dcm", values, bits=bits)), plain)
    assert plain.std() > 50


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_other_lossless_compressions_come_back_exactly(tmp_path: Path, syntax: str) -> None:
    made = dataset(RAMP)
    compress(made, syntax)
    dcmwrite(tmp_path / "x.dcm", made, enforce_file_format=True)
    np.testing.assert_array_equal(grey(tmp_path / "x.dcm"), grey(save(tmp_path / "plain.dcm", RAMP)))


# ----------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("pixels", "tags", "message"),
    [
        (np.zeros((3, 8, 9), "u2"), {"NumberOfFrames": 3}, "3 frames; only single images are taken"),
        (np.zeros((8, 9), "u4"), {"bits": 32}, "32 bits of MONOCHROME2; at most 16 are known"),
        (
            np.zeros((8, 9), "u1"),
            {"bits": 8, "PhotometricInterpretation": "PALETTE COLOR"},
            "colours PALETTE COLOR; known",
        ),
        (np.zeros((8, 9), "u2"), {"Rows": 60000, "Columns": 60000}, "60000x60000 = 3600000000 pixels, more than"),
    ],
)
def test_what_is_no_single_grey_image_is_unsupported(
    tmp_path: Path, pixels: np.ndarray, tags: dict[str, Any], message: str
) -> None:
    error = refusal(save(tmp_path / "x.dcm", pixels, **tags))
    assert error.reason == "unsupported"
    assert message in error.detail


def test_files_without_pixels_or_decoder(tmp_path: Path) -> None:
    report = dataset(RAMP)
    for name in ("Rows", "Columns", "PixelData"):
        del report[name]
    dcmwrite(tmp_path / "report.dcm", report, enforce_file_format=True)
    error = refusal(tmp_path / "report.dcm")
    assert (error.reason, error.detail) == ("unreadable", "no image in this DICOM file, or it is cut off before it")
    video = dataset(RAMP)
    video.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    video.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    video["PixelData"].VR = "OB"
    dcmwrite(tmp_path / "video.dcm", video, enforce_file_format=True)
    assert refusal(tmp_path / "video.dcm").reason == "unsupported"
    (tmp_path / "text.dcm").write_text("not an image")
    assert refusal(tmp_path / "text.dcm").reason == "unreadable"


@pytest.mark.parametrize("kind", ["jpeg", "jpeg-2000"])
def test_a_compressed_image_of_another_size_than_its_tags_is_not_decoded(tmp_path: Path, kind: str) -> None:
    """A file of a few kilobytes could ask for gigabytes."""
    path = tmp_path / "x.dcm"
    if kind == "jpeg":
        data = save_lossless_jpeg(path, RAMP).read_bytes()
        whole, hostile = b"\xff\xc3\0\x0b\x0c" + b"\0\x40" * 2, b"\xff\xc3\0\x0b\x0c" + b"\xf0\x00" * 2
    else:
        made = dataset(RAMP)
        compress(made, JPEG2000Lossless)
        dcmwrite(path, made, enforce_file_format=True)
        data = path.read_bytes()
        start = data.index(b"\xff\x4f\xff\x51")
        whole, hostile = data[start : start + 16], data[start : start + 8] + b"\0\0\xf0\0" * 2
    assert data.count(whole) == 1
    path.write_bytes(data.replace(whole, hostile))
    error = refusal(path)
    assert (error.reason, error.detail) == ("unreadable", "the compressed image is 61440x61440, by its tags 64x64")


def test_a_deflated_file_is_unsupported(tmp_path: Path) -> None:
    made = dataset(RAMP)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(tmp_path / "x.dcm", made, enforce_file_format=True)
    assert (refusal(tmp_path / "x.dcm").reason, refusal(tmp_path / "x.dcm").detail[:10]) == (
        "unsupported",
        "a deflated",
    )


@pytest.mark.parametrize("lossless_jpeg", [False, True])
def test_a_file_cut_anywhere_is_never_taken_for_whole(
    tmp_path: Path, lossless_jpeg: bool, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, size=(40, 40)).astype(np.uint16)
    whole = (save_lossless_jpeg if lossless_jpeg else save)(tmp_path / "x.dcm", noise).read_bytes()
    for share in (0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 0.99):
        (tmp_path / "cut.dcm").write_bytes(whole[: int(share * len(whole))])
        error = refusal(tmp_path / "cut.dcm")
        assert error.reason in ("truncated", "unreadable")
        assert "\n" not in error.detail
    assert not caplog.records  # pydicom would log a traceback
    assert error.reason == "truncated"


def test_no_tag_but_those_of_the_pixels_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", RAMP, WindowCenter=5, WindowWidth=5)
    assert {element.keyword for element in module._read(path)} <= {*module.TAGS, "PixelData"}


def test_reads_open_files_as_paths(tmp_path: Path) -> None:
    path = save(tmp_path / "x.dcm", RAMP)
    spec = Pixels(size=16, channels=1)
    np.testing.assert_array_equal(read_pixels(io.BytesIO(path.read_bytes()), spec), read_pixels(path, spec))


def test_other_formats_are_read_without_pydicom(tmp_path: Path) -> None:
    """It takes half a second to load."""
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "x.png")
    code = (
        "import sys; from pathlib import Path; from heteroscope.data.decoding import read_image;"
        f" read_image(Path({str(tmp_path / 'x.png')!r})); print('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# ------------------------------------------------------------------------------- a small collection


@pytest.fixture
def inbreast(tmp_path: Path) -> tuple[Path, InBreastDataset]:
    """INbreast in small: real names, the table, mammograms of a patient with a name; one in three frames, one cut."""
    root = tmp_path / "INbreast"
    lines = ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"]
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 4096, size=(48, 32)).astype(np.uint16)
        if number == 6:
            pixels = np.stack([pixels] * 3)
        name = f"2000000{number}_{number // 2:016x}_MG_{'LR'[number % 2]}_CC_ANON.dcm"
        path = save(root / "AllDICOMs" / name, pixels, **({"NumberOfFrames": 3} if number == 6 else {}))
        if number == 7:
            path.write_bytes(path.read_bytes()[:1500])
        lines.append(f"removed;removed;{'LR'[number % 2]};CC;201001;2000000{number};{number % 4 + 1};{1 + number % 5}")
    lines.append("removed;removed;L;CC;201001;29999999;1;5")
    (root / "INbreast.csv").write_text("\n".join(lines) + "\n")
    classes = {"benign": ["1", "2", "3"], "malignant": ["4", "5"]}
    return root, InBreastDataset(adapter="inbreast", root="INbreast", classes=classes)


def test_a_collection_becomes_pixels_and_no_output_or_log_names_the_patient(
    inbreast: tuple[Path, InBreastDataset], tmp_path: Path
) -> None:
    root, spec = inbreast
    out = tmp_path / "out"
    listing, images, rejected, pixels = (
        out / name for name in ("listing.tsv", "images.parquet", "no.csv", "pixels.h5")
    )
    update_listing(root, listing, spec.tables)
    common = ["--root", root, "--images", images]
    stages = {
        "dataset": [
            "--spec",
            dump(spec),
            "--listing",
            listing,
            "--rejected",
            rejected,
            "--classes",
            out / "classes.csv",
        ],
        "pixels": ["--spec", dump(Pixels(size=16, channels=1)), "--pixels", pixels],
    }
    for stage, flags in stages.items():
        command = [sys.executable, "-m", f"heteroscope.stages.{stage}", *map(str, [*common, *flags])]
        done = subprocess.run(command, capture_output=True, check=True)
        (out / f"{stage}.log").write_bytes(done.stdout + done.stderr)
    table = read_table(images)
    assert table["label"].tolist() == ["benign"] * 3 + ["malignant"] * 2 + ["benign"]
    assert table["group"].nunique() == 3
    assert table["format"].unique().tolist() == ["DICOM"]
    gone = pd.read_csv(rejected)
    assert gone["reason"].tolist() == ["missing", "unsupported", "truncated"]
    assert gone["detail"][1].startswith("3 frames; only single images are taken")
    with open_h5(pixels, "pixels") as file:
        expected = [read_pixels(root / path, Pixels(size=16, channels=1)) for path in table["path"]]
        np.testing.assert_array_equal(file["pixels"][:], expected)
    table.to_csv(out / "images.csv")  # without compression
    for path in [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".dcm"]:
        content = path.read_bytes()
        for word in (PATIENT.encode(), b"Doe", b"Jane", b"19500102", b"Clinic"):
            assert word not in content, path
    assert PATIENT.encode() in next(root.rglob("*.dcm")).read_bytes()
