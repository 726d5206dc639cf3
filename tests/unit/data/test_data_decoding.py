import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from heteroscope.config import Pixels
from heteroscope.data import decoding as module
from heteroscope.data.decoding import MAX_PIXELS, ImageError, Properties, read_pixels, verify_image
from heteroscope.data.pixels import DECODING
from heteroscope.provenance import imported_modules

COLOUR = np.random.default_rng(0).integers(0, 256, size=(6, 9, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0].copy()


def read_image(source: Path | io.BytesIO) -> tuple[np.ndarray, str]:
    """What is decoded, as colours, and the file's own mode."""
    found = verify_image(source)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    image = module.read_image(source)
    assert image.mode in ("L", "RGB")
    assert image.size == (found.width, found.height)
    return np.asarray(image.convert("RGB")), found.mode


def to_pixels(image: np.ndarray, spec: Pixels) -> np.ndarray:
    return module.to_pixels(Image.fromarray(image), spec)


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def reason(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        module.read_image(path)
    with pytest.raises(ImageError) as verified:
        verify_image(path)
    assert str(verified.value) == str(caught.value)
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


def test_grey_becomes_equal_planes_in_either_order() -> None:
    grey = np.kron(GREY, np.ones((3, 2), dtype=np.uint8))
    expected = np.asarray(Image.fromarray(grey).resize((8, 8), Image.Resampling.BILINEAR))
    for spec in (Pixels(size=8), Pixels(size=8, channel_order="bgr"), Pixels(size=8, channels=1)):
        np.testing.assert_array_equal(to_pixels(grey, spec), np.stack([expected] * spec.channels))


# ------------------------------------------------------------------------------- reduced scale


def photograph(width: int, height: int) -> Image.Image:
    """Smooth shapes and edges, with a different gradient in each colour."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    disc = (x - 0.45) ** 2 + (y - 0.3) ** 2 < 0.06
    colours = np.stack([200 * x + 40 * disc, 90 + 80 * np.sin(7 * y) + 60 * disc, 150 - 120 * x * y], axis=2)
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 92} | options))
    return buffer


def pillows(image: Image.Image, spec: Pixels) -> np.ndarray:
    """The full way by Pillow alone, (channels, size, size) int."""
    image = ImageOps.exif_transpose(image).convert("L" if spec.channels == 1 else "RGB")
    size = (spec.size, spec.size)
    if spec.resize == "pad":
        inner = ImageOps.contain(image, size, Image.Resampling.BILINEAR)
        resized = Image.new(image.mode, size)
        resized.paste(inner, ((spec.size - inner.width) // 2, (spec.size - inner.height) // 2))
    elif spec.resize == "crop":
        resized = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    else:
        resized = image.resize(size, Image.Resampling.BILINEAR)
    planes = np.asarray(resized).reshape(*size, -1).transpose(2, 0, 1).astype(int)
    return planes[::-1] if spec.channel_order == "bgr" else planes


def scales(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Sizes at which images come out of the decoder, as they come."""
    seen: list[tuple[int, int]] = []
    real = module._to_planes

    def spy(image: Image.Image, spec: Pixels, **options: object) -> np.ndarray:
        seen.append(image.size)
        return real(image, spec, **options)

    monkeypatch.setattr(module, "_to_planes", spy)
    return seen


SPECS = [
    Pixels(size=64),
    Pixels(size=64, resize="pad"),
    Pixels(size=64, resize="crop"),
    Pixels(size=64, channels=1),
    Pixels(size=64, channel_order="bgr"),
    Pixels(size=64, channels=1, resize="pad"),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("size", [(256, 256), (301, 199), (135, 523), (128, 128), (160, 1300), (250, 130)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_reduced_decoding_is_full_decoding_within_two_grey_levels(
    size: tuple[int, int], spec: Pixels, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scales(monkeypatch)
    file = jpeg(photograph(*size), **options)
    expected = pillows(Image.open(file), spec)
    difference = np.abs(read_pixels(file, spec, reduced=True) - expected)
    assert difference.mean() < 2
    assert np.quantile(difference, 0.9) < 5  # a shift by half a pixel would show at every gradient and edge
    filled = (64, 64) if spec.resize != "pad" else (64 * size[0] // max(size), 64 * size[1] // max(size))
    assert seen[0][0] < size[0]  # it was reduced,
    assert seen[0][0] >= filled[0]  # and never below the target
    assert seen[0][1] >= filled[1]
    np.testing.assert_array_equal(read_pixels(file, spec), expected)


@pytest.mark.parametrize("side", [8, 16, 24, 64])
def test_a_shift_of_the_reduced_image_would_show(side: int) -> None:
    """A slope comes out as the slope, also where the sides are no multiples of the scale."""
    width = 4 * side + 3
    slope = np.tile(np.linspace(0, 250, width), (width, 1)).round().astype(np.uint8)
    values = read_pixels(jpeg(Image.fromarray(slope), quality=100), Pixels(size=side, channels=1), reduced=True)
    centres = (np.arange(side) + 0.5) * width / side - 0.5
    np.testing.assert_allclose(values[0, :, 1:-1], np.tile(centres[1:-1] * 250 / (width - 1), (side, 1)), atol=1.5)


def test_what_is_small_or_unusual_is_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scales(monkeypatch)
    image, spec = photograph(256, 200), Pixels(size=64)
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "several.jpg", "MPO", save_all=True, append_images=[image])
    files = [
        jpeg(photograph(127, 500)),
        jpeg(image.convert("CMYK")),
        jpeg(image, exif=turned),
        io.BytesIO((tmp_path / "several.jpg").read_bytes()),
        io.BytesIO(saved(tmp_path / "x.png", np.asarray(image)).read_bytes()),
    ]
    for file in files:
        before = seen.copy()
        np.testing.assert_array_equal(read_pixels(file, spec, reduced=True), pillows(Image.open(file), spec))
        assert seen[len(before) :] == [ImageOps.exif_transpose(Image.open(file)).size]
    assert [verify_image(file).is_reducible(spec) for file in files] == [False, False, True, False, False]
    read_pixels(jpeg(image), spec, reduced=True)
    assert seen[-1] == (128, 100)  # unlike an ordinary one


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_verification_finds_the_damage_that_full_decoding_finds(mode: str, options: dict[str, object]) -> None:
    """Cut at 40 places, and with 60 wrong bytes: the same files are refused, for the same reason."""
    rng = np.random.default_rng(0)
    whole = jpeg(photograph(203, 150).convert(mode), **options).getvalue()
    damaged = [whole[:cut] for cut in np.linspace(1, len(whole) - 1, 40).astype(int)]
    places = rng.integers(len(whole), size=60)
    damaged += [whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :] for place in places]
    outcomes = []
    for data in [whole, *damaged]:
        pair = []
        for read in (verify_image, module.read_image):
            try:
                read(io.BytesIO(data))
                pair.append("whole")
            except ImageError as error:
                pair.append(error.reason)
        outcomes.append(tuple(pair))
    assert outcomes[0] == ("whole", "whole")
    assert all(verified == decoded for verified, decoded in outcomes)
    assert sum(verified == "truncated" for verified, _ in outcomes) >= 20


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_jpeg_is_an_error_at_reduced_scale_too(share: float) -> None:
    data = jpeg(photograph(256, 256)).getvalue()
    with pytest.raises(ImageError) as caught:
        read_pixels(io.BytesIO(data[: int(share * len(data))]), Pixels(size=64), reduced=True)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_properties_are_those_of_the_image_as_shown(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = (60, 40) if orientation in (1, 3) else (40, 60)
    assert verify_image(jpeg(photograph(60, 40), exif=exif)) == Properties(*shown, "RGB", "JPEG")


def test_row_keys_depend_on_no_other_code() -> None:
    # a new key of the configuration must not make every stored pixel stale
    assert imported_modules("heteroscope.data.decoding") == {*DECODING, "heteroscope.errors"}


def test_imports_without_the_configuration() -> None:
    code = "import sys, heteroscope.data.decoding; print('heteroscope.config' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
