"""From a DICOM file to an image, as a viewer would show it.

This module's code is part of every row's key, as that of `decoding` is. Of a file's tags only those of
its pixels are read: nothing that names a patient can come into an output or a message.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

FORMAT = "DICOM"
ROWS_AT_ONCE = 256
MARK_AT, MARK = 128, b"DICM"
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""A whole file compressed, which a small one could unpack to gigabytes; hardly anyone writes it."""
TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
]  # fmt: skip
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers before an image's size: of all kinds of JPEG, and of JPEG-LS."""


class UnsupportedDicomError(Exception):
    """A sound DICOM file that is not one still image of a known kind."""


def is_dicom(source: Path | BinaryIO) -> bool:
    """Whether a file bears DICOM's mark after its preamble."""
    return _head(source, MARK_AT + len(MARK))[MARK_AT:] == MARK


def _head(source: Path | BinaryIO, size: int) -> bytes:
    """The first bytes of a file; an open one is left where it was."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return stream.read(size)
    start = source.tell()
    head = source.read(size)
    source.seek(start)
    return head


def read_dicom(source: Path | BinaryIO, *, most_pixels: int) -> Image.Image:
    """The single image of a DICOM file.

    Grey values pass the file's modality transformation (rescale slope and intercept, or a table) and
    its first display transformation (a table or a window; without either, all that its bits can hold
    is shown, or of 16 bits, what its pixels hold). MONOCHROME1, where low values are bright, is
    inverted, and padding is black.

    Args:
        source: a path or an open binary file.
        most_pixels: an image of more is refused before it is decoded.

    Returns:
        The image: L of up to 8 bits stored, I;16 over all of 0 to 65535 of more, or RGB.

    Raises:
        UnsupportedDicomError: there are several frames, more than 16 bits, unknown colours, or no decoder.
        Exception: of pydicom's many kinds, for a damaged file.
    """
    from pydicom.pixels.utils import pixel_array  # half a second that other formats do without

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it logs a traceback beside what it raises
    if DEFLATED in _head(source, 2048):
        raise UnsupportedDicomError("a deflated file; store it without")
    tags = _read(source, stop_before_pixels=True)
    _refuse_unsupported(tags, most_pixels)
    try:
        # read whole first: of a file that is cut off, a decoder alone would make up the rest
        whole = _read(source)
        if "PixelData" not in whole:
            raise EOFError("no pixels in this DICOM file, or it is cut off within them")
        _refuse_other_size(whole)
        stored = pixel_array(whole, index=0)
    except NotImplementedError as error:
        raise UnsupportedDicomError(str(error)) from None
    image = Image.fromarray(stored if tags.PhotometricInterpretation in COLOUR else _shown(stored, tags))
    image.format = FORMAT
    return image


def _read(source: Path | BinaryIO, *, stop_before_pixels: bool = False) -> Any:
    """The tags of a file's pixels, and the pixels; an open file is left where it was."""
    from pydicom import dcmread

    start = 0 if isinstance(source, Path) else source.tell()
    try:
        return dcmread(source, stop_before_pixels=stop_before_pixels, specific_tags=[*TAGS, "PixelData"])
    finally:
        if not isinstance(source, Path):
            source.seek(start)


def _refuse_unsupported(tags: Any, most_pixels: int) -> None:
    if "Rows" not in tags or "Columns" not in tags:
        raise ValueError("no image in this DICOM file, or it is cut off before it")
    if (frames := int(tags.get("NumberOfFrames") or 1)) > 1:
        raise UnsupportedDicomError(f"{frames} frames; only single images are taken: store the one that is wanted")
    pixels = tags.Columns * tags.Rows
    if pixels > most_pixels:
        raise UnsupportedDicomError(f"{tags.Columns}x{tags.Rows} = {pixels} pixels, more than {most_pixels}")
    colours, most_bits = tags.PhotometricInterpretation, 8 if tags.PhotometricInterpretation in COLOUR else 16
    if colours not in GREY + COLOUR:
        raise UnsupportedDicomError(f"colours {colours}; known: {', '.join(GREY + COLOUR)}")
    if tags.BitsAllocated > 16 or tags.BitsStored > most_bits:
        raise UnsupportedDicomError(f"{tags.BitsStored} bits of {colours}; at most {most_bits} are known")


def _refuse_other_size(file: Any) -> None:
    """A decoder allots what the compressed image says of its size, which the tags' may belie."""
    from pydicom.encaps import get_frame

    if not file.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    size = _size_of_codestream(get_frame(file.PixelData, 0, number_of_frames=1))
    if size and size != (file.Columns, file.Rows):
        raise ValueError(f"the compressed image is {size[0]}x{size[1]}, by its tags {file.Columns}x{file.Rows}")


def _size_of_codestream(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, JPEG-LS or JPEG 2000 image gives; None of another or a damaged one."""
    if frame[:4] == JPEG_2000:
        right, lower, left, upper = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
        return right - left, lower - upper
    at = 2
    while frame[:2] == JPEG and len(frame) > at + 8 and frame[at] == 0xFF:
        if frame[at + 1] in JPEG_FRAMES:
            return int.from_bytes(frame[at + 7 : at + 9], "big"), int.from_bytes(frame[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


# -------------------------------------------------------------------------------------- grey values


def _shown(stored: np.ndarray, tags: Any) -> np.ndarray:
    """Stored grey values as they are shown, uint8 or, of more than 8 bits, uint16 over its whole range.

    Every step looks at one value alone, so the values that the bits can hold are taken through them,
    and pixels are looked up. Files that state all of their 16 bits state no depth: without a window, what
    their pixels hold is shown.
    """
    bits = int(tags.BitsStored)
    low = -(2 ** (bits - 1)) if tags.PixelRepresentation else 0
    values = np.arange(low, low + 2**bits)
    padding = _padding(tags)
    held = values
    if bits == 16:
        image = stored if padding is None else stored[(stored < padding[0]) | (stored > padding[1])]
        held = np.array([image.min(), image.max()], dtype=values.dtype) if image.size else values
    share = _share_of_white(values, held, tags)
    if tags.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
    if padding:
        share[(values >= padding[0]) & (values <= padding[1])] = 0
    kind = np.uint8 if bits <= 8 else np.uint16
    table = np.rint(share * np.iinfo(kind).max).astype(kind)
    shown = np.empty(stored.shape, dtype=kind)
    for first in range(0, len(stored), ROWS_AT_ONCE):  # indices take four times the memory of values
        rows = slice(first, first + ROWS_AT_ONCE)
        shown[rows] = table.take(stored[rows].astype(np.int32) - low, mode="clip")
    return shown


def _padding(tags: Any) -> tuple[int, int] | None:
    """The lowest and highest stored value that is no part of the image."""
    if tags.get("PixelPaddingValue") is None:
        return None
    first = int(tags.PixelPaddingValue)
    last = int(tags.get("PixelPaddingRangeLimit", first))
    return min(first, last), max(first, last)


def _share_of_white(values: np.ndarray, held: np.ndarray, tags: Any) -> np.ndarray:
    """Values between black, 0, and white, 1, as MONOCHROME2 has them; without a window `held` are black to white."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    measured = apply_modality_lut(values, tags)
    if tags.get("VOILUTSequence"):
        shown = apply_voi(np.rint(measured).astype(np.int64), tags)
        return np.asarray(shown / (2.0 ** int(tags.VOILUTSequence[0].LUTDescriptor[2]) - 1))
    if tags.get("WindowCenter") is not None and tags.get("WindowWidth") is not None:
        function = str(tags.get("VOILUTFunction") or "LINEAR").upper()
        return _windowed(measured, _first(tags.WindowCenter), _first(tags.WindowWidth), function)
    ends = apply_modality_lut(held, tags)
    return np.asarray(np.clip((measured - ends.min()) / max(np.ptp(ends), 1e-9), 0, 1))


def _first(value: Any) -> float:
    """A number, or the first of several."""
    return float(value) if isinstance(value, int | float) else float(value[0])


def _windowed(measured: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Measured values between the ends of a window, by DICOM's three functions (PS3.3, C.11.2.1.2 and .3)."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (measured - centre) / max(width, 1e-9), -700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return np.clip((measured - centre) / max(width, 1e-9) + 0.5, 0, 1)
