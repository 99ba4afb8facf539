"""``medgan data``: what is here, what came, and what did not, in sentences and exit statuses."""

import ast
import functools
import json
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

from medgan_course import budgets
from medgan_course.cli import main
from medgan_course.data import catalogue, originals
from medgan_course.errors import CourseError

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("*.ipynb"))
pytestmark = pytest.mark.usefixtures("no_network", "empty_home")


def medgan(*arguments):
    result = CliRunner().invoke(main, ["data", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def served(tiny, tmp_path):
    """Serve a folder that holds the tiny set's official file, and return the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "tinymnist.npz").write_bytes(tiny.official)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    tiny.describe(url=f"http://127.0.0.1:{server.server_port}/tinymnist.npz")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home_file(empty_home):
    return empty_home / ".medmnist" / "tinymnist.npz"


@pytest.fixture
def made(tiny, monkeypatch):
    """Let the tiny set be one that the course makes from an original; record the calls."""
    card = catalogue.FOLDER / "tinymnist.toml"
    lines = card.read_text().splitlines()
    card.write_text("\n".join(line for line in lines if not line.startswith(("md5", "url"))))
    calls = []

    def prepare(name, source, into):
        if source is None and name not in originals.AUTOMATIC:
            raise CourseError("Ask its author.")
        calls.append((name, source, into))
        tiny.write(into / "tinymnist.npz")
        return into / "tinymnist.npz"

    monkeypatch.setattr(originals, "prepare", prepare)
    monkeypatch.setitem(originals.BY_HAND, "tinymnist", "ask its author.")
    return calls


def test_list_says_what_is_here(tiny, home_file):
    title, line = medgan("list").output.splitlines()
    assert title.split() == ["name", "shows", "images", "sizes", "licence", "files"]
    assert line.split() == ["tinymnist", "chest", "X-ray", "13", "28", "CC0", "to", "fetch"]
    tiny.write(home_file)
    assert medgan("list").output.splitlines()[1].endswith("  here")
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text() + '[files.64]\nname = "tinymnist_64.npz"\n')
    assert medgan("list").output.splitlines()[1].endswith("28 64  CC0      1 of 2 here, the others to fetch")


def test_list_knows_computed_sets_and_those_to_be_had_by_hand(made):
    assert medgan("list").output.splitlines()[1].endswith("  by hand")
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text().partition("[files.28]")[0])
    assert medgan("list").output.splitlines()[1].endswith("any    CC0      computed")


def test_every_real_card_is_listed_and_shown():
    names = [line.split()[0] for line in medgan("list").output.splitlines()[1:]]
    assert names == catalogue.names()
    for name in names:
        shown = " ".join(medgan("show", name).output.split())
        card = catalogue.card(name)
        for text in (card.title, card.licence, card.source, card.unsuitable, *card.faults, *card.citation):
            # A line may be broken after a hyphen.
            assert "".join(text.split()) in "".join(shown.split())


def test_every_file_comes_from_somewhere():
    for card in map(catalogue.card, catalogue.names()):
        for file in card.files.values():
            known = (card.name in originals.AUTOMATIC) + (card.name in originals.BY_HAND)
            assert known + (file.url is not None) == 1


def test_show_says_where_an_original_is_had(made, monkeypatch):
    assert "from the original: ask its author; no checksum" in " ".join(
        medgan("show", "tinymnist").output.split()
    )
    monkeypatch.setattr(originals, "AUTOMATIC", ("tinymnist",))
    assert "which it downloads" in medgan("show", "tinymnist").output


def test_show_wraps_its_lines(tiny):
    lines = medgan("show", "tinymnist").output.splitlines()
    assert lines[0] == "TinyMNIST"
    assert "  Labels        0 well, 1 ill" in lines
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", [["show"], ["fetch"], ["verify"], ["prepare", "--from", "."]])
def test_a_name_that_is_none(tiny, command):
    result = medgan(*command, "tinimnist")
    assert result.exit_code == 1
    assert result.stderr == "Error: There is no image set 'tinimnist': did you mean 'tinymnist'?\n"


def test_fetch_brings_what_is_missing_once(served, home_file):
    first = medgan("fetch", "tinymnist")
    assert first.exit_code == 0, first.output
    assert home_file.read_bytes() == (served / "tinymnist.npz").read_bytes()
    assert f"Came          tinymnist.npz, 0.0 MB, {home_file.parent}" in first.output
    (served / "tinymnist.npz").unlink()
    again = medgan("fetch", "tinymnist", "tinymnist", "--size", "28")
    assert again.exit_code == 0
    assert again.output.count("Here already") == 1
    assert again.stdout.endswith("1 of 1 files are here.\n")


def test_fetch_says_what_did_not_come_and_why(served, home_file):
    (served / "tinymnist.npz").unlink()
    result = medgan("fetch", "tinymnist")
    assert result.exit_code == 1
    assert "Missing       tinymnist.npz: 127.0.0.1 answered 404 File not found." in result.output
    advice = "Run the command again, which takes up a transfer that broke off, or bring what is missing to"
    *_, summary, last = result.stdout.splitlines()
    assert summary == "0 of 1 files are here."
    assert last == f"{advice} {home_file.parent} by other means: medgan data show NAME says from where."
    assert not home_file.exists()


def test_fetch_that_is_stopped_says_how_to_go_on(tiny, home_file, monkeypatch):
    def stop(card, file):
        raise KeyboardInterrupt

    monkeypatch.setattr(originals, "bring", stop)
    result = medgan("fetch", "tinymnist")
    assert result.exit_code == 130
    assert result.output.endswith("Give the same command again to go on where the transfer broke off.\n")


def test_fetch_goes_on_after_a_file_that_is_not_what_it_should_be(served, tiny):
    second = (catalogue.FOLDER / "tinymnist.toml").read_text()
    (catalogue.FOLDER / "another.toml").write_text(second.replace('tinymnist.npz"\nmd5', 'b.npz"\nmd5'))
    (served / "tinymnist.npz").write_bytes(tiny.official[:-1] + b"?")
    result = medgan("fetch", "tinymnist", "another")
    assert result.exit_code == 1
    assert result.output.count("does not have the checksum of") == 2
    assert result.stdout.endswith("0 of 2 files are here.\n")


def test_fetch_refuses_before_it_begins(served, home_file):
    result = medgan("fetch", "tinymnist", "--size", "28", "--size", "64")
    assert result.exit_code == 1
    assert "does not come with size=64: choose size 28" in result.stderr
    assert not home_file.exists()


def test_fetch_makes_the_file_where_the_original_can_be_downloaded(made, home_file, monkeypatch):
    result = medgan("fetch", "tinymnist")
    assert result.exit_code == 1
    assert "Missing       tinymnist.npz: the course cannot download its original.\n" in result.stdout
    monkeypatch.setattr(originals, "AUTOMATIC", ("tinymnist",))
    assert medgan("fetch", "tinymnist").exit_code == 0
    assert made == [("tinymnist", None, home_file.parent)]


def test_prepare_takes_an_archive(made, tmp_path, home_file):
    result = medgan("prepare", "tinymnist", "--from", str(tmp_path))
    assert result.output == f"Wrote {home_file}.\n"
    assert made == [("tinymnist", tmp_path, home_file.parent)]
    assert medgan("prepare", "tinymnist", "--from", str(tmp_path / "absent")).exit_code == 2


@pytest.mark.parametrize("chapter", ["03", "3", "toy", "03_toy"])
def test_fetch_all_for_a_chapter(served, tmp_path, monkeypatch, home_file, chapter):
    monkeypatch.chdir(tmp_path)
    Path("chapters").mkdir()
    notebook = {"metadata": {"medgan": {"data": [["tinymnist", 28]]}}, "cells": []}
    Path("chapters/03_toy.ipynb").write_text(json.dumps(notebook))
    Path("chapters/05_none.ipynb").write_text(json.dumps({"metadata": {}}))
    assert medgan("fetch", "--all-for", chapter, "05").exit_code == 0
    assert home_file.exists()


def test_chapters_that_are_none(tmp_path, monkeypatch, tiny):
    monkeypatch.chdir(tmp_path)
    Path("chapters").mkdir()
    assert "change to the folder of the course" in medgan("fetch", "--all-for", "03").stderr
    Path("chapters/03_toy.ipynb").write_text("{}")
    assert "There is no chapter '04': there are 03_toy" in medgan("fetch", "--all-for", "04").stderr
    assert medgan("fetch", "--all-for", "03").exit_code == 0  # it loads nothing
    for text in ("[]", "no notebook", '{"metadata": {"medgan": {"data": [1]}}}'):
        Path("chapters/03_toy.ipynb").write_text(text)
        assert "03_toy.ipynb is no notebook, or its medgan.data" in medgan("fetch", "--all-for", "03").stderr
    assert medgan("fetch", "--all-for", "03", "--size", "28").exit_code == 2


def test_verify_tells_official_rebuilt_and_damaged(tiny, home_file):
    assert medgan("verify").output == "0 files checked, 0 damaged.\n"
    absent = medgan("verify", "tinymnist")
    assert (absent.exit_code, absent.output.splitlines()) == (
        1,
        ["absent       No file of tinymnist is here.", "0 files checked, 0 damaged."],
    )
    home_file.parent.mkdir()
    home_file.write_bytes(tiny.official)
    official = medgan("verify").output
    assert official.startswith("official     tinymnist.npz, MD5 ")
    assert official.endswith("\n1 files checked, 0 damaged.\n")
    tiny.write(home_file, train_images=np.zeros((6, 28, 28), np.uint8))
    rebuilt = medgan("verify", "tinymnist")
    assert (rebuilt.exit_code, rebuilt.output[:26]) == (0, "rebuilt      tinymnist.npz")
    # The last split is read too.
    tiny.write(home_file, test_images=np.zeros((4, 28, 28), np.float32))
    damaged = medgan("verify")
    assert damaged.exit_code == 1
    assert damaged.output.startswith(f"damaged      {home_file} holds test images (4, 28, 28) float32")
    home_file.write_bytes(tiny.official[:100])
    assert "is truncated, altered or no npz file at all" in medgan("verify").output


def test_verify_counts_duplicates_of_a_set_that_is_named(tiny, home_file, monkeypatch):
    images = np.random.default_rng(3).integers(0, 256, (13, 28, 28), dtype=np.uint8)
    images[6] = images[2]
    images[7] = images[1] // 2
    train, val, test = np.split(images, [6, 9])
    tiny.write(home_file, train_images=train, val_images=val, test_images=test)
    lines = medgan("verify", "tinymnist").output.splitlines()
    assert lines[1] == (
        "duplicates   TinyMNIST: 1 pairs of equal images, 1 of them in two splits; 1 pairs of nearly equal "
        "(r >= 0.99) images, 1 of them in two splits (at size 28)."
    )
    assert "duplicates" not in medgan("verify").output
    monkeypatch.setattr("medgan_course.data.command.MOST_CORRELATED", 12)
    assert "nearly" not in medgan("verify", "tinymnist").output


def test_verify_without_a_checksum_and_without_a_file(made, tiny, home_file):
    tiny.write(home_file)
    assert medgan("verify").output.startswith("no checksum  tinymnist.npz, MD5 ")
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text().partition("[files.28]")[0])
    computed = medgan("verify", "tinymnist")
    assert computed.exit_code == 0
    assert computed.output == "computed     tinymnist has no file.\n0 files checked, 0 damaged.\n"


@pytest.fixture
def folder_in_its_place(tiny, home_file):
    """Put a folder where the tiny set's file should be, and another set's official file beside it."""
    text = (catalogue.FOLDER / "tinymnist.toml").read_text()
    (catalogue.FOLDER / "another.toml").write_text(text.replace('"tinymnist.npz"', '"b.npz"'))
    home_file.mkdir(parents=True)
    home_file.with_name("b.npz").write_bytes(tiny.official)
    return f"{home_file} cannot be read (Is a directory): mend or remove it."


def test_a_folder_in_the_place_of_a_file_stops_nothing_else(folder_in_its_place):
    verified = medgan("verify")
    assert verified.exit_code == 1
    lines = verified.output.splitlines()
    assert lines[0].startswith("official     b.npz")
    assert lines[1:] == [f"damaged      {folder_in_its_place}", "2 files checked, 1 damaged."]
    another, tinymnist = medgan("list").output.splitlines()[1:]
    assert another.endswith("  here")
    assert tinymnist.endswith("  damaged")
    where = medgan("where").output.splitlines()
    assert where[1].endswith(": 1 files, 0.0 MB")
    assert where[-1] == f"damaged: {folder_in_its_place}"
    fetched = medgan("fetch", "tinymnist", "another")
    assert fetched.exit_code == 1
    assert f"Missing       tinymnist.npz: {folder_in_its_place}" in fetched.output
    assert "Here already  b.npz" in fetched.output


def test_fetch_says_where_the_files_went(served, home_file, tmp_path, monkeypatch):
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setenv("MEDGAN_DATA", str(room))
    lines = medgan("fetch", "tinymnist").stdout.splitlines()
    advice = (
        f"What came lies in {home_file.parent}, not in MEDGAN_DATA: for other machines copy it to {room}."
    )
    assert lines[-1] == advice
    assert advice not in medgan("fetch", "tinymnist").output  # it was here
    monkeypatch.delenv("MEDGAN_DATA")
    home_file.unlink()
    assert "MEDGAN_DATA" not in medgan("fetch", "tinymnist").output


def test_the_examples_of_fetch_keep_their_lines():
    assert "\n  medgan data fetch --all-for 04\n" in medgan("fetch", "--help").output


def test_prepare_without_an_original_says_where_it_is_had():
    result = medgan("prepare", "busi")
    assert result.exit_code == 1
    assert f"cannot be downloaded by itself: {originals.BY_HAND['busi']}" in result.stderr
    result = medgan("prepare", "mednist")
    assert result.exit_code == 1
    assert (
        "because there is no connection to github.com: try again, or get it by other means" in result.stderr
    )
    assert "computed: it needs no file" in medgan("prepare", "head2d").stderr
    assert "medgan data fetch breastmnist" in medgan("prepare", "breastmnist").stderr


def test_licences_are_listed_without_what_is_said_about_them():
    lines = medgan("list").output.splitlines()
    assert max(map(len, lines)) < 150
    assert not any("to be confirmed" in line for line in lines)


@pytest.mark.parametrize(
    ("prepared", "confirmed", "kind"),
    [
        ("d" * 32, "true", "as prepared"),
        ("d" * 32, "false", "known copy"),
        ("e" * 32, "true", "rebuilt"),
        ("e" * 32, "false", "rebuilt"),
    ],
)
def test_verify_knows_what_is_prepared(made, tiny, home_file, monkeypatch, prepared, confirmed, kind):
    monkeypatch.setattr("medgan_course.data.layouts.digest", lambda *_: "d" * 32)
    tiny.write(home_file)
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(f'prepared = "{prepared}"\nprepared_confirmed = {confirmed}\n{card.read_text()}')
    assert medgan("verify").output.startswith(f"{kind:12} tinymnist.npz, MD5 ")
    shown = " ".join(medgan("show", "tinymnist").output.split())
    assert f"arrays {prepared}" in shown
    assert ("that the course makes the same is to be confirmed" in shown) is (confirmed == "false")


def test_every_file_that_is_made_has_a_checksum_of_its_arrays():
    for card in map(catalogue.card, catalogue.names()):
        from_originals = card.name in (*originals.AUTOMATIC, *originals.BY_HAND)
        assert (len(card.prepared) == 32) is from_originals
        assert card.prepared_confirmed or from_originals


def test_where_names_the_roots_and_what_lies_there(tiny, home_file, tmp_path, monkeypatch):
    assert medgan("where").output == f"MEDGAN_DATA is not set.\n{home_file.parent}: nothing\n"
    monkeypatch.setenv("MEDGAN_DATA", str(tmp_path / "room"))
    path = tmp_path / "room" / "medmnist" / "tinymnist.npz"
    tiny.write(path)
    tiny.write(home_file)
    lines = medgan("where").output.splitlines()
    assert lines[0] == f"{tmp_path / 'room'}: 1 files, {path.stat().st_size / 1e6:.1f} MB"
    assert lines[1].split() == ["tinymnist", "0.0", "MB", str(Path("medmnist", "tinymnist.npz"))]
    assert lines[2] == f"{home_file.parent}: nothing"  # the room's file comes first
    monkeypatch.setenv("MEDGAN_DATA", str(tmp_path / "absent"))
    assert medgan("where").exit_code == 1


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_says_what_it_loads(chapter):
    """The metadata list every ``data.load`` of the cells, at the sizes of all profiles.

    Whoever loads in a loop loads all sets that the notebook names.
    """
    notebook = nbformat.read(chapter, as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    trees = [ast.parse(source) for source in cells if "%pip" not in source]
    statements = [statement for tree in trees for statement in tree.body]
    names: dict = {}
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            exec(ast.unparse(statement), names)
    every_word = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    loaded = set()
    for profile in budgets.PROFILES:
        with budgets.using(profile):
            for statement in statements:
                if isinstance(statement, ast.Assign):
                    target = ast.unparse(statement.targets[0])
                    if target in ("budget", "SIZE"):
                        exec(ast.unparse(statement), names)
                for call in ast.walk(statement):
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "data.load":
                        given = {keyword.arg: keyword.value for keyword in call.keywords}
                        # A loop over pairs of set and size says both.
                        if isinstance(statement, ast.For) and ast.unparse(statement.target) == "(name, size)":
                            loaded |= set(ast.literal_eval(statement.iter))
                            continue
                        size = eval(ast.unparse(given["size"]), names) if "size" in given else 28
                        name = call.args[0]
                        words = [name] if isinstance(name, ast.Constant) else every_word
                        loaded |= {(word.value, size) for word in words if word.value in catalogue.names()}
    assert {tuple(pair) for pair in notebook.metadata.get("medgan", {}).get("data", [])} == loaded


def test_nothing_needs_torch_to_show_its_help():
    code = "import sys; from medgan_course import cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
