"""MedNIST: 64 x 64 JPEG files in a folder for each class, the archive of monai.apps.MedNISTDataset."""

import numpy as np

from medgan_course.data.catalogue import File
from medgan_course.data.originals.archive import Members, lacks, picture

CLASSES = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
COUNTS = {"train": 1600, "val": 200, "test": 200}

# Address and checksum as in monai.apps.MedNISTDataset of MONAI 1.6.
DOWNLOADS = (
    File(
        "MedNIST.tar.gz",
        64,
        "0bc7306e7427e00ad1c5526a6677552d",
        "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/MedNIST.tar.gz",
    ),
)


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return 2,000 images of each class in MedMNIST's layout.

    They are spread evenly over the files in order of their name; of these the first 1,600 are for training
    and the last 200 for the test. If names follow patients (an assumption), few patients are in two splits.
    """
    images: dict[str, dict[str, np.ndarray]] = {name: {} for name in CLASSES}
    for path, content in members:
        *_, folder, file = ("", *path.split("/"))
        if folder in images and file.endswith((".jpeg", ".jpg")):
            image = np.asarray(picture(path, content, "L"))
            if image.shape != (64, 64):
                raise lacks("MedNIST", f"{path} is {image.shape[1]} x {image.shape[0]} pixels, not 64 x 64")
            images[folder][file] = image
    total = sum(COUNTS.values())
    out: dict[str, np.ndarray] = {"class_names": np.array(CLASSES)}
    stacks = []
    for name, files in images.items():
        if len(files) < total:
            raise lacks("MedNIST", f"the folder {name} has {len(files)} images, not at least {total}")
        ordered = sorted(files)
        stacks.append(np.stack([files[ordered[i * len(ordered) // total]] for i in range(total)]))
    first = 0
    for split, count in COUNTS.items():
        out[f"{split}_images"] = np.concatenate([stack[first : first + count] for stack in stacks])
        out[f"{split}_labels"] = np.repeat(np.arange(len(CLASSES), dtype=np.uint8), count)[:, None]
        first += count
    return out
