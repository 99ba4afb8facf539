"""CHASE_DB1: photographs as JPEG files, and the vessels of two experts as PNG files beside them."""

import re

import numpy as np

from medgan_course.data.originals.archive import Members, lacks, picture

SIDE = 384

BY_HAND = "get CHASEDB1.zip from https://researchdata.kingston.ac.uk/96/, and prepare the set from that file."


def arrays(members: Members) -> dict[str, np.ndarray]:
    """Return the middle square of each photograph at 384 x 384; a pixel is vessel if half of it is."""
    from PIL import Image

    pattern = re.compile(r"(?:^|/)(Image_\d\d[LR])(?:\.jpg|_(1st|2nd)HO\.png)$")
    parts: dict[str, dict[str, np.ndarray]] = {"images": {}, "vessels_1st": {}, "vessels_2nd": {}}
    for path, content in members:
        match = pattern.search(path)
        if not match:
            continue
        full = picture(path, content, "L" if match[2] else "RGB")
        edge = min(full.size)
        left, top = (full.width - edge) // 2, (full.height - edge) // 2
        square = full.crop((left, top, left + edge, top + edge))
        if match[2]:
            drawn = square.point(lambda level: 255 if level > 127 else 0)
            vessel = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BOX)) >= 128
            parts[f"vessels_{match[2]}"][match[1]] = vessel.astype(np.uint8)
        else:
            parts["images"][match[1]] = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    names = sorted(parts["images"])
    if not names or any(sorted(part) != names for part in parts.values()):
        counts = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
        raise lacks("CHASE_DB1", f"it has {counts}")
    return {name: np.stack([part[eye] for eye in names]) for name, part in parts.items()} | {
        "names": np.array(names)
    }
