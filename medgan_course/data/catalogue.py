"""The cards of the image sets, one TOML file each in ``cards/``: adding a set is adding a card.

What several cards have in common lies once in a file whose name begins with ``_``, which they name as
``shares``: its entries hold where a card has none of its own, and its faults and citations come after the
card's.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from medgan_course.data.scale import GREY, Scale
from medgan_course.errors import CourseError, did_you_mean

FOLDER = Path(__file__).parent / "cards"

# What the eighteen sets of MedMNIST have in common.
MEDMNIST_HOMEPAGE = "https://medmnist.com"
MEDMNIST_URL = "https://zenodo.org/records/10519652/files/{name}?download=1"
MEDMNIST_PAPER = (
    "Yang, Shi, Wei, Liu, Zhao, Ke, Pfister & Ni (2023). MedMNIST v2: a large-scale lightweight benchmark "
    "for 2D and 3D biomedical image classification. Scientific Data 10, 41. doi:10.1038/s41597-022-01721-8"
)


@dataclass(frozen=True)
class File:
    """The file that images of one size come from.

    Attributes
    ----------
    name : str
        Its name.
    side : int
        Side in pixels of the images in it, made square; smaller ones are averaged from these.
    md5, url : str or None
        Of the official file; None for a set that is not published as such a file.
    """

    name: str
    side: int
    md5: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Card:
    """What is known about an image set.

    Attributes
    ----------
    name : str
        What :func:`medgan_course.data.load` takes.
    title : str
        What a text calls the set.
    modality, organ : str
        What the images show.
    task : str
        What the labels are for.
    class_names : tuple of str
        Name of label 0, 1, ...
    dim : int
        2 for images, 3 for volumes.
    channels : int
        1 for grey, 3 for colour, or the number of ``contrasts``.
    contrasts : tuple of str
        What the channels are, where they are different images of the same slice: ``"t1"``, ``"t2"``, ...
    counts : dict of str to tuple of int
        Images of each class in ``"train"``, ``"val"`` and ``"test"``; some sets have fewer splits.
    images : dict of str to int
        Images in each split: the sum of the counts, unless an image may have several labels.
    multi_label : bool
        Whether every class is a question of its own, to be answered for each image.
    balance_confirmed : bool
        Whether the counts are known from the files or a published table; else only their sum is.
    subjects : dict of str to tuple of int
        The subjects of each split, where the file numbers them.
    files : dict of int to File
        The file for every image side in pixels; empty if the set is computed.
    prepared : str
        MD5 of the arrays of the file that is made from the original, see
        :func:`medgan_course.data.layouts.digest`; "" where that is not known.
    prepared_confirmed : bool
        Whether the course itself made that file; else it is of another maker, and that the course makes the
        same is to be confirmed.
    scale : Scale
        What -1 and 1 of the loaded images stand for. A computed set has one a contrast, with its truth.
    phantom : str
        Module of ``medgan_course.data.phantom`` that computes the surrogate, or the set itself; the name of a
        function may follow after a dot.
    knobs : dict of str to value
        What that function is given besides labels, size and seed.
    licence : str
        Terms of the set.
    source : str
        Where the images come from.
    homepage : str
        Address of the set.
    citation : tuple of str
        Papers to cite.
    faults : tuple of str
        Known defects of the set.
    intended : str
        What the set is good for.
    unsuitable : str
        What it must not be used for.
    """

    name: str
    title: str
    modality: str
    organ: str
    task: str
    class_names: tuple[str, ...]
    channels: int
    counts: dict[str, tuple[int, ...]]
    images: dict[str, int]
    files: dict[int, File]
    phantom: str
    licence: str
    source: str
    homepage: str
    citation: tuple[str, ...]
    faults: tuple[str, ...]
    intended: str
    unsuitable: str
    contrasts: tuple[str, ...] = ()
    subjects: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dim: int = 2
    multi_label: bool = False
    balance_confirmed: bool = True
    prepared: str = ""
    prepared_confirmed: bool = True
    scale: Scale = GREY
    knobs: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What the images show, such as "chest X-ray"."""
        return f"{self.organ} {self.modality}"

    @property
    def restrictions(self) -> str:
        """What the licence forbids or demands beyond naming the source; "" if nothing."""
        rules = {
            "NC": "no commercial use",
            "SA": "what is derived from the images must carry the same licence",
            "ND": "nothing derived from the images may be passed on",
        }
        parts = self.licence.replace("-", " ").split()
        return "; ".join(rule for part, rule in rules.items() if part in parts)

    def file(self, size: int) -> File:
        """Return the file of images ``size`` pixels wide."""
        if size not in self.files:
            sizes = " or ".join(map(str, self.files))
            raise CourseError(f"{self.title} does not come with size={size!r}: choose size {sizes}.")
        return self.files[size]

    def count(self, split: str) -> tuple[int, ...]:
        """Return the images of each class in ``split``."""
        if split not in self.counts:
            raise CourseError(
                f"{self.title} has no split {split!r}: {did_you_mean(split, list(self.counts))}"
            )
        return self.counts[split]

    def sides(self, size: int | str) -> str:
        """Return how a text gives the size of an image or a volume."""
        return " × ".join([str(size)] * self.dim) + (" px" if self.dim == 2 else " voxels")

    @property
    def rows(self) -> dict[str, str | list[str]]:
        """What the card says, under its titles, as a sentence or several."""
        splits = ", ".join(f"{split} {n:,}" for split, n in self.images.items())
        sizes = " or ".join(map(self.sides, self.files)) or f"{self.sides('n')} for any n"
        labels = ", ".join(f"{label} {name}" for label, name in enumerate(self.class_names))
        several = "; any number of them" if self.multi_label else ""
        unsure = "" if self.balance_confirmed else "; class balance to be confirmed"
        return {
            "Name": self.name,
            "Images": f"{self.content}, {sizes}; {splits}",
            "Labels": labels + several + unsure,
            "Source": self.source,
            "Licence": self.licence,
            "Address": self.homepage,
            "Intended use": self.intended,
            "Unsuitable": self.unsuitable,
            "Known faults": list(self.faults),
            "Cite": list(self.citation),
        }

    def _repr_html_(self) -> str:
        return f"<strong>{escape(self.title)}</strong>{table(self.rows)}"


def names() -> list[str]:
    """Return the names of all sets."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.toml"))


def card(name: str) -> Card:
    """Return the card of set ``name``.

    Raises
    ------
    CourseError
        If there is no such set; the nearest name is suggested.
    """
    if name not in names():
        raise CourseError(f"There is no image set {name!r}: {did_you_mean(name, names())}")
    fields = _fields(name)
    for key in ("class_names", "citation", "faults", "contrasts"):
        fields[key] = tuple(fields.get(key, ()))
    for key in ("counts", "subjects"):
        fields[key] = {split: tuple(numbers) for split, numbers in fields.get(key, {}).items()}
    fields["images"] = fields.get("images") or {
        split: sum(count) for split, count in fields["counts"].items()
    }
    fields["files"] = {
        int(size): File(**({"side": int(size)} | entry)) for size, entry in fields.get("files", {}).items()
    }
    if "scale" in fields:
        fields["scale"] = Scale(**fields["scale"])
    if "medmnist" in fields:
        fields["homepage"] = MEDMNIST_HOMEPAGE
        fields["citation"] = (MEDMNIST_PAPER, *fields["citation"])
        for side, md5 in fields.pop("medmnist").items():
            own = f"{name}.npz" if side == "28" else f"{name}_{side}.npz"
            fields["files"][int(side)] = File(own, int(side), md5, MEDMNIST_URL.format(name=own))
    return Card(name=name, **fields)


def _fields(name: str) -> dict[str, Any]:
    with open(FOLDER / f"{name}.toml", "rb") as file:
        own = tomllib.load(file)
    if "shares" not in own:
        return own
    common = _fields(own.pop("shares"))
    lists = {key: [*own.get(key, []), *common.get(key, [])] for key in ("faults", "citation")}
    return common | own | lists


def table(rows: Mapping[str, str | list[str]]) -> str:
    """Return an HTML table of two columns; a list becomes a bulleted one."""

    def cell(value: str | list[str]) -> str:
        if isinstance(value, str):
            return escape(value)
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in value)}</ul>"

    body = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{cell(value)}</td></tr>' for key, value in rows.items()
    )
    return f"<table>{body}</table>"
