"""Hippocampus of the Medical Segmentation Decathlon: NIfTI volumes, 1 mm, with the masks of two parts."""

import re

import numpy as np

from medgan_course.data.catalogue import File
from medgan_course.data.originals.archive import Members, lacks
from medgan_course.data.readers import nifti

SHAPE = (48, 64, 48)  # right, front, up
BRIGHTEST = 99.8  # percentile of the volume that is grey level 255; to be confirmed

# Address and checksum as in monai.apps.DecathlonDataset of MONAI 1.6.
DOWNLOADS = (
    File(
        "Task04_Hippocampus.tar",
        64,
        "9d24dba78a72977dbd1d2e110310f31b",
        "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar",
    ),
)


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the labelled volumes, padded to 48 x 64 x 48 around their middle, in the order of their names.

    Grey levels are uint8: 0 is 0, and 255 is the 99.8th percentile of the volume.
    """
    pattern = re.compile(r"(imagesTr|labelsTr)/(hippocampus_\d+)\.nii(\.gz)?$")
    read: dict[str, dict[str, np.ndarray]] = {"imagesTr": {}, "labelsTr": {}}
    for path, content in members:
        match = pattern.search(path)
        if match:
            # Back from (up, back, left) to (right, front, up), the order of the file.
            read[match[1]][match[2]] = nifti(content).values.numpy()[:, ::-1, ::-1].transpose(2, 1, 0)
    images, labels = read.values()
    names = sorted(images)
    if not names or names != sorted(labels):
        raise lacks("the hippocampus set", f"it has {len(images)} images and {len(labels)} masks")
    for name in names:
        if images[name].shape != labels[name].shape or np.any(np.array(images[name].shape) > SHAPE):
            raise lacks("the hippocampus set", f"{name} has the shape {images[name].shape}")
    return {
        "images": np.stack([_padded(_grey(images[name])) for name in names]),
        "labels": np.stack([_padded(labels[name].astype(np.uint8)) for name in names]),
        "names": np.array(names),
    }


def _grey(volume: np.ndarray) -> np.ndarray:
    brightest = max(np.percentile(volume, BRIGHTEST), 1e-6)
    return np.rint(np.clip(volume / brightest, 0, 1) * 255).astype(np.uint8)


def _padded(volume: np.ndarray) -> np.ndarray:
    before = [(whole - n) // 2 for whole, n in zip(SHAPE, volume.shape, strict=True)]
    return np.pad(
        volume,
        [(b, whole - n - b) for b, whole, n in zip(before, SHAPE, volume.shape, strict=True)],
    )
