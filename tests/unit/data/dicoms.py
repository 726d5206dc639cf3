"""DICOM files for tests, written by pydicom, and a small encoder of lossless JPEG, which it cannot write."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    generate_uid,
)

PATIENT = "Doe^Jane"


def dataset(pixels: np.ndarray, *, bits: int = 12, **tags: Any) -> Dataset:
    """A mammogram of a patient with a name; `pixels` (h, w), (h, w, 3) or (frames, h, w)."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID, made.PatientBirthDate = PATIENT, f"ID-{PATIENT}", "19500102"
    made.InstitutionName = f"Clinic of {PATIENT}"
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    made.Rows, made.Columns = pixels.shape[:2] if colour or pixels.ndim == 2 else pixels.shape[1:]
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored = min(bits, made.BitsAllocated)
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write a DICOM file; options as `dataset` takes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset(pixels, **options), enforce_file_format=True)
    return path


def save_lossless_jpeg(path: Path, pixels: np.ndarray, *, bits: int = 12, **tags: Any) -> Path:
    """Write a DICOM file whose pixels are lossless JPEG, process 14, first-order prediction."""
    made = dataset(pixels, bits=bits, **tags)
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    made.PixelData = encapsulate([lossless_jpeg(pixels, bits)])
    made["PixelData"].VR = "OB"
    dcmwrite(path, made, enforce_file_format=True)
    return path


def lossless_jpeg(pixels: np.ndarray, bits: int) -> bytes:
    """ITU-T T.81, annex H: every value is predicted by its left neighbour, those of the first column by the upper one.

    All categories of differences have codes of five bits, 0 to 16, which wastes space and is a valid code.
    """
    height, width = pixels.shape
    frame = bytes([bits]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([1, 1, 0x11, 0])
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    scan = bytes([1, 1, 0, 1, 0, 0])
    segments = b"".join(
        marker + (len(content) + 2).to_bytes(2, "big") + content
        for marker, content in ((b"\xff\xc3", frame), (b"\xff\xc4", table), (b"\xff\xda", scan))
    )
    values = pixels.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 2 ** (bits - 1)
    differences = (values - predicted + 2**15 - 1) % 2**16 - 2**15 + 1
    stream = "".join(map(_coded, differences.ravel().tolist()))
    stream += "1" * (-len(stream) % 8)
    coded = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + segments + coded + b"\xff\xd9"


def _coded(difference: int) -> str:
    """The category of a difference, its number of bits, and these bits, of negative ones less one."""
    category = abs(difference).bit_length()
    if category in (0, 16):  # 0 and 32768 alone
        return f"{category:05b}"
    offset = difference if difference > 0 else difference + 2**category - 1
    return f"{category:05b}{offset:0{category}b}"
