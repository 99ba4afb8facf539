"""NIfTI and DICOM in their units; what cannot be read says why in one sentence."""

import gzip

import numpy as np
import pytest
import torch
from dicoms import slice_of_ct

from medgan_course.data.readers import dicom, nifti
from medgan_course.errors import CourseError

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

RAS = np.diag([2.0, 3.0, 4.0, 1.0])


def volume():
    return np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)


def write(path, array, affine=RAS, **header):
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units(header.get("units", "mm"))
    image.header.set_slope_inter(*header.get("slope", (1, 0)))
    nibabel.save(image, path)
    return path


class TestNifti:
    def test_axes_are_up_back_left(self, tmp_path):
        """A file whose axes go right, front and up is turned in its first two."""
        read = nifti(write(tmp_path / "a.nii.gz", volume()))
        assert read.values.shape == (4, 3, 2)
        assert read.values.dtype == torch.float32
        assert read.spacing == (4.0, 3.0, 2.0)
        # The voxel most to the left, at the back and below: last x, first y, first z.
        assert read.values[0, -1, 0] == volume()[1, 0, 0]
        assert read.values[3, 0, 1] == volume()[0, 2, 3]

    def test_files_of_one_patient_in_two_orientations_are_the_same(self, tmp_path):
        flipped = volume()[::-1].transpose(2, 0, 1)
        affine = np.zeros((4, 4))
        affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 4, -2, 3, 1
        one = nifti(write(tmp_path / "a.nii", volume()))
        other = nifti(write(tmp_path / "b.nii", np.ascontiguousarray(flipped), affine))
        assert torch.equal(one.values, other.values)
        assert one.spacing == other.spacing

    def test_slope_and_intercept(self, tmp_path):
        path = write(tmp_path / "a.nii", volume(), slope=(2.0, -1024.0))
        image = nibabel.Nifti1Image.from_filename(path)
        stored = np.asarray(image.dataobj.get_unscaled()).astype(float)
        ct = nifti(path, unit="HU")
        assert ct.unit == "HU"
        assert ct.values[0, -1, 0] == 2 * stored[1, 0, 0] - 1024

    @pytest.mark.parametrize(("units", "factor"), [("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
    def test_spacing_is_in_millimetres(self, tmp_path, units, factor):
        read = nifti(write(tmp_path / "a.nii", volume(), units=units))
        assert read.spacing == pytest.approx((4 * factor, 3 * factor, 2 * factor))

    def test_one_slice(self, tmp_path):
        read = nifti(write(tmp_path / "a.nii", volume()[:, :, :1]), dim=2)
        assert read.values.shape == (3, 2)
        assert read.spacing == (3.0, 2.0)

    def test_a_coronal_slice_keeps_its_rows(self, tmp_path):
        """Stored x, z, y = 5, 7, 1: the picture has the head at the top and the right at the left."""
        affine = np.zeros((4, 4))
        affine[0, 0], affine[2, 1], affine[1, 2], affine[3, 3] = 2, 3, 4, 1
        stored = np.arange(35, dtype=np.int16).reshape(5, 7, 1)
        read = nifti(write(tmp_path / "a.nii", stored, affine), dim=2)
        assert read.values.tolist() == stored[::-1, ::-1, 0].T.tolist()
        assert read.spacing == (3.0, 2.0)

    def test_a_sagittal_slice(self, tmp_path):
        stored = np.arange(12, dtype=np.int16).reshape(1, 3, 4)
        read = nifti(write(tmp_path / "a.nii", stored), dim=2)
        assert read.values.tolist() == stored[0, ::-1, ::-1].T.tolist()
        assert read.spacing == (4.0, 3.0)
        with pytest.raises(CourseError, match="a volume of three axes is expected"):
            nifti(tmp_path / "a.nii")

    def test_a_slice_of_two_axes(self, tmp_path):
        flat = nifti(write(tmp_path / "a.nii", volume()[:, :, 0]), dim=2)
        assert torch.equal(flat.values, nifti(write(tmp_path / "b.nii", volume()[:, :, :1]), dim=2).values)
        assert flat.spacing == (3.0, 2.0)

    def test_the_spacing_is_that_of_the_affine(self, tmp_path):
        content = bytearray(write(tmp_path / "a.nii", volume()).read_bytes())
        content[80:92] = np.array([9, 9, 9], "<f4").tobytes()  # pixdim
        assert nifti(bytes(content)).spacing == pytest.approx((4.0, 3.0, 2.0))

    def test_damaged_headers(self, tmp_path):
        whole = write(tmp_path / "a.nii", volume()).read_bytes()
        for place, wrong in ((123, b"\x07"), (108, np.float32(np.nan).tobytes())):  # units, place of the data
            content = bytearray(whole)
            content[place : place + len(wrong)] = wrong
            with pytest.raises(CourseError, match="truncated or damaged"):
                nifti(bytes(content))

    def test_values_too_large_for_float32(self, tmp_path):
        with pytest.raises(CourseError, match=r"has values that are NaN, infinite or too large \(24 of 24\)"):
            nifti(write(tmp_path / "a.nii", np.full((2, 3, 4), 1e300)))

    def test_a_fourth_axis_of_one_is_none(self, tmp_path):
        read = nifti(write(tmp_path / "a.nii", volume()[..., None]))
        assert read.values.shape == (4, 3, 2)

    def test_window(self, tmp_path):
        images, scale = nifti(write(tmp_path / "a.nii", volume()), unit="HU").windowed(0, 20)
        assert images.shape == (1, 1, 4, 3, 2)
        assert (scale.low, scale.high, scale.unit) == (0, 20, "HU")
        assert images.min() == -1
        assert images.max() == 1
        assert scale.restored(images)[0, 0, 0, -1, 0] == volume()[1, 0, 0]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_none(self, tmp_path, value):
        array = volume().astype(np.float32)
        array[0, 0, :2] = value
        with pytest.raises(
            CourseError, match=r"a\.nii has values that are NaN, infinite or too large \(2 of 24\): d"
        ):
            nifti(write(tmp_path / "a.nii", array))

    @pytest.mark.parametrize(
        ("array", "dim", "match"),
        [
            (
                np.zeros((2, 3, 4, 5), np.int16),
                3,
                r"shape \(2, 3, 4, 5\), and a volume .* expected: save the part",
            ),
            (np.zeros((2, 3, 4, 5), np.int16), 2, r"and one slice is expected: save the part that is wanted"),
            (np.zeros((2, 3, 4), np.int16), 2, r"\(2, 3, 4\), and one slice is expected: read it with dim=3"),
            (np.zeros((2, 3, 1), np.int16), 3, "a volume of three axes is expected: read it with dim=2"),
            (
                np.zeros((2, 3, 4), np.complex64),
                3,
                "colours or complex numbers, .* expected: save one channel",
            ),
            (np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), 3, "colours or complex numbers"),
        ],
    )
    def test_images_of_another_kind(self, tmp_path, array, dim, match):
        with pytest.raises(CourseError, match=match):
            nifti(write(tmp_path / "a.nii", array), dim=dim)

    def test_an_affine_without_directions(self, tmp_path):
        path = write(tmp_path / "a.nii", volume())
        content = bytearray(path.read_bytes())
        content[280:328] = bytes(48)  # the three rows of the sform
        content[252:256] = b"\0\0\x02\0"  # which is the one to use
        with pytest.raises(CourseError, match="neither directions nor spacing: mend its header"):
            nifti(bytes(content))

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_truncated_at_any_place(self, tmp_path, name):
        content = write(
            tmp_path / name, np.random.default_rng(0).integers(0, 99, (9, 9, 9), np.int16)
        ).read_bytes()
        for end in range(4, len(content), 97):
            with pytest.raises(CourseError, match=r"damaged|no NIfTI file"):
                nifti(content[:end])

    def test_a_bit_flipped_in_the_gz(self, tmp_path):
        content = bytearray(write(tmp_path / "a.nii.gz", volume()).read_bytes())
        content[-6] ^= 1  # in the checksum
        with pytest.raises(CourseError, match="truncated or damaged"):
            nifti(bytes(content))

    def test_a_gz_that_grows_without_end(self, monkeypatch):
        monkeypatch.setattr("medgan_course.data.readers.LARGEST", 1 << 20)
        with pytest.raises(CourseError, match="unpacks to more than 1 MiB"):
            nifti(gzip.compress(bytes(2 << 20)))

    def test_a_header_that_promises_too_much(self, tmp_path):
        content = bytearray(write(tmp_path / "a.nii", volume()).read_bytes())
        content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
        with pytest.raises(CourseError, match="truncated or damaged"):
            nifti(bytes(content))

    def test_a_text_named_nii(self, tmp_path):
        path = tmp_path / "notes.nii"
        path.write_text("not an image\n" * 100)
        with pytest.raises(CourseError, match=r"notes\.nii is no NIfTI file"):
            nifti(path)

    @pytest.mark.parametrize("read", [nifti, dicom])
    def test_no_file(self, tmp_path, read):
        with pytest.raises(CourseError, match=r"cannot be read \(No such file or directory\): give the path"):
            read(tmp_path / "absent")
        with pytest.raises(CourseError, match=r"cannot be read \(Is a directory"):
            read(tmp_path)


class TestDicom:
    def test_hounsfield_units_of_12_bit(self):
        read = dicom(slice_of_ct())
        assert read.values.tolist() == [[-1024, -1023, -1022], [0, 976, 3071]]
        assert (read.unit, read.spacing, read.patient) == ("HU", (0.7, 0.8), "TCGA-00")

    def test_signed_16_bit(self):
        stored = np.array([[-2000, 0], [1, 32767]], np.int16)
        content = slice_of_ct(stored, PixelRepresentation=1, BitsStored=16, HighBit=15, RescaleIntercept=0)
        assert dicom(content).values.tolist() == [[-2000, 0], [1, 32767]]

    def test_slope(self):
        assert dicom(slice_of_ct(RescaleSlope=0.5)).values[1].tolist() == [-512, -24, 1023.5]

    @pytest.mark.parametrize(
        ("signed", "stored", "expected"),
        [(0, [[0, 4095, 1000]], [[4095, 0, 3095]]), (1, [[-2048, 2047, 0]], [[2047, -2048, -1]])],
    )
    def test_monochrome1_is_turned_over_within_its_bits(self, signed, stored, expected):
        content = slice_of_ct(
            np.array(stored, np.int16 if signed else np.uint16),
            Modality="DX",
            PhotometricInterpretation="MONOCHROME1",
            PixelRepresentation=signed,
            RescaleSlope=None,
            RescaleIntercept=None,
        )
        read = dicom(content)
        assert read.values.tolist() == expected
        assert read.unit == "as stored"

    def test_hounsfield_units_are_never_turned_over(self):
        assert torch.equal(
            dicom(slice_of_ct(PhotometricInterpretation="MONOCHROME1")).values, dicom(slice_of_ct()).values
        )

    def test_a_unit_is_not_turned_over(self):
        """Optical density (x 1000): of film, where large is dark."""
        read = dicom(
            slice_of_ct(
                Modality="DX", PhotometricInterpretation="MONOCHROME1", RescaleType="OD", RescaleIntercept=0
            )
        )
        assert read.values[1].tolist() == [1024, 2000, 4095]
        assert read.unit == "OD (large is dark)"

    def test_an_unspecified_unit_is_none(self):
        turned = {"Modality": "DX", "PhotometricInterpretation": "MONOCHROME1", "RescaleIntercept": 0}
        read = dicom(slice_of_ct(RescaleType="US", **turned))
        assert read.values[1].tolist() == [3071, 2095, 0]
        assert read.unit == "as stored"
        assert dicom(slice_of_ct(Modality="PT", RescaleType="BQML")).unit == "BQML"

    @pytest.mark.parametrize("limits", [(0, 1), (1, 0)])
    def test_padding_may_be_a_range(self, limits):
        value, limit = limits
        read = dicom(slice_of_ct(PixelPaddingValue=value, PixelPaddingRangeLimit=limit))
        assert read.values.tolist() == [[-1022, -1022, -1022], [0, 976, 3071]]

    @pytest.mark.parametrize(
        "changes",
        [
            {"PixelSpacing": [0.7]},
            {"ImageOrientationPatient": [1, 0, 0]},
            {"Modality": "DX", "BitsStored": None, "PhotometricInterpretation": "MONOCHROME1"},
        ],
    )
    def test_damaged_headers(self, changes):
        with pytest.raises(CourseError, match="truncated or damaged"):
            dicom(slice_of_ct(**changes))

    def test_empty_rescale(self):
        with pytest.raises(CourseError, match="CT without rescale slope"):
            dicom(slice_of_ct(RescaleSlope=""))
        assert dicom(slice_of_ct(RescaleSlope="", Modality="DX")).values[0].tolist() == [-1024, -1023, -1022]

    def test_no_transfer_syntax(self):
        content = slice_of_ct()
        at = content.index(b"\x02\0\x10\0UI")
        length = 8 + int.from_bytes(content[at + 6 : at + 8], "little")
        with pytest.raises(CourseError, match="truncated or damaged"):
            dicom(content[:at] + content[at + length :])

    def test_values_too_large_for_float32(self):
        with pytest.raises(CourseError, match="values that are NaN, infinite or too large"):
            dicom(slice_of_ct(RescaleSlope=1e300))

    def test_padding_becomes_the_smallest_measured_value(self):
        assert dicom(slice_of_ct(PixelPaddingValue=0)).values[0].tolist() == [-1023, -1023, -1022]

    @pytest.mark.parametrize(
        ("directions", "turn"),
        [
            ([-1, 0, 0, 0, 1, 0], lambda v: v.flip(1)),
            ([1, 0, 0, 0, -1, 0], lambda v: v.flip(0)),
            ([0.99, 0.1, 0, -0.1, 0.99, 0], lambda v: v),
            ([0, 1, 0, 0, 0, -1], lambda v: v),
            ([0, 1, 0, 0, 0, 1], lambda v: v.flip(0)),
            (None, lambda v: v),
        ],
    )
    def test_directions(self, directions, turn):
        plain = dicom(slice_of_ct()).values
        assert torch.equal(dicom(slice_of_ct(ImageOrientationPatient=directions)).values, turn(plain))

    def test_an_xray_without_spacing(self):
        assert dicom(slice_of_ct(Modality="CR", PixelSpacing=None)).spacing is None

    @pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
    def test_ct_without_rescale(self, missing):
        with pytest.raises(
            CourseError, match=r"CT without rescale slope and intercept, .*: get it with its whole"
        ):
            dicom(slice_of_ct(**{missing: None}))

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"PixelData": None}, "has no image in it: take the files"),
            (
                {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
                r"colour image \(RGB\), and a grey one is expected: convert it first",
            ),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour image"),
            ({"NumberOfFrames": 7}, "holds 7 frames, and one image is expected: save each"),
            ({"PixelData": b"\0\0"}, "truncated or damaged"),
        ],
    )
    def test_images_of_another_kind(self, changes, match):
        with pytest.raises(CourseError, match=match):
            dicom(slice_of_ct(**changes))

    def test_a_compression_that_nothing_can_decode(self):
        content = slice_of_ct(TransferSyntaxUID=pydicom.uid.JPEGLSLossless, PixelData=bytes(64))
        with pytest.raises(CourseError, match=r"is compressed \(JPEG-LS.*install pylibjpeg"):
            dicom(content)

    def test_truncated(self):
        content = slice_of_ct()
        for end in (3, 100, 200, len(content) - 5):
            with pytest.raises(CourseError, match=r"no DICOM file|truncated or damaged|no image"):
                dicom(content[:end])

    def test_a_text_named_dcm(self, tmp_path):
        path = tmp_path / "notes.dcm"
        path.write_text("not an image\n" * 100)
        with pytest.raises(CourseError, match=r"notes\.dcm is no DICOM file"):
            dicom(path)
