"""What a licence forbids is said when real images are loaded, once, and quietly."""

import sys

import pytest

from medgan_course import data
from medgan_course.data import catalogue, notices


@pytest.fixture
def under(tiny, empty_home, monkeypatch):
    """Return a function that puts the tiny set under a licence."""
    monkeypatch.setattr(notices, "_licences", set())
    tiny.write(empty_home / ".medmnist" / "tinymnist.npz")
    path = catalogue.FOLDER / "tinymnist.toml"
    plain = path.read_text()

    def put(licence):
        path.write_text(plain.replace('"CC0"', f'"{licence}"'))

    return put


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC BY-NC 4.0", "no commercial use"),
        ("CC BY-SA 4.0", "what is derived from the images must carry the same licence"),
        (
            "CC BY-NC-SA 4.0",
            "no commercial use; what is derived from the images must carry the same licence",
        ),
    ],
)
def test_restrictions_are_said_once(under, capsys, licence, said):
    under(licence)
    data.load("tinymnist")
    data.load("tinymnist", split="val")
    assert capsys.readouterr().err == f"Licence: TinyMNIST is {licence}: {said}.\n"


@pytest.mark.parametrize("licence", ["CC BY 4.0", "CC0", "MIT"])
def test_nothing_is_said_of_free_licences(under, capsys, licence):
    under(licence)
    data.load("tinymnist")
    assert capsys.readouterr().err == ""


def test_nothing_is_said_of_phantoms(under, empty_home, no_network, capsys):
    under("CC BY-NC 4.0")
    (empty_home / ".medmnist" / "tinymnist.npz").unlink()
    data.load("tinymnist", download=False)
    assert "Licence" not in capsys.readouterr().err


def test_quiet_note_in_a_notebook(under, monkeypatch, capsys):
    pytest.importorskip("IPython")
    under("CC BY-NC 4.0")
    shown = []
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    data.load("tinymnist")
    data.load("tinymnist")
    assert len(shown) == 1
    assert shown[0]["text/html"].startswith('<div class="licence-notice" role="note"')
    assert "no commercial use" in shown[0]["text/plain"]
    assert capsys.readouterr().err == ""


def test_the_sets_that_restrict_use():
    restricted = {name for name in data.names() if data.card(name).restrictions}
    assert {"dermamnist", "mednist"} <= restricted
    assert not restricted & {"bloodmnist", "pneumoniamnist", "head2d"}
