"""The atlas of systems: what is implemented, what was claimed, what came out, and where it is explained.

All of it is read when the book is built: the systems and their formulas from ``medgan_course/systems/``, the
verdicts from the results cards, the sections from the chapters, the papers from the bibliography. Nothing is
typed twice.
"""

import ast
import base64
import io
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import torch
from chapter_text import Piece, pieces
from PIL import Image
from pybtex.database import parse_file
from sphinx.application import Sphinx
from torch import nn

from medgan_course import data, pretrained, systems
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.experiments.card import ResultsCard, table
from medgan_course.experiments.claim import thresholds
from medgan_course.experiments.runner import titles
from medgan_course.nets.dcgan import Generator
from medgan_course.systems import conditional_gan, cyclegan, pix2pix, srgan, ssgan
from medgan_course.viz.figures import tile

# The word says it; sign and colour only help to find it.
VERDICTS = {
    "supported": "{bdg-success}`✓ supported`",
    "contradicted": "{bdg-danger}`✗ contradicted`",
    "not shown at this scale": "{bdg-muted}`– not shown at this scale`",
}


def page(root: Path) -> str:
    """Return the atlas in MyST: a table of all systems, then each with its claims."""
    found, papers = pieces(root), _keys(root / "book" / "references.bib")
    every = titles()
    keys = {name: papers.get(_paper(_docstring(name)), "") for name in every}
    cards = {name: [ResultsCard.read(path) for path in _paths(root, name)] for name in every}
    sections = {name: taught(name, title, keys[name], found) for name, title in every.items()}
    lines = [*_table(every, cards, sections), ""]
    for name, title in every.items():
        lines += _entry(name, title, cards[name], sections[name], keys[name])
    return "\n".join(lines)


def taught(name: str, title: str, key: str, found: list[Piece]) -> Piece | None:
    """Return the piece of a chapter where a system is explained, or None if it is in none.

    That is the first one below a heading that names it; else, in the first chapter that imports it, the first
    piece that cites its paper, ``key`` in the bibliography, or else that uses it or shows its file; else the
    first one that reads its card.
    """
    named = re.compile(rf"(?<![\w-]){re.escape(_short(title))}s?(?![\w-])", re.IGNORECASE)
    for piece in found:
        if named.search(piece.section):
            return piece
    imports = re.compile(rf"from medgan_course\.systems import (?:\w+, )*{name}\b")
    cites = re.compile(rf"\{{cite(:\w+)?\}}`[^`]*\b{key}\b" if key else "(?!)")
    uses = re.compile(rf"systems/{name}\.py|(?<![\w.]){name}\.(?!py\b)|\"{name}-")
    for chapter in dict.fromkeys(piece.chapter for piece in found):
        inside = [piece for piece in found if piece.chapter == chapter]
        first = next((n for n, piece in enumerate(inside) if piece.code and imports.search(piece.text)), None)
        if first is not None:
            after = inside[first + 1 :]
            by = (piece for sign in (cites, uses) for piece in after if sign.search(piece.text))
            return next(by, inside[first])
    card = re.compile(rf"\"{name}-\w+\.json\"")
    return next((piece for piece in found if piece.code and card.search(piece.text)), None)


def _generated(stem: str, images: torch.Tensor) -> tuple[torch.Tensor, str]:
    kept = pretrained.card(stem)["data"]["name"]
    return images, f"The first 16 images of the committed network, trained on {kept}, {images.shape[-1]} px"


def _dcgan(stem: str) -> tuple[torch.Tensor, str]:
    net = pretrained.load(stem, Generator)
    return _generated(stem, net(net.latent(16, seed=0)))


def _conditional_gan(stem: str) -> tuple[torch.Tensor, str]:
    net = pretrained.load(stem, conditional_gan.labelled_generator)
    classes = pretrained.card(stem)["config"]["n_classes"]
    return _generated(stem, net(net.latent(16, seed=0), torch.arange(16) % classes))


def _ssgan(stem: str) -> tuple[torch.Tensor, str]:
    net = pretrained.load(stem, ssgan.players)["G"]
    return _generated(stem, net(net.latent(16, seed=0)))


def _unseen(stem: str) -> tuple[data.Dataset, torch.Tensor, str]:
    """Return the test split of a network's data, the places of eight images in it, and what they are."""
    made = pretrained.card(stem)["data"]
    test = data.load(made["name"], size=made["size"], split="test")
    every = torch.linspace(0.1, 0.9, 8).mul(len(test)).long()
    computed = test.is_surrogate or test.truth is not None
    return test, every, f"{'computed' if computed else 'real'}, unseen in training"


def _translated(stem: str, net: nn.Module) -> tuple[torch.Tensor, str]:
    test, every, what = _unseen(stem)
    t1 = test.contrast("t1")[every]
    made = pix2pix.translated(net, t1)
    return torch.cat(
        [t1, made]
    ), f"T1 slices ({what}) and, below, the T2 that the committed network makes of each"


def _pix2pix(stem: str) -> tuple[torch.Tensor, str]:
    return _translated(stem, pretrained.load(stem, pix2pix.generator))


def _cyclegan(stem: str) -> tuple[torch.Tensor, str]:
    return _translated(stem, pretrained.load(stem, cyclegan.generators)["G_ab"])


def _srgan(stem: str) -> tuple[torch.Tensor, str]:
    net, factor = pretrained.load(stem, srgan.generators)["SRGAN"], pretrained.card(stem)["config"]["factor"]
    test, every, what = _unseen(stem)
    small = kspace_crop(test.images[every], factor)
    words = (
        f"X-rays ({what}) at 1/{factor} of their size and, below, what the committed network makes of each"
    )
    return torch.cat([zero_fill(small, factor), net(small)]), words


DRAWN = {
    "conditional_gan": _conditional_gan,
    "cyclegan": _cyclegan,
    "dcgan": _dcgan,
    "pix2pix": _pix2pix,
    "srgan": _srgan,
    "ssgan": _ssgan,
}


def picture(name: str) -> tuple[torch.Tensor, str] | None:
    """Return images of the system's committed network and what they show, or None if there are none.

    The images are ``(N, 1, H, W)`` in [-1, 1].
    """
    kept = next((path.stem for path in sorted(pretrained.folder().glob(f"{name}_*.json"))), None)
    if kept is None or name not in DRAWN:
        return None
    with torch.no_grad():
        return DRAWN[name](kept)


def _paths(root: Path, name: str) -> list[Path]:
    return sorted((root / "results").glob(f"{name}-*.json"))


def _short(title: str) -> str:
    """Return "DCGAN" of "S03, DCGAN (Radford, Metz & Chintala 2016)"."""
    return title.partition(", ")[2].partition(" (")[0]


def _heading(title: str) -> str:
    return f"{title.partition(',')[0]} {_short(title)}"


def _table(
    every: dict[str, str], cards: dict[str, list[ResultsCard]], sections: dict[str, Piece | None]
) -> Iterator[str]:
    yield ":::{list-table}\n:header-rows: 1\n:widths: 34 24 42\n"
    yield "* - system\n  - chapter\n  - claims"
    for name, title in every.items():
        verdicts = [claim["verdict"] for card in cards[name] for claim in card.claims]
        counted = ", ".join(f"{verdicts.count(each)} {each}" for each in VERDICTS if each in verdicts)
        piece = sections[name]
        chapter = f"[{piece.number}]({piece.address})" if piece else "–"
        yield f"* - {{ref}}`{_heading(title)} <system-{name}>`\n  - {chapter}\n  - {counted or 'no card yet'}"
    yield ":::"


def _entry(name: str, title: str, cards: list[ResultsCard], piece: Piece | None, key: str) -> Iterator[str]:
    module = f"{systems.__name__}.{name}"
    doc = _docstring(name)
    yield f"(system-{name})=\n## {_heading(title)}\n"
    paper = f"{{cite:t}}`{key}`" if key else title.partition("(")[2].rstrip(")")
    where = "Not in a chapter yet"
    if piece:
        where = f"Taught in [chapter {piece.number}, {piece.section}]({piece.address})"
    source = f'<a href="../_modules/{module.replace(".", "/")}.html">source</a>'
    yield f"{paper}. {where}. Code: {{py:mod}}`systems.{name} <{module}>` ({source}).\n"
    if drawn := picture(name):
        yield from _figure(*drawn)
    yield "````{dropdown} What is implemented"
    yield f"```{{eval-rst}}\n{_idea(doc)}\n```\n````\n"
    for card in cards:
        for claim, row in zip(card.claims, table([card]).rows, strict=True):
            _, metric, compared, outcome, margin, verdict, profile, data = row
            yield f"- {VERDICTS[verdict]} {claim['statement']}\\"
            numbers = outcome.replace("-", "−").replace(" ", "\N{NO-BREAK SPACE}")
            yield f"  {metric}, {compared}: **{numbers}**, claimed: {margin}. {profile}; {data}."
            yield f"  {outcome_drawn(claim)}\n"
    if not cards:
        yield f"No card yet: `medgan run {name}`.\n"


def outcome_drawn(claim: Mapping[str, Any]) -> str:
    """Return a claim's outcome as SVG: the side that was claimed, the interval, and the seeds.

    What it shows stands in words beside it.
    """
    margin, wrong = thresholds(claim["kind"], claim["better"], claim["margin"], claim["fails"])
    low, high = claim["interval"]
    ends = [margin, wrong, low, high, *claim["quantities"]]
    least, span = min(ends), max(ends) - min(ends) or 1

    def at(value: float) -> float:
        return round(10 + 220 * (value - least) / span, 1)

    start, end = (at(margin), 240) if claim["better"] == "higher" else (0, at(margin))
    beyond = f'<path class="wrong" d="M{at(wrong)} 0v20"/>' if wrong != margin else ""
    seeds = "".join(f'<circle cx="{at(each)}" cy="10" r="3"/>' for each in claim["quantities"])
    return (
        '<svg class="claim" viewBox="0 0 240 20" aria-hidden="true">'
        f'<rect x="{start}" width="{end - start:g}" height="20"/><path d="M{at(margin)} 0v20"/>{beyond}'
        f'<path class="interval" d="M{at(low)} 10H{at(high)}"/>{seeds}</svg>'
    )


def _figure(images: torch.Tensor, what: str) -> Iterator[str]:
    pixels = torch.from_numpy(tile(images, 8)).mul(255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", quality=80)
    encoded = base64.b64encode(file.getvalue()).decode()
    yield f'<img class="course-picture" alt="{escape(what)}." src="data:image/webp;base64,{encoded}">\n'
    yield f'<p class="course-caption">{escape(what)}, none selected.</p>\n'


def _idea(doc: str) -> str:
    """Return what follows the title of a docstring up to and including its first formula."""
    paragraphs = doc.split("\n\n")[1:]
    for n, text in enumerate(paragraphs):
        if text.startswith(".. "):
            return "\n\n".join(paragraphs[: n + text.startswith(".. math::")])
    return "\n\n".join(paragraphs)


def _docstring(name: str) -> str:
    code = (Path(systems.__file__).parent / f"{name}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(code)) or ""


def _paper(doc: str) -> str:
    """Return the plain title of a system's paper, the first words of its docstring in italics."""
    return _plain((re.search(r"\*([^*]+)\*", doc) or [""])[0])


def _keys(bibliography: Path) -> dict[str, str]:
    """Return the key of every paper by its plain title."""
    entries = parse_file(str(bibliography)).entries
    return {_plain(entry.fields["title"]): key for key, entry in entries.items()}


def _plain(text: str) -> str:
    """Return the letters and digits of ``text``, small, to compare titles in LaTeX with those in RST."""
    return re.sub(r"[\W_]+", " ", re.sub(r"[{}]|\\.", "", text)).lower().strip()


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "book/systems":
        source[0] += "\n" + page(Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx read the atlas where the page ends."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
