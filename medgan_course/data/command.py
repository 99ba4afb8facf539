"""What ``medgan data`` does: list the sets, show their cards, fetch, prepare and verify their files."""

import hashlib
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from medgan_course import data
from medgan_course.data import catalogue, duplicates, files, layouts, originals
from medgan_course.data.catalogue import Card, File
from medgan_course.data.files import locate
from medgan_course.errors import CourseError, did_you_mean

MOST_CORRELATED = 20_000  # images of a set that are correlated with each other to find near-duplicates

Say = Callable[[str], None]


def listing() -> Iterator[str]:
    """Yield a line for every set: name, what it shows, images, sizes, licence, and how its files are had."""
    rows = [("name", "shows", "images", "sizes", "licence", "files")]
    for card in map(catalogue.card, catalogue.names()):
        images = f"{sum(card.images.values()):,}"
        sizes = " ".join(map(str, card.files)) or "any"
        sizes += " (3-D)" if card.dim == 3 else ""
        # What is said about the licence in brackets is on the card.
        licence = card.licence.partition(" (")[0]
        rows.append((card.name, card.content, images, sizes, licence, availability(card)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def availability(card: Card) -> str:
    """Return how the set's images are had: "computed", "here", "to fetch", "by hand", or a mixture.

    "damaged" if a file is there that cannot be read.
    """
    if not card.files:
        return "computed"
    distinct = list(dict.fromkeys(card.files.values()))
    try:
        here = sum(locate(file) is not None for file in distinct)
    except files.UnreadableError:
        return "damaged"
    otherwise = "to fetch" if fetchable(card) else "by hand"
    if here in (0, len(distinct)):
        return "here" if here else otherwise
    return f"{here} of {len(distinct)} here, the others {otherwise}"


def fetchable(card: Card) -> bool:
    """Return whether the set's files come by themselves, from their publisher or made from his originals."""
    return any(file.url for file in card.files.values()) or card.name in originals.AUTOMATIC


def description(name: str) -> Iterator[str]:
    """Yield the card of set ``name``, wrapped to 100 columns."""
    card = catalogue.card(name)
    yield card.title
    for title, content in rows(card).items():
        for index, item in enumerate([content] if isinstance(content, str) else content):
            lead = f"  {title if index == 0 else '':13} "
            yield textwrap.fill(item, 100, initial_indent=lead, subsequent_indent=" " * 16)


def rows(card: Card) -> dict[str, str | list[str]]:
    """Return what a card says, title by title, and where its files are from."""
    identities = [f"{file.name}: {_identity(card, file)}" for file in dict.fromkeys(card.files.values())]
    return card.rows | {"Files": identities or "none, computed"}


def wanted_by(chapters: Iterable[str]) -> list[tuple[str, int]]:
    """Return the sets and sizes that chapters load, from the metadata ``medgan.data`` of their notebooks.

    Parameters
    ----------
    chapters : iterable of str
        Numbers or names: ``"04"``, ``"4"``, ``"dcgan"`` or ``"04_dcgan"``. Their notebooks lie in
        ``chapters/`` of the current folder, or beside the package in a checkout.

    Raises
    ------
    CourseError
        If there is no such chapter, or its notebook cannot be read.
    """
    here, checkout = Path("chapters"), Path(__file__).parents[2] / "chapters"
    folder = here if here.is_dir() else checkout
    known = {path.stem: path for path in sorted(folder.glob("[0-9]*.ipynb"))}
    if not known:
        raise CourseError("There is no folder chapters/ here: change to the folder of the course.")
    wanted: dict[tuple[str, int], None] = {}
    for chapter in chapters:
        for stem, path in known.items():
            number, _, title = stem.partition("_")
            if chapter in (stem, number, number.lstrip("0"), title):
                wanted |= dict.fromkeys(_loaded_by(path))
                break
        else:
            raise CourseError(f"There is no chapter {chapter!r}: {did_you_mean(chapter, known)}")
    return list(wanted)


def fetch(wanted: Iterable[tuple[str, int | None]], say: Say) -> bool:
    """Bring the files of sets here, each one complete or not at all, and say at the end what came.

    Parameters
    ----------
    wanted : iterable of (str, int or None)
        Sets and image sides in pixels; None is the smallest.
    say : callable
        Takes the lines of the report.

    Returns
    -------
    bool
        Whether everything is here now.

    Raises
    ------
    CourseError
        Before anything is fetched, if there is no such set or size, or MEDGAN_DATA is no readable folder.
    """
    chosen: dict[File, Card] = {}
    for name, size in wanted:
        card = catalogue.card(name)
        if not card.files:
            say(f"{name} is computed: it needs no file.")
            continue
        chosen[card.file(min(card.files) if size is None else size)] = card
    *shared, (own, _) = files.roots()
    missing, unreachable, came = 0, False, False
    for file, card in chosen.items():
        try:
            path = locate(file)
            if path is not None:
                say(f"Here already  {file.name}, {_in_words(path.stat().st_size)}, {path.parent}")
                continue
            say(f"Fetching      {file.name}")
            path = originals.bring(card, file).path
            came = True
            say(f"Came          {file.name}, {_in_words(path.stat().st_size)}, {path.parent}")
        except (CourseError, files.UnreachableError) as error:
            missing += 1
            unreachable |= isinstance(error, files.UnreachableError)
            say(f"Missing       {file.name}: {f'{error}'.rstrip('.')}.")
        except KeyboardInterrupt:
            say("Stopped. Give the same command again to go on where the transfer broke off.")
            raise SystemExit(130) from None
    if chosen:
        say(f"{len(chosen) - missing} of {len(chosen)} files are here.")
    if unreachable:
        say(
            "Run the command again, which takes up a transfer that broke off, or bring what is missing to "
            f"{own} by other means: medgan data show NAME says from where."
        )
    if came and shared:
        root = shared[0][0]
        say(f"What came lies in {own}, not in MEDGAN_DATA: for other machines copy it to {root}.")
    return not missing


def prepare(name: str, source: Path | None) -> Path:
    """Make the file of set ``name`` from the archive or folder of its original, and return its path.

    Raises
    ------
    CourseError
        Without ``source``, if the original must be got by hand or cannot be downloaded now; else as
        :func:`medgan_course.data.originals.prepare`.
    """
    card = catalogue.card(name)
    if not card.files:
        raise CourseError(f"{card.title} is computed: it needs no file.")
    if fetchable(card) and card.name not in originals.AUTOMATIC:
        raise CourseError(f"{card.title} is published as the course reads it: medgan data fetch {name}.")
    try:
        return originals.prepare(name, source, files.own_folder())
    except files.UnreachableError as error:
        raise CourseError(
            f"The original of {card.title} cannot be downloaded, because {error}: try again, or get it by "
            f"other means and give it with --from."
        ) from error


def verify(names: Iterable[str], say: Say) -> bool:
    """Compare the files that are here with their checksums and their cards.

    Of sets that are asked for by name the images that occur twice are counted too.

    Parameters
    ----------
    names : iterable of str
        Sets; one of which no file is here fails. Without names, all sets.
    say : callable
        Takes the lines of the report.

    Returns
    -------
    bool
        Whether no file is damaged and no set that was asked for is absent.
    """
    asked = list(names)
    checked = damaged = absent = 0
    for card in map(catalogue.card, asked or catalogue.names()):
        before, good = checked, []
        for file, size in {file: size for size, file in card.files.items()}.items():
            try:
                found = files.find(file)
            except files.UnreadableError as error:
                checked, damaged = checked + 1, damaged + 1
                say(f"damaged      {error}")
                continue
            if found is None:
                continue
            checked += 1
            md5 = hashlib.md5(found.content, usedforsecurity=False).hexdigest()
            kind = "no checksum" if file.md5 is None else "official" if file.md5 == md5 else "rebuilt"
            try:
                for split in card.counts:
                    layouts.read(found, card, size, split)
                if card.prepared:
                    same = layouts.digest(found, card, size) == card.prepared
                    kind = ("as prepared" if card.prepared_confirmed else "known copy") if same else "rebuilt"
                say(f"{kind:12} {file.name}, MD5 {md5}")
                good.append(size)
            except CourseError as error:
                damaged += 1
                say(f"damaged      {error}")
        if asked and good:
            say(f"duplicates   {_duplicates(card, min(good))}")
        if asked and not card.files:
            say(f"computed     {card.name} has no file.")
        elif asked and checked == before:
            absent += 1
            say(f"absent       No file of {card.name} is here.")
    say(f"{checked} files checked, {damaged} damaged.")
    return not damaged and not absent


def where() -> Iterator[str]:
    """Yield the data roots, and under each the files of the sets that are taken from there."""
    lying: dict[Path, list[tuple[str, Path]]] = {root: [] for root, _ in files.roots()}
    unreadable = []
    if len(lying) == 1:
        yield "MEDGAN_DATA is not set."
    for name in catalogue.names():
        for file in dict.fromkeys(catalogue.card(name).files.values()):
            try:
                path = locate(file)
            except files.UnreadableError as error:
                unreadable.append(f"damaged: {error}")
                continue
            if path is not None:
                lying[next(root for root in lying if path.parent in files.folders(root))].append((name, path))
    for root, found in lying.items():
        total = sum(path.stat().st_size for _, path in found)
        yield f"{root}: {len(found)} files, {_in_words(total)}" if found else f"{root}: nothing"
        for name, path in found:
            yield f"  {name:16} {_in_words(path.stat().st_size):>9}  {path.relative_to(root)}"
    yield from unreadable


def _loaded_by(notebook: Path) -> list[tuple[str, int]]:
    try:
        pairs = json.loads(notebook.read_text("utf-8"))["metadata"]["medgan"]["data"]
        return [(str(name), int(size)) for name, size in pairs]
    except KeyError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{notebook} is no notebook, or its medgan.data no list of sets and sizes."
        ) from error


def _duplicates(card: Card, size: int) -> str:
    parts = [data.load(card.name, size=size, split=split, download=False) for split in card.counts]
    # Correlating all pairs of more than that takes minutes.
    threshold = 0.99 if sum(map(len, parts)) <= MOST_CORRELATED else 2
    return f"{duplicates.find(*parts, threshold=threshold).sentence[:-1]} (at size {size})."


def _identity(card: Card, file: File) -> str:
    if file.url is not None:
        return f"MD5 {file.md5}, {file.url}"
    made = "made by the course from the original"
    if card.name in originals.AUTOMATIC:
        made += ", which it downloads"
    else:
        made += f": {originals.BY_HAND[card.name].rstrip('.')}"
    if not card.prepared:
        return f"{made}; no checksum"
    if card.prepared_confirmed:
        return f"{made}; MD5 of its arrays {card.prepared}"
    return (
        f"{made}; MD5 of the arrays {card.prepared} in the copy that the course was written with, which "
        "others made from the original: that the course makes the same is to be confirmed"
    )


def _in_words(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
