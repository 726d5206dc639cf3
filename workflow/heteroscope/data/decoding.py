"""From an image file to an array of pixels.

This module's code is part of every row's key: what stands here decides which stored pixels are still
good. It therefore holds decoding alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from heteroscope.errors import DataError

if TYPE_CHECKING:
    from heteroscope.config import Pixels

FORMATS = ("BMP", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 89_000_000
"""Larger images are refused before they are decoded: a small file can unpack to gigabytes."""

Reason = Literal["missing", "unreadable", "truncated", "unsupported"]


class ImageError(DataError):
    """An image file that cannot be used, with the reason from the closed list of rejections."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_image(source: Path | BinaryIO) -> tuple[np.ndarray, str]:
    """Decode a whole image file (the first frame of several).

    EXIF orientation is applied. Transparency is flattened on black. Grey images get three equal
    channels. Deep grey images are scaled by their bit depth: a 16-bit image that holds no value over
    4095 is taken for a 12-bit one (detectors store 12 bits in 16), any other for a full 16-bit one;
    a 16-bit PGM states its own depth. 16-bit colour keeps its upper 8 bits.

    Args:
        source: a path or an open binary file.

    Returns:
        (h, w, 3) uint8 in RGB, and the file's own mode in Pillow's words (L, RGB, RGBA, I;16 …).

    Raises:
        ImageError: with the reason: missing, unreadable, truncated or unsupported.
    """
    try:
        with Image.open(source) as image:
            _refuse_unsupported(image)
            image.load()
            upright = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                upright = Image.fromarray(_eight_bit(np.asarray(upright), may_be_12_bit=image.format != "PPM"))
            return np.asarray(_to_rgb(upright)), image.mode
    except ImageError:
        raise
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


def _damage(error: Exception, source: Path | BinaryIO) -> ImageError:
    """The reason of a failure to decode: an end that came too early, or anything else."""
    if isinstance(source, Path) and source.is_file() and source.stat().st_size == 0:
        return ImageError("truncated", "the file is empty")
    if isinstance(error, UnidentifiedImageError):
        return ImageError("unreadable", "not an image of a known format")
    truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return ImageError("truncated" if truncated else "unreadable", str(error) or type(error).__name__)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ImageError("unsupported", "floating-point pixels; store the image with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bit(values: np.ndarray, *, may_be_12_bit: bool) -> np.ndarray:
    """Deep grey values as uint8."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError("unsupported", f"grey values from {low} to {high}; at most 16 bits are known")
    full = 4095 if may_be_12_bit and high <= 4095 else 65535
    return np.rint(values * (255 / full)).astype(np.uint8)


def to_pixels(image: np.ndarray, spec: Pixels) -> np.ndarray:
    """Bring an image to the configured size, antialiased (bilinear over the whole area that a pixel covers).

    `squash` ignores the aspect ratio; `pad` keeps it and adds black; `crop` keeps it and cuts the
    longer side about its centre.

    Args:
        image: (h, w, 3) uint8 in RGB.
        spec: size, resize, channels (1: luminance by ITU-R 601) and channel order.

    Returns:
        (channels, size, size) uint8.
    """
    picture = Image.fromarray(image)
    if spec.channels == 1:
        picture = picture.convert("L")
    resized = np.asarray(_resized(picture, spec.size, spec.resize))
    planes = resized[None] if spec.channels == 1 else resized.transpose(2, 0, 1)
    return np.ascontiguousarray(planes[::-1] if spec.channel_order == "bgr" else planes)


def _resized(picture: Image.Image, size: int, how: str) -> Image.Image:
    bilinear = Image.Resampling.BILINEAR
    width, height = picture.size
    if how == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return picture.resize((size, size), bilinear, box=(left, top, left + side, top + side))
    if how == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new(picture.mode, (size, size))
        canvas.paste(picture.resize(inner, bilinear), ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return canvas
    return picture.resize((size, size), bilinear)
