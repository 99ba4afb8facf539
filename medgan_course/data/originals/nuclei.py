"""Stained nuclei of the 2018 Data Science Bowl: a folder for each picture, with a mask for each nucleus."""

import re

import numpy as np

from medgan_course.data.originals.archive import Members, lacks, picture

SIDE = 128

BY_HAND = (
    "get stage1_train.zip from https://bbbc.broadinstitute.org/BBBC038, and prepare the set from that file."
)

# How the names of the pictures of stained tissue begin, of the 670 of stage1_train.
STAINED = """
00ae65 0121d6 01d44a 0bf33d 0c2550 0d3640 0e21d7 0e4c2e 136000 13f2be 15039b 163135 1d02c4 1e488c 1ec74a
224687 2255d5 24a20f 2c61fd 2dd335 2e2d29 337b6e 33a5b0 353ab0 3934a0 3b0709 3bfa8b 409460 419347 420f43
442c4e 4590d7 45f059 4ae4f9 4ca508 4cbd6c 4d14a3 4d4f25 4e23ec 4e9212 52a6b8 55f98f 57bd02 589f86 5c6eb9
5d75a6 5ef444 610f32 65c852 673baf 6ab24e 6b0ac2 6c67b7 6d327a 708eb4 709e09 718751 7773ac 7798ca 79fe41
7f34df 7f5567 815524 853a4c 87ea72 8e507d 8f27eb 92f31f 94519e 947c0d 953211 9fb32a a0325c a08166 a31dea
a4c44f a5fe0b a7f619 a7f767 a90401 aa58ba abd8dd ad4730 ae570a af576e af6b61 b0e35e b21480 b909aa bb61fc
be771d bf4a61 c0152b c0f172 c1afe6 cbca32 cbff60 e414b5 e49fc2 ea94ba eb1df8 ebc188 ed5be4 ef3ef1 f4b7c2
f7e5dc f952cc
"""


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the middle 128 x 128 pixels of each picture, its nuclei numbered in the order of their files.

    That the course's own file is cut in the same way is to be confirmed.
    """
    stained = set(STAINED.split())
    pattern = re.compile(r"(?:^|/)([0-9a-f]{64})/(images|masks)/([0-9a-f]{64})\.png$")
    images: dict[str, np.ndarray] = {}
    masks: dict[str, dict[str, np.ndarray]] = {}
    for path, content in members:
        match = pattern.search(path)
        if match and match[1][:6] in stained:
            if match[2] == "images":
                images[match[1]] = np.asarray(picture(path, content, "RGB"))
            else:
                masks.setdefault(match[1], {})[match[3]] = np.asarray(picture(path, content, "L")) > 127
    names = sorted(images)
    if len(names) != len(stained) or names != sorted(masks):
        raise lacks(
            "DSB2018 stained nuclei",
            f"it has {len(images)} of the {len(stained)} pictures, and masks for {len(masks)}",
        )
    instances = []
    for name in names:
        numbered = np.zeros(images[name].shape[:2], np.uint16)
        for number, key in enumerate(sorted(masks[name]), start=1):
            if masks[name][key].shape != numbered.shape:
                raise lacks("DSB2018 stained nuclei", f"a mask of {name} is of another size")
            numbered[masks[name][key]] = number
        instances.append(_middle(name, numbered))
    return {
        "images": np.stack([_middle(name, images[name]) for name in names]),
        "instances": np.stack(instances),
        "masks": (np.stack(instances) > 0).astype(np.uint8),
        "names": np.array(names),
    }


def _middle(name: str, image: np.ndarray) -> np.ndarray:
    top, left = ((n - SIDE) // 2 for n in image.shape[:2])
    if top < 0 or left < 0:
        raise lacks("DSB2018 stained nuclei", f"{name} is smaller than {SIDE} x {SIDE}")
    return image[top : top + SIDE, left : left + SIDE]
