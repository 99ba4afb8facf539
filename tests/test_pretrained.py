import os
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn

import medgan_course
from medgan_course import pretrained
from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import Generator

CONFIG = {"size": 28, "z_dim": 6, "base": 4}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a folder in the place of the shipped one, with one checkpoint, and the net this was made of."""
    monkeypatch.setattr(pretrained, "folder", lambda: tmp_path)
    torch.manual_seed(0)
    net = Generator(**CONFIG)
    net(torch.randn(8, 6))  # moves the batch-norm statistics and counts
    pretrained.save(
        net,
        tmp_path / "dcgan_chest_28.safetensors",
        build=Generator,
        config=CONFIG,
        steps=7,
        data={"name": "chest"},
    )
    return tmp_path, net


def test_what_is_loaded_equals_what_was_saved_to_half_precision(shipped):
    _, net = shipped
    loaded = pretrained.load("dcgan_chest_28", Generator)
    assert not loaded.training
    for (name, value), got in zip(net.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert got.dtype == value.dtype, name
        # Half precision has 11 bits: a relative error of 2^-11, and 2^-25 below its smallest normal number.
        torch.testing.assert_close(got, value, rtol=2**-11, atol=2**-25)
    z = torch.randn(4, 6)
    torch.testing.assert_close(loaded(z), net.eval()(z), rtol=0, atol=0.01)


def test_the_weights_are_stored_in_half_precision(shipped):
    folder, net = shipped
    size = (folder / "dcgan_chest_28.safetensors").stat().st_size
    assert size < 2.1 * sum(p.numel() for p in net.parameters()) + 3000


def test_the_card_says_what_it_is(shipped):
    _, net = shipped
    card = pretrained.card("dcgan_chest_28")
    assert card["config"] == CONFIG
    assert card["parameters"] == sum(p.numel() for p in net.parameters())
    assert (card["steps"], card["data"]) == (7, {"name": "chest"})
    assert card["medgan_course"] == medgan_course.__version__
    assert card["build"] == "medgan_course.nets.dcgan.Generator"


def test_whoever_may_read_the_card_may_read_the_weights(shipped):
    modes = {path.stat().st_mode for path in shipped[0].iterdir()}
    assert len(modes) == 1


def test_nothing_but_weights_and_card_is_left(shipped):
    assert sorted(path.name for path in shipped[0].iterdir()) == [
        "dcgan_chest_28.json",
        "dcgan_chest_28.safetensors",
    ]


@pytest.mark.parametrize("how", ["altered", "truncated", "missing"])
def test_other_weights_than_the_cards_are_refused(shipped, how):
    path = shipped[0] / "dcgan_chest_28.safetensors"
    content = bytearray(path.read_bytes())
    if how == "altered":
        content[-5] ^= 1
        path.write_bytes(content)
    elif how == "truncated":
        path.write_bytes(content[:-5])
    else:
        path.unlink()
    with pytest.raises(
        CourseError, match="is missing or not the file its card describes: restore it with git"
    ):
        pretrained.load("dcgan_chest_28", Generator)


class Wider(Generator):
    def __init__(self, **config):
        super().__init__(**config | {"base": 8})


@pytest.mark.parametrize("cls", [nn.Identity, Wider])
def test_weights_of_another_net_are_refused(shipped, cls):
    with pytest.raises(CourseError, match=rf"does not fit {cls.__name__}\(\*\*"):
        pretrained.load("dcgan_chest_28", cls)


@pytest.mark.parametrize("writer", ["as_bytes", "_description"])
def test_a_failed_save_leaves_what_was_there(shipped, monkeypatch, writer):
    folder, _ = shipped
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*arguments):
        (folder / f"dcgan_chest_28.{os.getpid()}.partial.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretrained, writer, full)
    with pytest.raises(CourseError, match=r"cannot be written.*No space left on device"):
        pretrained.save(
            Generator(**CONFIG), folder / "dcgan_chest_28.safetensors", build=Generator, config=CONFIG
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [("dcgan_chest_32", "did you mean 'dcgan_chest_28'?"), ("zebra", "there are dcgan_chest_28.")],
)
def test_an_unknown_name_is_answered_with_those_there_are(shipped, name, hint):
    with pytest.raises(CourseError) as caught:
        pretrained.load(name, Generator)
    assert str(caught.value) == f"No checkpoint is called {name!r}: {hint}"


@pytest.mark.parametrize("name", ["../dcgan_chest_28", "sub/../../dcgan_chest_28"])
def test_a_name_does_not_lead_out_of_the_folder(shipped, monkeypatch, name):
    inner = shipped[0] / "inner"
    (inner / "sub").mkdir(parents=True)
    monkeypatch.setattr(pretrained, "folder", lambda: inner)
    with pytest.raises(CourseError, match="No checkpoint is called"):
        pretrained.load(name, Generator)


def test_a_folder_without_checkpoints_is_a_sentence_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "folder", lambda: tmp_path / "absent")
    with pytest.raises(CourseError, match="No checkpoint is called 'x': there are none"):
        pretrained.card("x")


def test_every_shipped_checkpoint_is_the_file_its_card_describes():
    for path in pretrained.folder().glob("*.safetensors"):
        card = pretrained.card(path.stem)
        assert card["sha256"] == pretrained._sha256(path), path
        assert path.with_suffix(".json").is_file()
        assert not any(Path(word).is_absolute() for word in shlex.split(card["command"])), path


def test_weights_get_their_ending_where_it_is_missing(tmp_path):
    pretrained.save(
        nn.Linear(2, 1), tmp_path / "run-v1.2", build=nn.Linear, config={"in_features": 2, "out_features": 1}
    )
    assert sorted(path.name for path in tmp_path.glob("run*")) == ["run-v1.2.json", "run-v1.2.safetensors"]
