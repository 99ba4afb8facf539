"""Around the rendering: which notebooks run, what a failed build leaves, how a surrogate page is marked."""

import shutil
from pathlib import Path

import build
import pytest
from execute import Page, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place with a complete book from an earlier build."""
    old = tmp_path / "_build" / "smoke" / "html"
    old.mkdir(parents=True)
    (old / "index.html").write_text("the old book")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: welcome\nchapters:\n- file: chapters/one\n- file: exercises/one\n"
    )
    for folder in ("chapters", "exercises"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.ipynb").touch()
    (tmp_path / "welcome.md").touch()
    return Place(tmp_path, tmp_path / "_build" / "smoke", "smoke")


def test_every_notebook_of_the_contents_is_executed_and_no_markdown(place: Place) -> None:
    assert build.notebooks(place.root) == ["chapters/one.ipynb", "exercises/one.ipynb"]


def test_failed_notebook_stops_the_build_and_keeps_the_old_book(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Page("chapters/one.ipynb", 2.0, "not executed before", "code cell 3: ValueError: no")
    monkeypatch.setattr(build, "execute_changed", lambda *_: [failed])
    monkeypatch.setattr(build, "render", lambda *_: pytest.fail("rendered in spite of the failure"))
    assert build.build(place) == 1
    assert "chapters/one.ipynb, code cell 3: ValueError: no" in capsys.readouterr().err
    assert (place.build / "html" / "index.html").read_text() == "the old book"


@pytest.mark.parametrize(("status", "text"), [(0, "the new book"), (1, "the old book")])
def test_book_is_replaced_only_by_one_without_warnings(
    place: Place, monkeypatch: pytest.MonkeyPatch, status: int, text: str
) -> None:
    def render(_: Place, html: Path) -> int:
        html.mkdir()
        (html / "index.html").write_text("the new book")
        return status

    monkeypatch.setattr(build, "execute_changed", lambda *_: [])
    monkeypatch.setattr(build, "render", render)
    assert build.build(place) == status
    assert (place.build / "html" / "index.html").read_text() == text


def test_pages_are_rendered_again_only_if_something_has_changed(
    place: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path_factory.mktemp("images")
    monkeypatch.setenv("MEDGAN_DATA", str(images))
    monkeypatch.setattr(build, "execute_changed", lambda *_: [])
    html, record = place.build / "html", place.build / "deps" / "chapters" / "one.ipynb.json"
    (place.root / "book" / "data").mkdir(parents=True)
    rendered = []

    def render(_: Place, unfinished: Path) -> int:
        rendered.append(unfinished)
        unfinished.mkdir()
        (unfinished / "index.html").touch()
        (place.root / "book" / "data" / "made.md").write_text(f"by rendering number {len(rendered)}")
        return 0

    def change(path: Path, text: str = "changed") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    monkeypatch.setattr(build, "render", render)
    for number, changed in enumerate(
        (
            lambda: None,  # the book of the fixture is of unknown origin
            lambda: change(place.root / "welcome.md"),
            lambda: change(place.root / "book" / "new.css"),
            lambda: (place.root / "book" / "new.css").unlink(),
            lambda: change(place.root / "results" / "x-cpu.json"),
            lambda: change(record),
            lambda: change(images / "medmnist" / "x.npz"),
            lambda: shutil.rmtree(html),
            lambda: monkeypatch.delenv("MEDGAN_DATA"),
        ),
        start=1,
    ):
        changed()
        for _ in range(2):
            assert build.build(place) == 0
            assert len(rendered) == number
    change(place.root / "welcome.md", "wrong")
    monkeypatch.setattr(build, "render", lambda *_: rendered.append(html) or 1)
    for _ in range(2):  # what failed is tried again
        assert build.build(place) == 1
    assert len(rendered) == number + 2


def test_banner_stands_first_on_surrogate_pages_only(tmp_path: Path) -> None:
    pages = {
        "surrogate.html": '<body class="x"><div class="output surrogate-data">drawn</div></body>',
        "real.html": "<body><p>About <code>class=&quot;surrogate-data&quot;</code></p></body>",
    }
    for name, html in pages.items():
        (tmp_path / name).write_text(html)
    build.mark_surrogates(tmp_path)
    assert (tmp_path / "surrogate.html").read_text().startswith(f'<body class="x">{build.BANNER}<div')
    assert (tmp_path / "real.html").read_text() == pages["real.html"]
