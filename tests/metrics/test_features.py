"""The feature network: shapes, training, the shipped weights' sensitivity, the command."""

import json

import pytest
import torch
from click.testing import CliRunner

from medgan_course import data, pretrained
from medgan_course.errors import CourseError
from medgan_course.metrics.distribution import frechet_distance
from medgan_course.metrics.features import FeatureNet, features, main, train


@pytest.mark.parametrize("size", [28, 64])
def test_images_become_64_features_and_an_image_does_not_depend_on_its_batch(size):
    torch.manual_seed(0)
    net = FeatureNet(size, n_classes=2).eval()
    images = torch.rand(300, 1, size, size) * 2 - 1
    seen = features(net, images)
    assert seen.shape == (300, 64)
    assert not seen.requires_grad
    torch.testing.assert_close(features(net, images[290:]), seen[290:], rtol=1e-4, atol=1e-5)


def test_another_image_size_is_refused():
    with pytest.raises(CourseError, match="28 x 28 px, not 64 x 32"):
        FeatureNet(28, 2)(torch.zeros(1, 1, 64, 32))


def test_training_learns_label_and_rotation():
    # Class 0 is bright at the top, class 1 bright and striped there: both heads have something to see.
    torch.manual_seed(0)
    images = torch.full((64, 1, 28, 28), -0.5) + 0.05 * torch.randn(64, 1, 28, 28)
    images[:, :, :10] += 1.0
    images[32:, :, :10, ::2] -= 0.8
    labels = torch.arange(64) // 32
    net = FeatureNet(28, 2)
    train(net, images, labels, steps=30, batch_size=32)
    assert not net.training
    with torch.no_grad():
        assert (net.label(net(images)).argmax(1) == labels).float().mean() > 0.9
        turned = torch.rot90(images, 1, (2, 3))
        assert (net.rotation(net(turned)).argmax(1) == 1).float().mean() > 0.9


def test_training_leaves_the_callers_random_state_alone():
    net, images = FeatureNet(28, 2), torch.zeros(8, 1, 28, 28)
    before = torch.get_rng_state()
    train(net, images, torch.zeros(8, dtype=torch.long), steps=1, batch_size=4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [28, 64])
def test_the_shipped_network_sees_noise_and_blur_grow(size):
    images = data.load("pneumoniamnist", size=size, split="val", download=False).images
    net = pretrained.load(f"features_pneumoniamnist_{size}", FeatureNet)
    clean = features(net, images)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    noisy = [frechet_distance(clean, features(net, images + level * noise)) for level in (0, 0.1, 0.3)]
    blurred = [
        frechet_distance(
            clean,
            features(
                net, torch.nn.functional.avg_pool2d(images, side, 1, side // 2, count_include_pad=False)
            ),
        )
        for side in (1, 3, 5)
    ]
    assert noisy[0] < noisy[1] < noisy[2]
    assert blurred[0] < blurred[1] < blurred[2]


class Tiny:
    """A data set as the command uses it."""

    images = torch.rand(128, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.arange(128) % 2
    class_names = ("one", "other")
    source, is_surrogate = "Noise, for a test.", True

    def __len__(self):
        return len(self.images)


def test_the_command_writes_weights_and_a_card(tmp_path, monkeypatch):
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda name, **settings: asked.append((name, settings)) or Tiny())
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: None)
    out = tmp_path / "net.safetensors"
    with torch.random.fork_rng(devices=[]):
        result = CliRunner().invoke(main, ["--size", "28", "--steps", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    card = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert asked == [("pneumoniamnist", {"size": 28, "split": split}) for split in ("train", "val")]
    assert card["surrogate"] is True
    assert card["config"] == {"size": 28, "n_classes": 2}
    assert 0 <= card["validation"]["label_accuracy"] <= 1
    monkeypatch.setattr(pretrained, "folder", lambda: tmp_path)
    assert pretrained.load("net", FeatureNet).size == 28
