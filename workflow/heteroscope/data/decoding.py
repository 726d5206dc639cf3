"""From an image file to an array of pixels.

This module's code is part of every row's key: what stands here decides which stored pixels are still
good. It therefore holds decoding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from heteroscope.data.areas import Area, breast_area, widened
from heteroscope.data.dicom import UnsupportedDicomError, is_dicom, read_dicom
from heteroscope.errors import DataError

if TYPE_CHECKING:
    from heteroscope.config import Pixels

FORMATS = ("BMP", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
STATE_THEIR_DEPTH = ("DICOM", "PPM")
MAX_PIXELS = 89_000_000
"""Larger images are refused before they are decoded: a small file can unpack to gigabytes."""
MAX_SIDE = 30_000
"""Wider and higher ones too: they are whole slides or mosaics, of which nothing is left at a network's size."""
SIGNS_OF_AN_EARLY_END = ("truncated", "less than expected", "fewer bytes", "unexpected end")
"""Parts of what decoders say of a file that stops in its midst."""
MOST_BY_FOUR_NEIGHBOURS = 1.5
"""Up to this many pixels a side of the target's, a bilinear value of four neighbours misses next to nothing."""

Reason = Literal["missing", "unreadable", "truncated", "unsupported"]


class ImageError(DataError):
    """An image file that cannot be used, with the reason from the closed list of rejections."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Properties:
    """What an image file says of itself.

    Attributes:
        width: in pixels, as shown (EXIF orientation applied).
        height: likewise.
        mode: in Pillow's words (L, RGB, RGBA, I;16 …).
        format: one of `FORMATS`, or DICOM.
    """

    width: int
    height: int
    mode: str
    format: str

    def is_reducible(self, spec: Pixels) -> bool:
        """Whether `read_pixels` can decode such a file at a reduced scale: an ordinary JPEG, large enough, whole."""
        width, height = filled(self.width, self.height, spec)
        scale = min(self.width // width, self.height // height)
        return self.format == "JPEG" and self.mode in ("L", "RGB") and scale >= 2 and spec.area == "whole"


def verify_image(source: Path | BinaryIO) -> Properties:
    """Decode an image file to its end, to find out whether it is whole; a JPEG at its smallest scale.

    At any scale a JPEG's stream is read and its entropy code decoded to the end, which is where damage
    shows.

    Raises:
        ImageError: with the reason: missing, unreadable, truncated or unsupported.
    """
    with _opened(source) as image:
        mode, whole = image.mode, image.size
        reduced = image.format == "JPEG" and image.draft(None, (1, 1))
        width, height = _upright(image).size
        if reduced:
            width, height = whole[::-1] if _orientation(image) in (5, 6, 7, 8) else whole
        return Properties(width, height, mode, str(image.format))


def read_image(source: Path | BinaryIO) -> Image.Image:
    """Decode a whole image file (the first frame of several).

    EXIF orientation is applied. Transparency is flattened on black. Deep grey images are scaled by
    their bit depth: a 16-bit image that holds no value over 4095 is taken for a 12-bit one (detectors
    store 12 bits in 16), any other for a full 16-bit one; a 16-bit PGM states its own depth, and DICOM
    what is black and white. 16-bit colour keeps its upper 8 bits.

    Args:
        source: a path or an open binary file.

    Returns:
        The image, 8 bits deep, grey (L) or RGB.

    Raises:
        ImageError: with the reason: missing, unreadable, truncated or unsupported.
    """
    with _opened(source) as image:
        return _upright(image)


def read_pixels(
    source: Path | BinaryIO, spec: Pixels, *, reduced: bool = False, lesion: Area | None = None
) -> np.ndarray:
    """Decode an image file and bring what is shown of it to the configured size, as `to_pixels` does.

    Args:
        source: a path or an open binary file.
        spec: area, size and form.
        reduced: decode a JPEG of at least twice the size that is needed at 1/2, 1/4 or 1/8 of its
            scale (fewer coefficients of each block are transformed), never below the size that is
            needed. Other files, and a JPEG that EXIF turns, come out as without it.
        lesion: the area of the image's lesions, where it is what is shown.

    Returns:
        (channels, size, size) uint8.

    Raises:
        ImageError: with the reason: missing, unreadable, truncated or unsupported.
    """
    with _opened(source) as image:
        found = Properties(*image.size, image.mode, str(image.format))
        if not (reduced and found.is_reducible(spec) and _orientation(image) == 1):
            return to_pixels(_area(_upright(image), spec, lesion), spec)
        drafted = image.draft("L" if spec.channels == 1 else None, filled(*image.size, spec))
        assert drafted is not None, "Pillow reduces every JPEG"
        # a side that is no multiple of the scale ends within its last pixel
        return _to_planes(_upright(image), spec, extent=drafted[1][2:], shrink=_shrink_reduced)


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[Image.Image]:
    """An image file whose header is read and supported; whatever goes wrong becomes an `ImageError`."""
    try:
        if is_dicom(source):
            yield read_dicom(source, most_pixels=MAX_PIXELS)
            return
        with Image.open(source) as image:
            _refuse_unsupported(image)
            yield image
    except ImageError:
        raise
    except UnsupportedDicomError as error:
        raise ImageError("unsupported", str(error)) from None
    except FileNotFoundError:
        raise ImageError("missing", "no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("unsupported", str(error)) from None
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise _damage(error, source) from None


def _refuse_unsupported(image: Image.Image) -> None:
    if image.format not in FORMATS:
        raise ImageError("unsupported", f"format {image.format}; known: {', '.join(FORMATS)}")
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ImageError("unsupported", f"{image.width}x{image.height} = {pixels} pixels, more than {MAX_PIXELS}")
    if max(image.size) > MAX_SIDE:
        raise ImageError(
            "unsupported", f"{image.width}x{image.height} pixels, a side of more than {MAX_SIDE}; cut it into tiles"
        )


def _damage(error: Exception, source: Path | BinaryIO) -> ImageError:
    """The reason of a failure to decode: an end that came too early, or anything else."""
    if isinstance(source, Path) and source.is_file() and source.stat().st_size == 0:
        return ImageError("truncated", "the file is empty")
    if isinstance(error, UnidentifiedImageError):
        return ImageError("unreadable", "not an image of a known format")
    said = " ".join(str(error).split())
    early = isinstance(error, EOFError) or any(words in said.lower() for words in SIGNS_OF_AN_EARLY_END)
    return ImageError("truncated" if early else "unreadable", said or type(error).__name__)


def _orientation(image: Image.Image) -> object:
    """EXIF orientation from 1 (upright) to 8; whatever else a careless camera wrote is taken as it stands."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _upright(file: Image.Image) -> Image.Image:
    """The image of an open file as it is shown, 8 bits deep, grey (L) or RGB, without transparency."""
    file.load()
    image = ImageOps.exif_transpose(file) if _orientation(file) != 1 else file
    if image.mode == "F":
        raise ImageError("unsupported", "floating-point pixels; store the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bit(np.asarray(image), may_be_12_bit=file.format not in STATE_THEIR_DEPTH))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _eight_bit(values: np.ndarray, *, may_be_12_bit: bool) -> np.ndarray:
    """Deep grey values as uint8."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError("unsupported", f"grey values from {low} to {high}; at most 16 bits are known")
    full = 4095 if may_be_12_bit and high <= 4095 else 65535
    eight: np.ndarray = np.rint(np.arange(65536) * (255 / full)).astype(np.uint8)[values]
    return eight


def _area(image: Image.Image, spec: Pixels, lesion: Area | None) -> Image.Image:
    """The part of an upright image that is shown."""
    if spec.area == "whole":
        return image
    if spec.area == "breast":
        area = breast_area(np.asarray(image.convert("L")))
    else:
        assert lesion is not None, "an image without lesions is refused before it is decoded"
        area = lesion
    return image.crop(widened(area, spec.margin, width=image.width, height=image.height))


def to_pixels(image: Image.Image, spec: Pixels) -> np.ndarray:
    """Bring an image to the configured size, antialiased (bilinear over the whole area that a pixel covers).

    `squash` ignores the aspect ratio; `pad` keeps it and adds black; `crop` keeps it and cuts the
    longer side about its centre.

    Args:
        image: grey (L) or RGB.
        spec: size, resize, channels (1: luminance by ITU-R 601; grey becomes three equal ones where
            three are asked for) and channel order.

    Returns:
        (channels, size, size) uint8.
    """
    return _to_planes(image, spec, extent=image.size, shrink=_shrink)


Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge in pixels."""


def _to_planes(
    image: Image.Image,
    spec: Pixels,
    *,
    extent: tuple[float, float],
    shrink: Callable[[Image.Image, tuple[int, int], Box], np.ndarray],
) -> np.ndarray:
    """`to_pixels` of the part of an image from its upper left corner to `extent`."""
    picture = image.convert("L") if spec.channels == 1 and image.mode != "L" else image
    (width, height), box = filled(*extent, spec), used(*extent, spec)
    values = shrink(picture, (width, height), box)
    planes = np.zeros((spec.channels, spec.size, spec.size), dtype=np.uint8)
    left, top = (spec.size - width) // 2, (spec.size - height) // 2
    inner = planes[:, top : top + height, left : left + width]
    if values.ndim == 2:
        inner[:] = values
    else:
        cv2.split(values, list(inner[::-1] if spec.channel_order == "bgr" else inner))
    return planes


def filled(width: float, height: float, spec: Pixels) -> tuple[int, int]:
    """Width and height of the part of the target that an image of this size fills."""
    if spec.resize != "pad":
        return spec.size, spec.size
    scale = spec.size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def used(width: float, height: float, spec: Pixels) -> Box:
    """The part of an image of this size that is shown."""
    if spec.resize != "crop":
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _shrink(picture: Image.Image, size: tuple[int, int], box: Box) -> np.ndarray:
    """A part of a picture at another size, (height, width) or (height, width, 3) uint8."""
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))


def _shrink_reduced(picture: Image.Image, size: tuple[int, int], box: Box) -> np.ndarray:
    """The same for a picture decoded at reduced scale: OpenCV's, six times as fast, where four neighbours do."""
    left, top, right, bottom = map(int, box)
    most = max((right - left) / size[0], (bottom - top) / size[1])
    if (left, top, right, bottom) != box or most > MOST_BY_FOUR_NEIGHBOURS:
        return _shrink(picture, size, box)
    return cv2.resize(np.asarray(picture)[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
