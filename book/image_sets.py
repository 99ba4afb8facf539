"""The pages of the image sets: a card and a contact sheet each, made when the book is built.

As a Sphinx extension it writes ``book/data/NAME.md`` and their pictures before Sphinx looks for its pages.
A set whose file is on this machine is shown in real images, any other in phantoms, with the notice that
belongs to them. A page is made anew when its card, its file or the code behind it has changed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path

import torch
from PIL import Image
from sphinx.application import Sphinx

from medgan_course import data
from medgan_course.data import catalogue, command, notices, surrogate
from medgan_course.data.catalogue import Card
from medgan_course.data.scale import GREY, Scale
from medgan_course.viz.figures import tile
from medgan_course.writing import replacing

SIDE = 64  # pixels; a set without it is shown at its next smaller or else its smallest side
COLUMNS = 8
SHARES = {"set": 29, "images": 13, "sides": 23, "licence": 20, "files": 15}  # of the table's width, per cent
QUALITY = 80  # of the WebP files: a picture of 8 by 2 grey images is then some 20 kB


@dataclass(frozen=True)
class Sheet:
    """A picture of images ``(N, 1 or 3, H, W)`` in [-1, 1] that have something in common."""

    title: str
    images: torch.Tensor
    scale: Scale


def write(folder: Path) -> None:
    """Write the page of every set into ``folder`` where it has changed, and the table of all of them."""
    for old in folder.glob("*.md"):
        if old.stem not in catalogue.names():
            old.unlink()
    for card in map(catalogue.card, catalogue.names()):
        page = folder / f"{card.name}.md"
        mark = f"% {_fingerprint(card)}\n"
        if not page.is_file() or not page.read_text("utf-8").startswith(mark):
            text = mark + "\n".join(_page(card, folder))
            with replacing(page) as partial:
                partial.write_text(text, "utf-8")
    with replacing(folder / "table.txt") as partial:
        partial.write_text("\n".join(_table()), "utf-8")


def sheets(card: Card) -> tuple[list[Sheet], str]:
    """Return the pictures of a set, and the sentence that says where their images come from.

    A set of several contrasts has a picture of each, of the same slices; any other one of each class.
    """
    several = len(card.contrasts) > 1
    classes = 1 if several or card.multi_label else len(card.class_names)
    each = COLUMNS if several or classes > 4 else 2 * COLUMNS
    if shows_real_images(card):
        # The smallest split that has enough of every class, or else the largest there is.
        by_size = sorted(card.counts, key=card.images.__getitem__)
        split = next((part for part in by_size if min(card.counts[part]) >= each), by_size[-1])
        real = data.load(card.name, size=_side(card), split=split, download=False)
        labels = real.labels if classes > 1 else torch.zeros(len(real), dtype=torch.long)
        groups = [real.images[_evenly((labels == label).nonzero()[:, 0], each)] for label in range(classes)]
        scales, source = real.scales, real.source
    else:
        if card.multi_label:
            labels, first = surrogate.population(card, min(card.images, key=card.images.__getitem__), each)
        else:
            labels = torch.arange(len(card.class_names)).repeat(each)[: each * classes].sort().values
            first = 0
        images, scales = _phantoms(card, labels, first)
        groups, source = list(images.split(each)), "Computed phantoms."
    if card.dim == 3:  # the slice in the middle
        groups = [group[:, :, group.shape[2] // 2] for group in groups]
    if several:
        parts = groups[0].chunk(len(card.contrasts), dim=1)
        titles = [name.upper() for name in card.contrasts]
        scales = scales if len(scales) > 1 else scales * len(parts)
        return [Sheet(*each) for each in zip(titles, parts, scales, strict=True)], source
    titles = ["any labels"] if card.multi_label else list(card.class_names)
    return [Sheet(title, group, scales[0]) for title, group in zip(titles, groups, strict=True)], source


def shows_real_images(card: Card) -> bool:
    """Return whether a page may show the set's own images: a file is here, and the licence lets us."""
    here = bool(card.files) and command.locate(card.file(_side(card))) is not None
    return here and "NC" not in card.licence


def _side(card: Card) -> int:
    return max((side for side in card.files if side <= SIDE), default=min(card.files, default=SIDE))


def _phantoms(card: Card, labels: torch.Tensor, first: int) -> tuple[torch.Tensor, tuple[Scale, ...]]:
    size = _side(card) if card.dim == 2 else min(card.files, default=SIDE // 2)  # volumes take their time
    if not card.files:
        family = import_module(f"medgan_course.data.phantom.{card.phantom}")
        truth = family.phantoms(
            range(first, first + len(labels)),
            size=size,
            seed=surrogate.SEED + 1,
            labels=labels.tolist(),
            contrasts=card.contrasts,
            **card.knobs,
        )
        images = torch.cat([truth.images[name] for name in card.contrasts], dim=1)
        return images, tuple(truth.scales[name] for name in card.contrasts)
    pixels = surrogate.render(card, size, labels, first=first).pixels
    images = pixels[:, None] if pixels.ndim == 1 + card.dim else pixels.movedim(-1, 1)
    stored = GREY if pixels.dtype == torch.uint8 else card.scale
    return stored.normalised(images.float()), (card.scale,)


def _evenly(positions: torch.Tensor, n: int) -> torch.Tensor:
    """Return ``n`` of the positions, or all, at equal distances: not selected, and of different subjects."""
    return positions[torch.linspace(0, len(positions) - 1, min(n, len(positions))).round().long()]


def _picture(sheet: Sheet, path: Path) -> Image.Image:
    pixels = torch.from_numpy(tile(sheet.images, COLUMNS)).mul(255).round().byte().numpy()
    picture = Image.fromarray(pixels)
    enlarged = max(1, SIDE // sheet.images.shape[-1])
    picture = picture.resize((picture.width * enlarged, picture.height * enlarged), Image.Resampling.NEAREST)
    with replacing(path) as partial:
        picture.save(partial, quality=QUALITY)
    return picture


def _page(card: Card, folder: Path) -> Iterator[str]:
    shown, source = sheets(card)
    real = shows_real_images(card)
    yield f"# {card.title}\n"
    yield f"{card.content[0].upper()}{card.content[1:]}: {card.task}.\n"
    if card.files and not real:
        text = (
            "The pictures on this page are computed phantoms, not patients' images: they show what takes the "
            f"place of {card.title} where its files are absent. The card describes the real set."
        )
        head = f'<div class="surrogate-data" role="alert" style="{notices.LOUD}">'
        yield f"{head}<strong>SURROGATE DATA</strong> {escape(text)}</div>\n"
    yield "## Images\n"
    kind = "images" if real else "phantoms"
    for number, sheet in enumerate(shown):
        name = f"{card.name}-{number}.webp"
        _picture(sheet, folder / "images" / name)
        what = f"{len(sheet.images)} {kind} of {card.title}, {COLUMNS} in a row: {sheet.title}"
        yield f"```{{image}} images/{name}\n:alt: {what}.\n:class: course-picture\n```\n"
        low, high, unit = sheet.scale.low, sheet.scale.high, sheet.scale.unit
        window = "" if sheet.images.shape[1] == 3 else f": window {low:g} to {high:g} {unit}"
        yield f'<p class="course-caption">{escape(sheet.title)}{window}</p>\n'
    about = [
        "The slice in the middle of each." if card.dim == 3 else "",
        "Taken at equal distances through the file, none selected." if real else "",
        escape(source),
        escape(f"{card.title}, {card.licence}: {card.citation[-1]}") if real else "",
    ]
    yield f"<p>{' '.join(filter(None, about))}</p>\n"
    for title, content in command.rows(card).items():
        if isinstance(content, str):
            yield f"<p><strong>{title}.</strong> {_linked(content)}</p>\n"
        else:
            items = "".join(f"<li>{_linked(item)}</li>" for item in content)
            # Addresses and checksums are longer than a phone's line.
            yield f'## {title}\n\n<ul style="overflow-wrap:anywhere">{items}</ul>\n'


def _linked(text: str) -> str:
    return re.sub(r"https?://[^\s,;]+", r'<a href="\g<0>">\g<0></a>', escape(text))


def _table() -> Iterator[str]:
    """Yield an HTML table: in one of Markdown, narrow columns break their words."""
    head = "".join(f'<th scope="col">{title}</th>' for title in SHARES)
    widths = "".join(f'<col style="width:{share}%">' for share in SHARES.values())
    # Wider than a phone's screen: it is pushed sideways by itself, not the page.
    yield '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="The image sets">'
    yield '<table class="table" style="min-width:36rem">'
    yield f"<colgroup>{widths}</colgroup><thead><tr>{head}</tr></thead><tbody>"
    for card in map(catalogue.card, catalogue.names()):
        sides = ", ".join(map(str, card.files)) or "any"
        cells = (
            f"{sum(card.images.values()):,}",
            sides + (" (3\N{NON-BREAKING HYPHEN}D)" if card.dim == 3 else ""),
            card.licence.partition(" (")[0],
            "computed" if not card.files else "fetched" if command.fetchable(card) else "by hand",
        )
        name = f'<a href="data/{card.name}.html">{escape(card.title)}</a><br>{escape(card.content)}'
        rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row" style="font-weight:normal">{name}</th>{rest}</tr>'
    yield "</tbody></table></div>"


def _fingerprint(card: Card) -> str:
    """Return the hash of what the page of ``card`` depends on; of image files their size and time."""
    library = Path(data.__file__).parent
    digest = hashlib.sha256(repr(card).encode())
    for path in (Path(__file__), *sorted(library.glob("*.py"))):
        digest.update(path.read_bytes())
    if not shows_real_images(card):
        for path in sorted(library.glob("phantom/*.py")):
            digest.update(path.read_bytes())
    for file in card.files.values():
        found = command.locate(file)
        digest.update(repr(found and (found.stat().st_size, found.stat().st_mtime_ns)).encode())
    return digest.hexdigest()


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx write the pages before it reads the table of contents (which happens at priority 900)."""
    app.connect("config-inited", lambda app, config: write(Path(app.srcdir) / "book" / "data"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
