"""BUSI: ultrasounds as PNG files in a folder for each class, with one or more masks beside each."""

import re

import numpy as np

from medgan_course.data.originals.archive import Members, lacks, picture

CLASSES = ("normal", "benign", "malignant")
SIDE = 128

BY_HAND = (
    "get Dataset_BUSI.zip (the folder Dataset_BUSI_with_GT) from https://scholar.cu.edu.eg/?q=afahmy/pages/dataset"
    ", and prepare the set from that file."
)


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the pictures and the union of the masks of each, resized to 128 x 128 whatever their aspect.

    Pictures are resized with Lanczos' filter (to be confirmed for the course's own file); a pixel is lesion
    if at least half of it is.
    """
    from PIL import Image

    pattern = re.compile(r"(?:^|/)((normal|benign|malignant) \((\d+)\))(_mask(?:_\d+)?)?\.png$")
    images: dict[tuple[int, int], np.ndarray] = {}
    masks: dict[tuple[int, int], np.ndarray] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    names: dict[tuple[int, int], str] = {}
    for path, content in members:
        match = pattern.search(path)
        if not match:
            continue
        key = (CLASSES.index(match[2]), int(match[3]))
        full = picture(path, content, "L")
        if match[4]:
            drawn = full.point(lambda level: 255 if level > 127 else 0)
            mask = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BOX)) >= 128
            masks[key] = masks.get(key, False) | mask
        else:
            images[key] = np.asarray(full.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
            sizes[key], names[key] = (full.height, full.width), match[1]
    order = sorted(images)
    if not order or order != sorted(masks):
        raise lacks("BUSI", f"it has {len(images)} pictures, and masks for {len(masks)}")
    return {
        "images": np.stack([images[key] for key in order]),
        "masks": np.stack([masks[key] for key in order]).astype(np.uint8),
        "labels": np.array([key[0] for key in order], np.uint8),
        "names": np.array([names[key] for key in order]),
        "orig_hw": np.array([sizes[key] for key in order], np.int16),
        "class_names": np.array(CLASSES),
    }
