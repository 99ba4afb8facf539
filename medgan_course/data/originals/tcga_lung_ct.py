"""TCGA lung CT: one DICOM file a slice, whose name tells the age and whether contrast medium was given."""

import re

import numpy as np

from medgan_course.data.originals.archive import Members, lacks
from medgan_course.data.readers import dicom

SIDE = 256

BY_HAND = (
    'get the set "CT Medical Images" (100 slices of TCGA-LUAD and TCGA-LUSC, DICOM files called '
    "ID_0000_AGE_0060_CONTRAST_1_CT.dcm and so on; to be confirmed) from "
    "https://www.kaggle.com/datasets/kmader/siim-medical-images, and prepare the set from that archive "
    "or its folder dicom_dir."
)


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the slices in Hounsfield units, averaged to 256 x 256 and rounded; none is below -1024."""
    pattern = re.compile(r"(?:^|/)ID_(\d+)_AGE_(\d+)_CONTRAST_([01])_CT\.dcm$")
    slices: dict[int, tuple[np.ndarray, tuple[float, float], str, int, bool]] = {}
    for path, content in members:
        match = pattern.search(path)
        if not match:
            continue
        measured = dicom(content)
        height, width = measured.values.shape
        if measured.unit != "HU" or height != width or height % SIDE or measured.spacing is None:
            raise lacks("TCGA lung CT", f"{path} is no square slice of CT with a spacing")
        step = height // SIDE
        blocks = measured.values.double().clamp(min=-1024).reshape(SIDE, step, SIDE, step)
        hounsfield = blocks.mean(dim=(1, 3)).round().short().numpy()
        spacing = (measured.spacing[0] * step, measured.spacing[1] * step)
        slices[int(match[1])] = (hounsfield, spacing, measured.patient, int(match[2]), match[3] == "1")
    if not slices:
        raise lacks("TCGA lung CT", "no file is called like ID_0000_AGE_0060_CONTRAST_1_CT.dcm")
    images, spacings, patients, ages, contrast = zip(*(slices[i] for i in sorted(slices)), strict=True)
    return {
        "images_hu": np.stack(images),
        "age": np.array(ages, np.int16),
        "contrast": np.array(contrast),
        "patient": np.array(patients),
        "spacing_mm": np.array(spacings, np.float32),
    }
