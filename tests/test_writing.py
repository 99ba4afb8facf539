"""A file is old or new, never half of each, and nothing else is left behind."""

import os

import pytest

from medgan_course import writing
from medgan_course.writing import replacing


def names(folder):
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def test_the_new_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "made" / "file.txt"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.suffix == ".txt"  # writers such as numpy's add their own where it is missing
        assert partial.parent == path.parent  # one file system, or the replacement is no single step
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, ValueError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fails():
        with replacing(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        fails()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_failed_replacement_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fails(*_):
        raise PermissionError

    monkeypatch.setattr(writing.os, "replace", fails)
    with pytest.raises(PermissionError), replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file.txt"):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_reader_never_sees_half(tmp_path, monkeypatch):
    """At the only moment the file changes, the new one is complete."""
    path, seen = tmp_path / "file.txt", []
    path.write_text("old")
    replace = os.replace

    def watched(source, target):
        seen.append((path.read_text(), source.read_text()))
        replace(source, target)

    monkeypatch.setattr(writing.os, "replace", watched)
    with replacing(path) as partial:
        for part in ("half", " and half"):
            with partial.open("a") as file:
                file.write(part)
            assert path.read_text() == "old"
    assert seen == [("old", "half and half")]


def test_two_processes_write_the_same_file_one_after_the_other(tmp_path, monkeypatch):
    path, processes = tmp_path / "file.txt", iter((1, 2))
    monkeypatch.setattr(writing.os, "getpid", lambda: next(processes))
    with replacing(path) as first, replacing(path) as second:
        first.write_text("AAAA")
        second.write_text("B")
    assert path.read_text() == "AAAA"  # the context that ends last
    assert names(tmp_path) == ["file.txt"]
