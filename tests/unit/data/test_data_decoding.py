import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heteroscope.config import Pixels
from heteroscope.data.decoding import MAX_PIXELS, ImageError, read_image, to_pixels
from heteroscope.provenance import imported_modules

COLOUR = np.random.default_rng(0).integers(0, 256, size=(6, 9, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0].copy()


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def reason(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    return caught.value.reason


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "ppm"])
def test_lossless_colour_formats_come_back_exactly(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    pixels, mode = read_image(saved(tmp_path / f"x.{ending}", COLOUR, **options))
    np.testing.assert_array_equal(pixels, COLOUR)
    assert (pixels.dtype, mode) == (np.uint8, "RGB")


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "pgm"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, ending: str) -> None:
    pixels, mode = read_image(saved(tmp_path / f"x.{ending}", GREY))
    np.testing.assert_array_equal(pixels, np.stack([GREY] * 3, axis=2))
    assert mode == "L"


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    pixels, _ = read_image(saved(tmp_path / "x.jpg", smooth, quality=95))
    assert np.abs(pixels[:, :, 0].astype(int) - smooth).max() <= 4


def test_one_bit_and_palette(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[0][:, :, 1], bits * 255)
    picture = Image.fromarray(np.array([[0, 1], [1, 2]], dtype=np.uint8), mode="P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "palette.png")
    pixels, mode = read_image(tmp_path / "palette.png")
    assert mode == "P"
    np.testing.assert_array_equal(pixels, [[[255, 0, 0], [0, 255, 0]], [[0, 255, 0], [0, 0, 255]]])


def test_transparency_is_flattened_on_black(tmp_path: Path) -> None:
    alpha = np.array([[0, 255, 128]], dtype=np.uint8)
    layer = np.dstack([np.full((1, 3, 3), 200, dtype=np.uint8), alpha])
    pixels, mode = read_image(saved(tmp_path / "x.png", layer))
    assert mode == "RGBA"
    np.testing.assert_allclose(pixels[0, :, 0], [0, 200, 200 * 128 / 255], atol=1)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_deep_grey_is_scaled_by_its_bit_depth(tmp_path: Path, ending: str) -> None:
    sixteen = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    pixels, mode = read_image(saved(tmp_path / f"sixteen.{ending}", sixteen))
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])
    assert mode.startswith("I")
    twelve = np.array([[0, 4095, 2048, 16]], dtype=np.uint16)
    np.testing.assert_array_equal(
        read_image(saved(tmp_path / f"twelve.{ending}", twelve))[0][0, :, 0], [0, 255, 128, 1]
    )


def test_deep_pgm_states_its_own_depth(tmp_path: Path) -> None:
    values = np.array([0, 1000, 2000], dtype=">u2").tobytes()
    (tmp_path / "full.pgm").write_bytes(b"P5 3 1 65535\n" + values)
    np.testing.assert_array_equal(read_image(tmp_path / "full.pgm")[0][0, :, 0], [0, 4, 8])
    (tmp_path / "shallow.pgm").write_bytes(b"P5 3 1 2000\n" + values)
    np.testing.assert_array_equal(read_image(tmp_path / "shallow.pgm")[0][0, :, 0], [0, 128, 255])


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    pixels, _ = read_image(saved(tmp_path / "x.png", COLOUR, exif=exif))
    np.testing.assert_array_equal(pixels, np.rot90(COLOUR, -1))


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(GREY).save(tmp_path / "gif.png", format="GIF")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "float.tif")
    assert reason(tmp_path / "absent.png") == "missing"
    assert reason(tmp_path / "text.png") == "unreadable"
    assert reason(tmp_path / "empty.png") == "truncated"
    assert reason(tmp_path / "gif.png") == "unsupported"
    assert reason(tmp_path / "float.tif") == "unsupported"


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tif", "pgm", "webp"])
def test_a_file_cut_anywhere_is_never_taken_for_whole(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, size=(40, 40), dtype=np.uint8)
    whole = saved(tmp_path / f"whole.{ending}", noise).read_bytes()
    for share in (0.3, 0.6, 0.9):
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(whole[: int(share * len(whole))])
        assert reason(cut) in ("truncated", "unreadable")


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "pgm"])
def test_a_file_cut_in_its_pixels_is_truncated(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, size=(100, 100), dtype=np.uint8)
    path = saved(tmp_path / f"x.{ending}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert reason(path) == "truncated"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_600, 20_000])
def test_a_decompression_bomb_is_refused_with_its_pixels(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match=str(side * side)) as caught:
        read_image(tmp_path / "bomb.png")
    assert caught.value.reason == "unsupported"
    assert side * side > MAX_PIXELS


def test_reads_open_files() -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG")
    np.testing.assert_array_equal(read_image(buffer)[0], COLOUR)


# ------------------------------------------------------------------------------------------ resize


def test_to_pixels_at_the_same_size_changes_nothing_but_the_layout() -> None:
    square = COLOUR[:, :6]
    spec = Pixels(size=8)
    image = np.kron(square[:4, :4], np.ones((2, 2, 1), dtype=np.uint8))
    np.testing.assert_array_equal(to_pixels(image, spec), image.transpose(2, 0, 1))
    np.testing.assert_array_equal(
        to_pixels(image, Pixels(size=8, channel_order="bgr")), image[:, :, ::-1].transpose(2, 0, 1)
    )


def test_one_channel_is_luminance() -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:] = (200, 100, 50)
    pixels = to_pixels(image, Pixels(size=8, channels=1))
    assert pixels.shape == (1, 8, 8)
    np.testing.assert_allclose(pixels, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # finer than the target's pixels: only an average is right
    np.testing.assert_allclose(to_pixels(stripes, Pixels(size=8)), 127.5, atol=6)


def test_squash_pad_and_crop() -> None:
    image = np.zeros((16, 32, 3), dtype=np.uint8)
    image[:, :8] = 60  # left quarter
    image[:, 8:24] = 120
    image[:, 24:] = 240
    squash = to_pixels(image, Pixels(size=16))[0]
    assert squash[:, 0].tolist() == [60] * 16
    assert squash[:, 15].tolist() == [240] * 16
    pad = to_pixels(image, Pixels(size=16, resize="pad"))[0]
    assert not pad[:4].any()
    assert not pad[12:].any()
    assert pad[4:12].all()
    crop = to_pixels(image, Pixels(size=16, resize="crop"))[0]
    assert (crop == 120).all()


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_extreme_shapes_survive(resize: str) -> None:
    for shape in ((1, 5000, 3), (5000, 1, 3), (1, 1, 3)):
        assert to_pixels(np.full(shape, 9, dtype=np.uint8), Pixels(size=8, resize=resize)).shape == (3, 8, 8)


def test_row_keys_depend_on_no_other_code() -> None:
    # a new key of the configuration must not make every stored pixel stale
    assert imported_modules("heteroscope.data.decoding") == {"heteroscope.data.decoding", "heteroscope.errors"}


def test_imports_without_the_configuration() -> None:
    code = "import sys, heteroscope.data.decoding; print('heteroscope.config' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
