"""The cards of the image sets, one TOML file each in ``cards/``: adding a set is adding a card."""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape
from pathlib import Path

from medgan_course.errors import CourseError

FOLDER = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class File:
    """The official file of one image size: its name, MD5 checksum and address."""

    name: str
    md5: str
    url: str


@dataclass(frozen=True)
class Card:
    """What is known about an image set.

    Attributes
    ----------
    name, title : str
        What :func:`medgan_course.data.load` takes, and what a text calls the set.
    modality, organ, task : str
        What the images show, and what the labels are for.
    class_names : tuple of str
        Name of label 0, 1, ...
    channels : int
        1 for grey, 3 for colour.
    counts : dict of str to tuple of int
        Images of each class in ``"train"``, ``"val"`` and ``"test"``.
    files : dict of int to File
        The official file of every image side in pixels.
    phantom : str
        Module of :mod:`medgan_course.data.phantom` that computes the surrogate.
    licence, source, homepage : str
        Terms, origin and address of the set.
    citation, faults : tuple of str
        Papers to cite; known defects of the set.
    intended, unsuitable : str
        What the set is good for, and what it must not be used for.
    """

    name: str
    title: str
    modality: str
    organ: str
    task: str
    class_names: tuple[str, ...]
    channels: int
    counts: dict[str, tuple[int, ...]]
    files: dict[int, File]
    phantom: str
    licence: str
    source: str
    homepage: str
    citation: tuple[str, ...]
    faults: tuple[str, ...]
    intended: str
    unsuitable: str

    @property
    def content(self) -> str:
        """What the images show, such as "chest X-ray"."""
        return f"{self.organ} {self.modality}"

    def file(self, size: int) -> File:
        """Return the official file of images ``size`` pixels wide."""
        if size not in self.files:
            sizes = " or ".join(map(str, self.files))
            raise CourseError(f"{self.title} does not come with size={size!r}: choose size {sizes}.")
        return self.files[size]

    def count(self, split: str) -> tuple[int, ...]:
        """Return the images of each class in ``split``."""
        if split not in self.counts:
            raise CourseError(
                f"{self.title} has no split {split!r}: {_did_you_mean(split, list(self.counts))}"
            )
        return self.counts[split]

    def _repr_html_(self) -> str:
        splits = ", ".join(f"{split} {sum(count):,}" for split, count in self.counts.items())
        rows = {
            "Images": f"{self.content}, {' or '.join(map(str, self.files))} px; {splits}",
            "Labels": ", ".join(f"{label} {name}" for label, name in enumerate(self.class_names)),
            "Source": self.source,
            "Licence": self.licence,
            "Intended use": self.intended,
            "Unsuitable": self.unsuitable,
            "Known faults": list(self.faults),
            "Cite": list(self.citation),
        }
        return f"<strong>{escape(self.title)}</strong>{table(rows)}"


def names() -> list[str]:
    """Return the names of all sets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def card(name: str) -> Card:
    """Return the card of set ``name``.

    Raises
    ------
    CourseError
        If there is no such set; the nearest name is suggested.
    """
    if name not in names():
        raise CourseError(f"There is no image set {name!r}: {_did_you_mean(name, names())}")
    with open(FOLDER / f"{name}.toml", "rb") as file:
        fields = tomllib.load(file)
    for key in ("class_names", "citation", "faults"):
        fields[key] = tuple(fields[key])
    fields["counts"] = {split: tuple(count) for split, count in fields["counts"].items()}
    fields["files"] = {int(size): File(**entry) for size, entry in fields["files"].items()}
    return Card(name=name, **fields)


def _did_you_mean(wrong: object, known: list[str]) -> str:
    near = get_close_matches(str(wrong).lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(map(repr, known))}."


def table(rows: dict[str, str | list[str]]) -> str:
    """Return an HTML table of two columns; a list becomes a bulleted one."""

    def cell(value: str | list[str]) -> str:
        if isinstance(value, str):
            return escape(value)
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in value)}</ul>"

    body = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{cell(value)}</td></tr>' for key, value in rows.items()
    )
    return f"<table>{body}</table>"
