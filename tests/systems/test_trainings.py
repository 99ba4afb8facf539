"""The networks that ``medgan train`` keeps: each is trained, written, and read back as the same network."""

import importlib
import json
import math
from functools import partial

import pytest
import torch
from mechanics import Tiny
from truths import eight_heads

from medgan_course import data, pretrained
from medgan_course.errors import CourseError
from medgan_course.experiments import runner, train
from medgan_course.train import Game


class Larger(Tiny):
    size = 32
    images = torch.nn.functional.pad(Tiny.images, (2, 2, 2, 2), value=-1)


LEAST = {"steps": "2", "base": "4", "batch_size": "2"}
LATENT, LABELS, IMAGE = (
    torch.zeros(2, 64),
    torch.tensor([0, 2]),
    torch.linspace(-1, 1, 2048).view(2, 1, 32, 32),
)
# For each system: its set, what else makes it small, and an input of each of its networks.
SMALL = {
    "dcgan": (Tiny, {"size": "28"}, [(LATENT,)]),
    "conditional_gan": (Tiny, {"size": "28"}, [(LATENT, LABELS)]),
    "pix2pix": (partial(eight_heads, "train"), {"size": "32"}, [(IMAGE,)]),
    "cyclegan": (partial(eight_heads, "train"), {"size": "32", "blocks": "1"}, [(IMAGE,), (IMAGE,)]),
    "srgan": (Larger, {"size": "32", "blocks": "1"}, [(IMAGE[..., :8, :8],), (IMAGE[..., :8, :8],)]),
    "ssgan": (Tiny, {"size": "28", "per_class": "2"}, [(IMAGE[..., :28, :28],), (LATENT,)]),
}


def test_every_system_that_keeps_a_network_is_here():
    modules = (f"{runner.systems.__name__}.{name}" for name in runner.titles())
    keeping = [m for m in modules if hasattr(importlib.import_module(m), "training")]
    assert {m.rpartition(".")[2] for m in keeping} == set(SMALL)


def answer(net, given):
    torch.manual_seed(0)  # the U-Net drops out at test time
    output = net(*given)
    return output["label"] if isinstance(output, dict) else output


@pytest.mark.parametrize("name", SMALL)
def test_what_was_trained_is_what_is_read(name, monkeypatch, tmp_path):
    load, small, inputs = SMALL[name]
    tiny, kept, save = load(), [], pretrained.save
    monkeypatch.setattr(
        pretrained, "save", lambda net, *a, **facts: kept.append(net) or save(net, *a, **facts)
    )
    monkeypatch.setattr(data, "load", lambda name, **settings: tiny)
    path = train(name, seed=3, settings=LEAST | small, out=tmp_path, runs=tmp_path / "runs")
    assert path.name == f"{name}_{tiny.name}_{tiny.size}.safetensors"

    card = json.loads(path.with_suffix(".json").read_text())
    module, _, function = card["build"].rpartition(".")
    monkeypatch.setattr(pretrained, "folder", lambda: tmp_path)
    read = pretrained.load(path.stem, getattr(importlib.import_module(module), function))
    nets = zip(kept[0].values(), read.values(), strict=True) if len(inputs) > 1 else [(kept[0], read)]
    for (trained, loaded), given in zip(nets, inputs, strict=True):
        got = answer(loaded, given)
        torch.testing.assert_close(got, answer(trained, given), rtol=0.01, atol=0.01)
        assert got.std() > 0
    assert card["data"]["surrogate"] == tiny.is_surrogate
    assert card["settings"]["steps"] == 2
    assert all(math.isfinite(each) for each in card["final_losses"].values())
    assert card["command"].startswith(f"medgan train {name} --seed 3 --set ")
    assert "--set steps=2" in card["command"]


def test_a_training_that_came_to_its_end_is_not_done_again(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    least = LEAST | {"size": "28"}
    first = train("S03", settings=least, out=tmp_path / "a", runs=tmp_path / "runs").read_bytes()
    monkeypatch.setattr(Game, "play", None)  # whoever plays a step fails
    assert train("dcgan", settings=least, out=tmp_path / "b", runs=tmp_path / "runs").read_bytes() == first
    with pytest.raises(TypeError):
        train("dcgan", settings=least | {"steps": "3"}, out=tmp_path / "b", runs=tmp_path / "runs")


def test_a_system_that_keeps_nothing_says_so(tmp_path):
    with pytest.raises(CourseError, match="wgan trains no network to be kept: medgan run makes its card"):
        train("wgan", out=tmp_path, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_setting_that_a_training_has_not_is_refused(tmp_path):
    with pytest.raises(CourseError, match="There is no setting 'step': did you mean 'steps'"):
        train("dcgan", settings={"step": "2"}, out=tmp_path, runs=tmp_path)
