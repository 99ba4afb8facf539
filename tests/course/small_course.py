"""A course of two exercises, made from the real solutions."""

import json
from pathlib import Path

SOLUTIONS = Path(__file__).parents[2] / "solutions"
NAME = "04_small"
TAKEN = {"04_dcgan": ("penalty-stub", "penalty-check"), "05_conditional": ("patch-stub", "patch-check")}
IMPORTS = "import torch\nfrom medgan_course.exercises import check, hint"


def cell(id, source):
    common = {"id": id, "metadata": {}, "source": source}
    return common | {"cell_type": "code", "execution_count": None, "outputs": []}


def write_solution(root):
    """Write a solution with the exercises 4.3 and 5.2 below ``root``."""
    cells = [cell("imports", IMPORTS)]
    for name, ids in TAKEN.items():
        there = json.loads((SOLUTIONS / f"{name}.ipynb").read_text("utf-8"))["cells"]
        cells += [each for each in there if each["id"] in ids]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (root / "solutions").mkdir(parents=True)
    (root / "solutions" / f"{NAME}.ipynb").write_text(json.dumps(notebook), "utf-8")
