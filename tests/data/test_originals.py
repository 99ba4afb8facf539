"""From originals in their true folder structure to the course's files."""

import ast
import base64
import importlib.util
import os
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicoms import slice_of_ct
from PIL import Image

from medgan_course import data
from medgan_course.data import files, originals
from medgan_course.data.originals import archive, bccd, mednist, nuclei, openms
from medgan_course.data.originals.archive import members
from medgan_course.errors import CourseError


def png(array, kind="PNG", **options):
    stream = BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def zipped(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def tarred(path, contents, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, BytesIO(content))
    return path


def nifti(array, affine=None):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    return image.to_bytes()


CONTENTS = {"a/b.txt": b"one", "c.txt": b"two"}


class TestArchive:
    @pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.xz"])
    def test_every_kind_gives_the_same(self, tmp_path, kind):
        if kind == "folder":
            path = tmp_path / "folder"
            for name, content in CONTENTS.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(content)
        elif kind == "zip":
            path = zipped(tmp_path / "a.zip", CONTENTS)
        else:
            path = tarred(tmp_path / f"a.{kind}", CONTENTS, "w:" + kind[4:])
        assert dict(members(path)) == CONTENTS

    def test_paths_that_lead_outside_write_nothing(self, tmp_path):
        inside = tmp_path / "deep" / "inside"
        inside.mkdir(parents=True)
        for path in (
            zipped(inside / "a.zip", {"../../evil": b"x", "/evil": b"y"}),
            tarred(inside / "a.tar.gz", {"../../evil": b"x", "/evil": b"y"}),
        ):
            assert len(list(members(path))) == 2
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar.gz", "a.zip", "deep", "inside"]

    def test_links_are_never_followed(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_bytes(b"secret")
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "link").symlink_to(secret)
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as file:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
                entry = tarfile.TarInfo(f"link{kind!r}")
                entry.type, entry.linkname = kind, str(secret)
                file.addfile(entry)
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
            file.writestr(link, str(secret))
        for source in (folder, path, tmp_path / "a.zip"):
            assert list(members(source)) == []

    @pytest.mark.parametrize(("limit", "value"), [("LARGEST", 1000), ("TOTAL", 2500), ("MOST", 2)])
    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_bombs(self, tmp_path, monkeypatch, limit, value, kind):
        size = 1001 if limit == "LARGEST" else 900
        contents = {str(i): bytes(size) for i in range(3)}
        make = zipped if kind == "zip" else tarred
        path = make(tmp_path / f"a.{kind}", contents)
        assert len(dict(members(path))) == 3
        monkeypatch.setattr(archive, limit, value)
        with pytest.raises(CourseError, match="holds more than any original does"):
            list(members(path))

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_damage(self, tmp_path, kind):
        noise = np.random.default_rng(0).bytes(5000)
        path = (zipped if kind == "zip" else tarred)(tmp_path / f"a.{kind}", {"a": noise})
        content = bytearray(path.read_bytes())
        content[2500] ^= 1
        path.write_bytes(content if kind == "zip" else content[:2500])
        with pytest.raises(CourseError, match="truncated or damaged"):
            list(members(path))

    def test_what_is_no_archive(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("hello")
        for source in (path, tmp_path / "absent"):
            with pytest.raises(
                CourseError, match=r"neither a folder nor a zip or tar archive|cannot be read"
            ):
                members(source)

    def test_a_damaged_picture(self):
        with pytest.raises(CourseError, match=r"a\.png is damaged or no image"):
            archive.picture("a.png", png(np.eye(40, dtype=np.uint8) * 255)[:60], "L")


class TestPrepare:
    def test_every_card_without_an_address_has_an_original(self):
        own = {n for n in data.names() if any(f.url is None for f in data.card(n).files.values())}
        assert own == {*originals.AUTOMATIC, *originals.BY_HAND}
        assert not {*originals.AUTOMATIC} & {*originals.BY_HAND}

    def test_automatic_downloads_have_checksums(self):
        for downloads in originals._DOWNLOADS.values():
            assert downloads
            for file in downloads:
                assert file.url.startswith("https://")
                assert len(bytes.fromhex(file.md5)) == 16

    def test_addresses_are_those_of_monai(self):
        """Read, not imported: that takes seconds."""
        monai = importlib.util.find_spec("monai")
        if monai is None:
            pytest.skip("MONAI is not installed")
        tree = ast.parse((Path(monai.origin).parent / "apps" / "datasets.py").read_text())
        theirs = {
            each.name: {
                line.targets[0].id: ast.literal_eval(line.value)
                for line in each.body
                if isinstance(line, ast.Assign) and line.targets[0].id in ("resource", "md5")
            }
            for each in tree.body
            if isinstance(each, ast.ClassDef)
        }
        ((hands,), (task,)) = (originals._DOWNLOADS[name] for name in ("mednist", "hippocampus"))
        assert {"resource": hands.url, "md5": hands.md5} == theirs["MedNISTDataset"]
        decathlon = theirs["DecathlonDataset"]
        assert task.url == decathlon["resource"]["Task04_Hippocampus"]
        assert task.md5 == decathlon["md5"]["Task04_Hippocampus"]

    def test_unknown_name(self, tmp_path):
        with pytest.raises(CourseError, match="No original is known for 'bussi': did you mean 'busi'"):
            originals.prepare("bussi", None, tmp_path)

    @pytest.mark.parametrize("name", sorted(originals.BY_HAND))
    def test_by_hand_says_where(self, tmp_path, name):
        with pytest.raises(CourseError, match=r"cannot be downloaded by itself: get .*https://"):
            originals.prepare(name, None, tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", sorted({*originals.BY_HAND, *originals.AUTOMATIC}))
    def test_something_else_is_refused_and_nothing_written(self, tmp_path, name):
        source = zipped(tmp_path / "other.zip", {"readme.txt": b"hello"})
        with pytest.raises(CourseError, match="This is not the original of"):
            originals.prepare(name, source, tmp_path / "into")
        assert not (tmp_path / "into").exists()

    def test_no_network(self, tmp_path, monkeypatch):
        def fail(file):
            raise files.UnreachableError("there is no connection to somewhere")

        monkeypatch.setattr(files, "download", fail)
        with pytest.raises(files.UnreachableError, match="there is no connection to somewhere"):
            originals.prepare("mednist", None, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_leaves_the_old_file(self, tmp_path, monkeypatch):
        old = tmp_path / "chase_db1_384.npz"
        old.write_bytes(b"old")

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez_compressed", full)
        with pytest.raises(CourseError, match=r"No space left on device.: free some space"):
            originals.prepare("chase", zipped(tmp_path / "c.zip", chase()), tmp_path)
        assert old.read_bytes() == b"old"

    def test_downloads_are_read_from_where_they_came(self, tmp_path, monkeypatch):
        path = tarred(
            tmp_path / "MedNIST.tar.gz",
            {"MedNIST/AbdomenCT/000000.jpeg": png(np.zeros((64, 64), np.uint8), "JPEG")},
        )
        monkeypatch.setattr(files, "download", lambda file: files.Found(path, b"", "here"))
        with pytest.raises(CourseError, match="the folder AbdomenCT has 1 images, not at least 2000"):
            originals.prepare("mednist", None, tmp_path)


def prepared(name, contents, tmp_path, make=zipped):
    suffix = "zip" if make is zipped else "tar.gz"
    path = originals.prepare(name, make(tmp_path / f"original.{suffix}", contents), tmp_path / "into")
    assert path.name == data.card(name).files[max(data.card(name).files)].name
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def chase():
    """Two eyes, 20 pixels wider than high as the true ones are not quite, with a stripe as the vessel."""
    contents = {}
    for eye, level in (("01L", 60), ("01R", 200)):
        photograph = np.full((400, 420, 3), level, np.uint8)
        photograph[:, :10] = 255  # cut off with the margin
        vessel = np.zeros((400, 420), np.uint8)
        vessel[:, 210:] = 255
        contents[f"Image_{eye}.jpg"] = png(photograph, "JPEG", quality=100)
        contents[f"Image_{eye}_1stHO.png"] = png(vessel > 0)
        contents[f"Image_{eye}_2ndHO.png"] = png(255 - vessel)
    return contents


def test_chase(tmp_path):
    arrays = prepared("chase", chase(), tmp_path)
    assert arrays["names"].tolist() == ["Image_01L", "Image_01R"]
    assert arrays["images"].shape == (2, 384, 384, 3)
    assert np.abs(arrays["images"][0, 50:-50, 30:].astype(int) - 60).max() <= 2
    assert arrays["images"][0, 100, 0, 0] < 90  # the white margin is gone
    first, second = arrays["vessels_1st"], arrays["vessels_2nd"]
    assert first[:, :, 192:].all()
    assert not first[:, :, :192].any()
    assert (first + second == 1).all()


def test_chase_without_the_second_expert(tmp_path):
    contents = {name: content for name, content in chase().items() if "01R_2nd" not in name}
    with pytest.raises(CourseError, match="2 images, 2 vessels_1st, 1 vessels_2nd"):
        prepared("chase", contents, tmp_path)


def test_busi(tmp_path):
    contents = {}
    for kind, number, lesion in (("malignant", 2, True), ("normal", 10, False), ("normal", 2, False)):
        stem = f"Dataset_BUSI_with_GT/{kind}/{kind} ({number})"
        mask = np.zeros((256, 512), np.uint8)
        mask[:128, :256] = 255 * lesion
        contents[f"{stem}.png"] = png(np.full((256, 512, 3), 10 * number, np.uint8))
        contents[f"{stem}_mask.png"] = png(mask)
        if lesion:
            contents[f"{stem}_mask_1.png"] = png(mask[::-1].copy())
    arrays = prepared("busi", contents, tmp_path)
    assert arrays["names"].tolist() == ["normal (2)", "normal (10)", "malignant (2)"]
    assert arrays["labels"].tolist() == [0, 0, 2]
    assert arrays["orig_hw"].tolist() == [[256, 512]] * 3
    assert (arrays["images"][1] == 100).all()
    assert arrays["masks"][2, :, :64].all()
    assert arrays["masks"].sum() == 128 * 64


def test_nuclei(tmp_path, monkeypatch):
    monkeypatch.setattr(nuclei, "STAINED", "aaaaaa bbbbbb")
    contents = {}
    for letter in "abc":
        name = 64 * letter
        picture = np.zeros((200, 160, 4), np.uint8)
        picture[36, 16] = (1, 2, 3, 255)
        contents[f"{name}/images/{name}.png"] = png(picture)
        for number in range(2):
            mask = np.zeros((200, 160), np.uint8)
            mask[36 + 10 * number : 40 + 10 * number, 16:20] = 255
            contents[f"{name}/masks/{str(number) * 64}.png"] = png(mask)
    arrays = prepared("nuclei", contents, tmp_path)
    assert arrays["names"].tolist() == [64 * "a", 64 * "b"]
    assert arrays["images"][0, 0, 0].tolist() == [1, 2, 3]
    assert np.bincount(arrays["instances"][1].ravel()).tolist() == [128 * 128 - 32, 16, 16]
    assert (arrays["instances"][0, :4, :4] == 1).all()
    assert np.array_equal(arrays["masks"], arrays["instances"] > 0)


def test_tcga_lung_ct(tmp_path):
    pytest.importorskip("pydicom")
    stored = np.zeros((512, 512), np.uint16)
    stored[0, :4] = 2000 + 100
    stored[1, :2] = 2000 + 300
    contents = {
        f"dicom_dir/ID_000{i}_AGE_006{i}_CONTRAST_{i % 2}_CT.dcm": slice_of_ct(
            stored, PatientID=f"TCGA-{i}", RescaleIntercept=-2000
        )
        for i in (2, 1)
    }
    arrays = prepared("tcga_lung_ct", contents, tmp_path)
    assert arrays["patient"].tolist() == ["TCGA-1", "TCGA-2"]
    assert arrays["age"].tolist() == [61, 62]
    assert arrays["contrast"].tolist() == [True, False]
    assert arrays["images_hu"].dtype == np.int16
    # What is below -1024 is raised to it; then means: (100 + 100 + 300 + 300) / 4, (200 - 2 x 1024) / 4.
    assert arrays["images_hu"][0, 0, :3].tolist() == [200, -462, -1024]
    assert np.allclose(arrays["spacing_mm"], [[1.4, 1.6]] * 2)


def test_hippocampus(tmp_path):
    grey = np.zeros((30, 40, 20), np.float32)
    grey[0, -1, 0] = 50
    grey[10:, 10:, 10:] = 100
    parts = np.zeros(grey.shape, np.uint8)
    parts[0, -1, 0], parts[5, 5, 5] = 1, 2
    contents = {}
    for name in ("hippocampus_004", "hippocampus_001"):
        contents[f"Task04_Hippocampus/imagesTr/{name}.nii.gz"] = nifti(grey)
        contents[f"Task04_Hippocampus/labelsTr/{name}.nii.gz"] = nifti(parts)
        contents[f"Task04_Hippocampus/imagesTr/._{name}.nii.gz"] = b"a Mac's own"
    arrays = prepared("hippocampus", contents, tmp_path, tarred)
    assert arrays["names"].tolist() == ["hippocampus_001", "hippocampus_004"]
    assert arrays["images"].shape == (2, 48, 64, 48)
    # (48 - 30) / 2 = 9, (64 - 40) / 2 = 12 and (48 - 20) / 2 = 14 before.
    assert arrays["images"][0, 9, 51, 14] == 128
    assert arrays["images"][0, 38, 51, 33] == 255
    assert arrays["labels"][1, 9, 51, 14] == 1
    assert arrays["labels"][1, 14, 17, 19] == 2
    assert arrays["labels"].sum() == 2 * 3


def test_mednist(tmp_path, monkeypatch):
    monkeypatch.setattr(mednist, "COUNTS", {"train": 2, "val": 1, "test": 1})
    contents = {
        f"MedNIST/{kind}/{number:06d}.jpeg": png(np.full((64, 64), 20 * k + number, np.uint8), "JPEG")
        for k, kind in enumerate(mednist.CLASSES)
        for number in reversed(range(8))
    }
    arrays = prepared("mednist", contents, tmp_path, tarred)
    assert arrays["train_images"][:, 0, 0].tolist() == [20 * k + n for k in range(6) for n in (0, 2)]
    assert arrays["val_images"][:, 0, 0].tolist() == [20 * k + 4 for k in range(6)]
    assert arrays["test_images"][:, 0, 0].tolist() == [20 * k + 6 for k in range(6)]
    assert arrays["train_labels"].tolist() == [[k] for k in range(6) for _ in range(2)]


@pytest.fixture
def brains(monkeypatch, one_brain):
    monkeypatch.setattr(openms, "PATIENTS", (7,))
    return one_brain


@pytest.fixture(scope="module")
def one_brain():
    """Return the files of one patient whose brain fills a box, stored as left, front, up."""
    left_front_up = np.diag([-1.0, 1, 1, 1])
    brain = np.zeros((182, 218, 182), np.float32)
    brain[40:140, 50:150, 30:100] = 200
    brain[40:60, 50:150, 30:100] = 100
    brain[40, 50, 30] = 1e6  # the brightest half percent is clipped
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[41, 51, 31:33] = 1
    lesion[43:45, 51:53, 41:43] = 1
    folder = "open_ms_data-master/cross_sectional/MNI/"
    scan = nifti(brain, left_front_up)
    contents = {folder + openms._file(7, kind): scan for kind in ("T1", "T1POST", "T2", "FLAIR")}
    contents[folder + openms._file(7, "GOLD_STANDARD")] = nifti(lesion, left_front_up)
    contents["longitudinal/MNI/" + openms._file(7, "T1")] = b"another T1"
    return contents


def test_openms_slices(tmp_path, brains):
    arrays = prepared("openms", brains, tmp_path)
    assert arrays["z"].tolist() == list(range(30, 100))
    assert (arrays["subject"] == 7).all()
    # y runs to the back: 217 - 50 - 13 is the last row of the brain; x runs to the left: 40 - 11.
    t1 = arrays["t1"]
    assert t1.shape == (70, 192, 160)
    assert t1[5, 154, 29] == 128  # half of 255, 127.5, is rounded to even
    assert t1[5, 154, 28] == t1[5, 155, 29] == 0
    assert t1[5, 100, 100] == 255
    assert arrays["lesion"][1, 153, 30] == 1
    assert arrays["lesion"].sum() == 2 + 8


def test_openms_volumes(tmp_path, brains):
    arrays = prepared("openms3d", brains, tmp_path)
    assert arrays["flair"].shape == (1, 80, 96, 80)
    # x 43 to 44 is voxel (43 - 11) / 2, y 51 to 52 is (51 - 13) / 2, z 41 to 42 is (41 - 1) / 2.
    assert np.argwhere(arrays["lesion"]).tolist() == [[0, 16, 19, 20]]
    assert arrays["t2"][0, 40, 40, 40] == 255


def test_openms_lacks_a_patient(tmp_path, brains, monkeypatch):
    monkeypatch.setattr(openms, "PATIENTS", (7, 19))
    with pytest.raises(CourseError, match=r"patient19/FLAIR.* is not there"):
        prepared("openms", brains, tmp_path)


def test_bccd(tmp_path, monkeypatch):
    smear = np.full((480, 640, 3), 200, np.uint8)
    smear[100:200, 100:200] = 50

    def box(name, *corners):
        tags = "".join(
            f"<{t}>{c}</{t}>" for t, c in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        return f"<object><name>{name}</name><bndbox>{tags}</bndbox></object>"

    boxes = [
        box("RBC", 100, 100, 200, 200),
        box("RBC", 110, 110, 150, 190),
        box("WBC", 100, 100, 200, 200),
        box("Platelets", 0, 100, 50, 150),  # its margin lies outside
        box("RBC", 300, 300, 300, 310),  # a slip of the annotator
        box("Platelets", 400, 300, 450, 330),
    ]
    read = {
        "BCCD/JPEGImages/BloodImage_00000.jpg": png(smear, "JPEG", quality=100),
        "BCCD/Annotations/BloodImage_00000.xml": f"<annotation>{''.join(boxes)}</annotation>".encode(),
    }
    monkeypatch.setattr(bccd, "MD5", bccd._digest(read))
    monkeypatch.setattr(bccd, "RED", base64.b85encode(bytes([0b01100000])).decode())  # all but the first
    contents = {f"BCCD_Dataset-{bccd.COMMIT}/{path}": content for path, content in read.items()}
    arrays = prepared("bccd", contents | {"BCCD_Dataset/example.jpg": b""}, tmp_path)
    assert arrays["labels"].tolist() == [0, 1, 2]
    red = arrays["images"][0].astype(int)
    # The second red cell: from 150 - 46 = 104 down, from 130 - 46 = 84 across, so its left end is outside.
    assert red[24, [0, 47], 0].tolist() == pytest.approx([200, 50], abs=5)
    white = arrays["images"][1].astype(int)
    # The box is 100 / 115 of the crop, so its edge is 3.1 pixels from that of the crop.
    assert (
        np.abs(white[24, :, 0] - np.where((np.arange(48) > 3) & (np.arange(48) < 44), 50, 200))[
            [0, 1, 6, 24, 41, 46, 47]
        ].max()
        < 12
    )
    assert np.abs(arrays["images"][2].astype(int) - 200).max() <= 2

    contents[f"BCCD_Dataset-{bccd.COMMIT}/BCCD/JPEGImages/BloodImage_00000.jpg"] += b"altered"
    with pytest.raises(CourseError, match="its 2 pictures and boxes are not those of commit d272fb1"):
        prepared("bccd", contents, tmp_path)


def test_the_drawn_red_cells_are_700():
    bits = np.unpackbits(np.frombuffer(base64.b85decode(bccd.RED), np.uint8))
    assert bits.sum() == 700
    assert len(bits) - 2850 in range(8)


@pytest.mark.skipif(not os.environ.get("MEDGAN_DATA"), reason="needs the real files")
def test_the_chosen_nuclei_are_those_of_the_file():
    found = files.find(data.card("nuclei").file(128))
    if found is None:
        pytest.skip("the data root lacks this file")
    with np.load(BytesIO(found.content), allow_pickle=False) as file:
        assert nuclei.STAINED.split() == [name[:6] for name in file["names"]]
