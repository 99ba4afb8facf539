"""open_ms_data: NIfTI files of three patients with multiple sclerosis, from one commit of a repository.

The course uses three of the 30 patients of ``cross_sectional/MNI``: those whose files could be verified.
"""

import re

import numpy as np

from medgan_course.data.catalogue import File
from medgan_course.data.originals.archive import Members, lacks
from medgan_course.data.readers import nifti

PATIENTS = (7, 19, 26)
CONTRASTS = {"t1": "T1", "t1gd": "T1POST", "t2": "T2", "flair": "FLAIR"}
LESION = "GOLD_STANDARD"
SHAPE = (182, 218, 182)  # mm up, back and left, as the MNI template has them
MIN_BRAIN = 4000  # pixels of 1 mm2 of a slice that is kept
BRIGHTEST = 99.5  # percentile of the brain that is grey level 255

COMMIT = "65704901f60650824565aa5a4818611aa89716f4"
FOLDER = f"https://raw.githubusercontent.com/muschellij2/open_ms_data/{COMMIT}/cross_sectional/MNI"
MD5 = {
    7: {
        "FLAIR": "e3bc07574dda5e7a0a3376a79115ab00",
        "GOLD_STANDARD": "674dc63945bb4d1ba1a043d0b126ea20",
        "T1POST": "bf7bf91f6497493ead2be6c1f06656fd",
        "T1": "438fb0d35ad70dc18eca5a7354ada392",
        "T2": "58d44bc6d8cde64008cc66feabbad5a0",
    },
    19: {
        "FLAIR": "d013d3b520da4666955f9da6c4c8583a",
        "GOLD_STANDARD": "1dc5474cc911e05054073e890ae6c8f5",
        "T1POST": "f3b6cb714825490b293fe923caafa0ac",
        "T1": "9b3fd60eb702dc0895464926398cbf0d",
        "T2": "aeda01ca340da1f7a8faaaf352b0541a",
    },
    26: {
        "FLAIR": "4afc13c8a0fe0bc711430cb00e2b2477",
        "GOLD_STANDARD": "0d4f58e148315350d313751a3ee4d55f",
        "T1POST": "06027604e7f0f36bf56a42188ee1c7e6",
        "T1": "75777f45a21163eba991fb82e048f994",
        "T2": "2f80075d83a927b9da2784d5e50327fb",
    },
}


def _file(patient: int, kind: str) -> str:
    middle = "" if kind == LESION else "_brain_N4"
    return f"patient{patient:02d}/{kind}_N4_noneck_reduced_winsor_regtoFLAIR{middle}_regtoMNI.nii.gz"


DOWNLOADS = tuple(
    File(_file(patient, kind).replace("/", "_"), 182, md5, f"{FOLDER}/{_file(patient, kind)}")
    for patient, kinds in MD5.items()
    for kind, md5 in kinds.items()
)


def slices(members: Members) -> dict[str, np.ndarray]:
    """Return the axial slices with at least 40 cm2 of brain, 192 x 160 pixels of 1 mm, uint8.

    Brain is where T1, T2 and FLAIR are above 0. Grey level 255 is the 99.5th percentile of the patient's
    brain.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("subject", "z", *CONTRASTS, "lesion")}
    for patient, scaled, lesion, brain in _patients(members):
        kept = np.flatnonzero(brain.sum(axis=(1, 2)) >= MIN_BRAIN)
        parts["subject"].append(np.full(len(kept), patient, np.uint8))
        parts["z"].append(kept.astype(np.uint8))
        for name, volume in scaled.items():
            parts[name].append(np.rint(volume[kept, 13:205, 11:171] * 255).astype(np.uint8))
        parts["lesion"].append(lesion[kept, 13:205, 11:171].astype(np.uint8))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def volumes(members: Members) -> dict[str, np.ndarray]:
    """Return volumes of 160 x 192 x 160 mm averaged to voxels of 2 mm, uint8 ``(3, 80, 96, 80)``.

    Axes are left, front, up. A voxel is lesion if at least half of it is.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("subject", *CONTRASTS, "lesion")}
    for patient, scaled, lesion, _ in _patients(members):
        parts["subject"].append(np.array(patient, np.uint8))
        for name, volume in scaled.items():
            parts[name].append(np.rint(_halved(volume) * 255).astype(np.uint8))
        parts["lesion"].append((_halved(lesion) >= 0.5).astype(np.uint8))
    return {name: np.stack(arrays) for name, arrays in parts.items()}


def _halved(volume: np.ndarray) -> np.ndarray:
    stored = volume[:, ::-1].transpose(2, 1, 0)[11:171, 13:205, 1:161].astype(np.float64)
    return stored.reshape(80, 2, 96, 2, 80, 2).mean(axis=(1, 3, 5))


def _patients(
    members: Members,
) -> list[tuple[int, dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    """Return each patient's number, contrasts in [0, 1], lesion and brain, all (up, back, left)."""
    pattern = re.compile(r"patient(\d\d)[/_](GOLD_STANDARD|T1POST|T1|T2|FLAIR)_N4_[^/]*\.nii\.gz$")
    read: dict[tuple[int, str], np.ndarray] = {}
    for name, content in members:
        match = pattern.search(name)
        # The repository has raw and longitudinal images under like names.
        if match and "regtoMNI" in name and int(match[1]) in PATIENTS and "longitudinal" not in name:
            volume = nifti(content).values.numpy()
            if volume.shape != SHAPE:
                raise lacks("open_ms_data", f"{name} has the shape {volume.shape}, not {SHAPE}")
            read[int(match[1]), match[2]] = volume
    patients = []
    for patient in PATIENTS:
        for kind in MD5[patient]:
            if (patient, kind) not in read:
                raise lacks("open_ms_data", f"{_file(patient, kind)} is not there")
        image = {name: read[patient, kind] for name, kind in CONTRASTS.items()}
        brain = (image["t1"] > 0) & (image["t2"] > 0) & (image["flair"] > 0)
        scaled = {
            name: np.clip(volume / np.percentile(volume[brain], BRIGHTEST), 0, 1)
            for name, volume in image.items()
        }
        patients.append((patient, scaled, read[patient, LESION] > 0, brain))
    return patients
