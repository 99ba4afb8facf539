"""BCCD: blood smears as JPEG files with the boxes of their cells in XML, from one commit of a repository."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from io import BytesIO

import numpy as np

from medgan_course.data.originals.archive import Members, lacks, picture

CLASSES = ("RBC", "WBC", "Platelets")
SIDE = 48
MARGIN = 1.15  # of the longer side of the box

COMMIT = "d272fb14cdff6e473fafeeeba32aba5f560e9e43"
MD5 = "453b1bfe7cef11d569119044a317b488"  # of "path md5" of all files, a line each, in order of path

BY_HAND = (
    f"get https://github.com/Shenggan/BCCD_Dataset/archive/{COMMIT}.zip, and prepare the set from that file."
)

# Which of the 2,850 red cells inside their smear were drawn, one bit a cell: the draw cannot be repeated.
RED = (
    "gi^48H30yJFn|Fe1&T%j5CC8bz!GGYLWF?>gaJT80#X<N5LhMvK~bU_U;qq^000315RkwDMj!-"
    "<06?T55s+c2zyqWLKok)`05DKk02l}v93nBO1P}lc0RWN|0zyDCqKqgJSR@j<03eVR5&#S&KyUy82*Cgd92qshU;q$^G9U;X"
    "F^B*HegObEfs~0Z6aY|gnE(U;002&av9<&P0*V-"
    "dc|auu1pxv;3V2cwxY;5C0ze=k0ZM=n3L#WNBH|c?S11Ai93U_NfPn#kBB=!sR&a(a1U6v+8n6NkP$U`=g9Buvq98?pA+rG_"
    "AQ2%;07!`uW~0Og0RU_Y0cj}W03;0vSpd=l1PdX698DAf07A1s0c4ia2!Rp-"
    "kXR6evH$>=3J|~m0T2iT@B-LXB5c5bhad=m5aA|45hMZ-NmmdC1AqVsAOI8q0e}ch5pcjoBt#Gb1d#{;00"
)


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the square around every box that lies inside its smear, resized to 48 x 48 with Lanczos' filter.

    Raises
    ------
    CourseError
        If the files are not those of the commit.
    """
    pattern = re.compile(r"(?:^|/)(BCCD/(?:JPEGImages|Annotations)/(BloodImage_\d+)\.(jpg|xml))$")
    read: dict[str, bytes] = {}
    for path, content in members:
        match = pattern.search(path)
        if match:
            read[match[1]] = content
    if _digest(read) != MD5:
        raise lacks("BCCD cells", f"its {len(read)} pictures and boxes are not those of commit {COMMIT[:7]}")
    drawn = iter(np.unpackbits(np.frombuffer(base64.b85decode(RED), np.uint8)))
    images, labels = [], []
    for path in sorted(path for path in read if path.endswith(".xml")):
        smear = path.replace("Annotations", "JPEGImages").replace(".xml", ".jpg")
        for crop, label in _cells(smear, read[smear], read[path]):
            if CLASSES[label] != "RBC" or next(drawn):
                images.append(crop)
                labels.append(label)
    return {
        "images": np.stack(images),
        "labels": np.array(labels, np.uint8),
        "class_names": np.array(CLASSES),
    }


def _digest(read: dict[str, bytes]) -> str:
    lines = (
        f"{path} {hashlib.md5(read[path], usedforsecurity=False).hexdigest()}\n" for path in sorted(read)
    )
    return hashlib.md5("".join(lines).encode(), usedforsecurity=False).hexdigest()


def _cells(smear: str, content: bytes, boxes: bytes) -> list[tuple[np.ndarray, int]]:
    from PIL import Image

    full = picture(smear, content, "RGB")
    cells = []
    for cell in ElementTree.parse(BytesIO(boxes)).getroot().iter("object"):
        corners = [int(cell.findtext(f"bndbox/{name}", "0")) for name in ("xmin", "ymin", "xmax", "ymax")]
        width, height = corners[2] - corners[0], corners[3] - corners[1]
        across, down = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
        half = MARGIN * max(width, height) / 2
        edges = [round(edge) for edge in (across - half, down - half, across + half, down + half)]
        inside = min(edges) >= 0 and edges[2] <= full.width and edges[3] <= full.height
        if inside and width > 0 and height > 0:
            crop = full.crop((edges[0], edges[1], edges[2], edges[3]))
            resized = np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
            cells.append((resized, CLASSES.index(cell.findtext("name", ""))))
    return cells
