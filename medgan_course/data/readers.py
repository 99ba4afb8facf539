"""NIfTI and DICOM files in their real units: Hounsfield units, millimetres, the patient's directions.

Axes are DICOM's and the same for both: a volume is (z, y, x), towards the head, the back and the patient's
left. The picture of an axial slice so has the front at the top and the patient's right at the left, as
radiologists look at it; in that of a coronal or sagittal one the head is at the top. Nothing in a file is
executed or unpickled.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError

if TYPE_CHECKING:
    from pydicom import Dataset

LARGEST = 2**31  # bytes of a file once unpacked

_TO_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True, eq=False)
class Measured:
    """One image with what its numbers mean.

    Attributes
    ----------
    values : Tensor
        float32 ``(H, W)`` or ``(D, H, W)`` in ``unit``.
    spacing : tuple of float or None
        Millimetres from one value to the next, in the order of the axes; None where the file does not say.
    unit : str
        ``"HU"``, what else the file calls it (``"OD"``), or ``"as stored"`` where the numbers have no unit,
        as in MR.
    patient : str
        What DICOM calls the PatientID; "" where nothing is said.
    """

    values: Tensor
    spacing: tuple[float, ...] | None
    unit: str
    patient: str = ""

    def windowed(self, low: float, high: float) -> tuple[Tensor, Scale]:
        """Return the image in [-1, 1], ``(1, 1, ...)``, through the window [low, high], and its scale."""
        scale = Scale(low, high, self.unit)
        return scale.normalised(self.values)[None, None], scale


def nifti(source: Path | bytes, *, dim: int = 3, unit: str = "as stored") -> Measured:
    r"""Read a NIfTI file, ``.nii`` or ``.nii.gz``.

    The values are what the header makes of the stored numbers: slope :math:`\cdot` stored + intercept. The
    spacing is that of the affine matrix, the lengths of its columns.

    Parameters
    ----------
    source : Path or bytes
        The file or its content.
    dim : {2, 3}
        Whether a slice is expected, one axis of which may have the length 1, or a volume.
    unit : str
        The unit of the values, which no NIfTI header tells.

    Raises
    ------
    CourseError
        If it is no NIfTI file, is damaged, has colours, complex numbers, another number of axes than ``dim``,
        values that are NaN, infinite or too large for float32, or an affine matrix that tells no directions.
    """
    from nibabel import Nifti1Image, Nifti2Image
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    name, content = _content(source)
    with _intact(name, "NIfTI"):
        if content[:2] == b"\x1f\x8b":
            with gzip.open(BytesIO(content)) as stream:
                content = stream.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise CourseError(
                    f"{name} unpacks to more than {LARGEST >> 20} MiB, which no image here needs."
                )
        kind = Nifti2Image if content[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else Nifti1Image
        image = kind.from_bytes(content)
        if image.get_data_dtype().kind not in "iuf":
            raise CourseError(
                f"{name} has colours or complex numbers, and one grey value a voxel is expected: save one "
                "channel, or the magnitude, first."
            )
        sides = (*image.shape, 1, 1)[:3]
        flat = [axis for axis, side in enumerate(sides) if side == 1]
        if len(image.shape) < 2 or set(image.shape[3:]) - {1} or bool(flat) != (dim == 2):
            raise CourseError(
                f"{name} has the shape {image.shape}, and "
                + ("one slice" if dim == 2 else "a volume of three axes")
                + " is expected: "
                + (
                    f"read it with dim={5 - dim}."
                    if sum(side > 1 for side in image.shape) == 5 - dim
                    else "save the part that is wanted first."
                )
            )
        if not np.isfinite(image.affine).all() or not np.linalg.det(image.affine[:3, :3]):
            raise CourseError(
                f"{name} has an affine matrix that tells neither directions nor spacing: mend its header, or "
                "get it once more."
            )
        order = io_orientation(image.affine)
        values = apply_orientation(image.get_fdata(dtype=np.float64).reshape(sides), order)
        # From right, front, up to left, back, up.
        values = _float32(name, values.transpose(2, 1, 0)[:, ::-1, ::-1])
        steps = voxel_sizes(image.affine) * _TO_MM[image.header.get_xyzt_units()[0]]
        spacing = [float(steps[list(order[:, 0]).index(axis)]) for axis in (2, 1, 0)]
        if dim == 2:
            across = 2 - int(order[flat[-1], 0])
            values = values.squeeze(across)
            del spacing[across]
            if across:
                values = values[::-1].copy()  # a picture has the head at the top
    return Measured(torch.from_numpy(values), tuple(spacing), unit)


def dicom(source: Path | bytes) -> Measured:
    r"""Read one slice or X-ray from a DICOM file.

    Values are RescaleSlope :math:`\cdot` stored + RescaleIntercept, which in CT are Hounsfield units. Where
    the photometric interpretation is MONOCHROME1 (small numbers are bright) images whose numbers have no unit
    are turned over within their bits, so that large is bright. Numbers with a unit (RescaleType) stay, and
    the unit says that large is dark. Pixels with the padding value, or in the range from it to
    PixelPaddingRangeLimit, were not measured and take the smallest measured one.

    Raises
    ------
    CourseError
        If it is no DICOM file, is damaged, has no image, colours, several frames, a compression that nothing
        installed can decode, values too large for float32, or is CT without rescale slope and intercept.
    """
    import pydicom

    name, content = _content(source)
    with _intact(name, "DICOM"):
        header = pydicom.dcmread(BytesIO(content))
        if "PixelData" not in header or "Rows" not in header:
            raise CourseError(f"{name} has no image in it: take the files of the images of that study.")
        photometric = str(header.get("PhotometricInterpretation", ""))
        if header.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise CourseError(
                f"{name} is a colour image ({photometric}), and a grey one is expected: convert it first."
            )
        if int(header.get("NumberOfFrames", 1) or 1) != 1:
            raise CourseError(
                f"{name} holds {header.NumberOfFrames} frames, and one image is expected: save each as a "
                "file of its own first."
            )
        is_ct = header.get("Modality") == "CT"
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        if is_ct and (slope is None or intercept is None):
            raise CourseError(
                f"{name} is CT without rescale slope and intercept, so its numbers cannot be turned into "
                "Hounsfield units: get it with its whole header."
            )
        unit = "HU" if is_ct else str(header.get("RescaleType") or "US")
        stored = _pixels(name, header)
        padding = header.get("PixelPaddingValue")
        measured = np.ones(stored.shape, bool)
        if padding is not None:
            ends = int(padding), int(header.get("PixelPaddingRangeLimit", padding))
            measured = (stored < min(ends)) | (stored > max(ends))
        if unit == "US":  # unspecified
            unit = "as stored"
            if photometric == "MONOCHROME1":
                signed, bits = int(header.PixelRepresentation), int(header.BitsStored)
                # Lowest and highest number of the bits add up to 2^bits - 1 without a sign, to -1 with it.
                stored = (-1 if signed else 2**bits - 1) - stored
        elif photometric == "MONOCHROME1" and not is_ct:
            unit += " (large is dark)"
        values = stored * (1.0 if slope is None else float(slope)) + float(intercept or 0)
        if not measured.all() and measured.any():
            values[~measured] = values[measured].min()
        spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
        return Measured(
            torch.from_numpy(_float32(name, _turned(values, header))),
            None if spacing is None else (float(spacing[0]), float(spacing[1])),
            unit,
            str(header.get("PatientID") or ""),
        )


@contextmanager
def _intact(name: str, kind: str) -> Iterator[None]:
    """Say in one sentence that a file is damaged, whatever in it a library or the code here stumbles over."""
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        raise CourseError(
            f"{name} is no {kind} file, or is truncated or damaged: get it once more."
        ) from error


def _float32(name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, np.float32)
    if wrong := int((~np.isfinite(converted)).sum()):
        raise CourseError(
            f"{name} has values that are NaN, infinite or too large ({wrong} of {converted.size}): decide "
            "what they should be, and save it again."
        )
    return converted


def _content(source: Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "The file", source
    try:
        with open(source, "rb") as stream:
            return str(source), stream.read(LARGEST)
    except OSError as error:
        raise CourseError(
            f"{source} cannot be read ({error.strerror}): give the path of a file that can."
        ) from error


def _pixels(name: str, header: "Dataset") -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return header.pixel_array.astype(np.float64)
    except Exception as error:  # no decoder, too few bytes, or nonsense in the tags that describe them
        syntax = header.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            raise
        raise CourseError(
            f"{name} is compressed ({syntax.name}) and nothing installed here can decode it, or it is "
            "damaged: install pylibjpeg[all], or convert the file with gdcmconv --raw."
        ) from error


def _turned(values: np.ndarray, header: "Dataset") -> np.ndarray:
    """Turn rows and columns so that x grows to the left, y to the back and z upwards in the picture."""
    directions = header.get("ImageOrientationPatient")
    if directions is None:
        return values
    along, down = np.array(directions[:3], float), np.array(directions[3:], float)
    if along[abs(along).argmax()] < 0:
        values = values[:, ::-1]
    axis = abs(down).argmax()
    if (down[axis] > 0) == (axis == 2):
        values = values[::-1]
    return values
