"""The feature network: shapes, training, the shipped weights' sensitivity, the command."""

import json
import sys

import pytest
import torch
from click.testing import CliRunner

from medgan_course import data, pretrained
from medgan_course.errors import CourseError
from medgan_course.losses.feature import perceptual
from medgan_course.metrics.distribution import frechet_distance
from medgan_course.metrics.features import (
    FeatureNet,
    cache_folder,
    features,
    inception_features,
    main,
    train,
    turned,
)


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
    with pytest.raises(CourseError, match=r"28 x 28 px in 1 channel\(s\), not 64 x 32 px in 3 channel"):
        FeatureNet(28, 2)(torch.zeros(1, 3, 64, 32))
    with pytest.raises(CourseError, match="not 4"):
        FeatureNet(28, 2, dim=4)


@pytest.mark.parametrize(("channels", "dim"), [(3, 2), (1, 3), (2, 3)])
def test_colour_images_and_volumes_have_features_too(channels, dim):
    net = FeatureNet(8, 3, channels=channels, dim=dim).eval()
    images = torch.rand(5, channels, *[8] * dim)
    assert features(net, images).shape == (5, 64)
    labels = torch.arange(5) % 3
    before = net.layers[0].weight.clone()
    train(net, images, labels, steps=2, batch_size=4)
    assert not torch.equal(net.layers[0].weight, before)


def test_a_volume_turns_about_its_first_axis():
    volume = torch.arange(8.0).view(1, 1, 2, 2, 2)
    # Each slice [[a, b], [c, d]] becomes [[b, d], [a, c]].
    assert turned(volume, torch.tensor([1]))[0, 0].tolist() == [[[1, 3], [0, 2]], [[5, 7], [4, 6]]]


def test_features_are_the_pooled_maps_whatever_the_layout():
    torch.manual_seed(0)
    net = FeatureNet(8, 2).eval()
    image = torch.rand(2, 1, 8, 8)
    by_hand = image
    for layer in net.layers:
        if isinstance(layer, torch.nn.Conv2d):
            weight = layer.weight.contiguous(memory_format=torch.contiguous_format)
            by_hand = torch.nn.functional.conv2d(by_hand, weight, None, layer.stride, 1)
        else:
            by_hand = layer(by_hand)
    torch.testing.assert_close(features(net, image), by_hand.mean((2, 3)))


@pytest.mark.parametrize(("size", "sides"), [(28, [28, 14, 7, 7, 7]), (64, [64, 32, 16, 8, 8])])
def test_the_feature_maps_are_those_of_every_layer(size, sides):
    torch.manual_seed(0)
    net = FeatureNet(size, 2).eval()
    images = torch.rand(2, 1, size, size) * 2 - 1
    maps = net.maps(images)
    assert [each.shape for each in maps] == [
        (2, width, side, side) for width, side in zip((16, 32, 48, 64, 64), sides, strict=True)
    ]
    assert all(each.min() == 0 for each in maps)  # after ReLU
    torch.testing.assert_close(maps[-1].mean((2, 3)), net(images))
    fake = images.neg().requires_grad_()
    loss = perceptual(net.maps, real=images, fake=fake)
    by_hand = sum((a - b).square().mean() for a, b in zip(maps, net.maps(-images), strict=True)) / 5
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    assert fake.grad.abs().sum() > 0


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(CourseError, match=r"net\.eval\(\)"):
        features(FeatureNet(8, 2), torch.zeros(2, 1, 8, 8))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Return a network, images, their features, and the cache folder that holds them."""
    monkeypatch.setenv("MEDGAN_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net, images = FeatureNet(8, 2).eval(), torch.rand(6, 1, 8, 8)
    return net, images, features(net, images, cache=True), tmp_path / "cache"


def silent(monkeypatch):
    """Let the network compute no more."""
    monkeypatch.setattr(FeatureNet, "forward", lambda self, images: pytest.fail("computed again"))


def test_kept_features_are_read_and_not_computed_again(cached, monkeypatch):
    net, images, seen, folder = cached
    torch.testing.assert_close(seen, features(net, images), rtol=0, atol=0)
    silent(monkeypatch)
    assert torch.equal(features(net, images.clone(), cache=True), seen)
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


def test_features_of_generated_images_leave_no_file(cached):
    net, images, _, folder = cached
    before = set(folder.iterdir())
    features(net, images + 0.1)
    assert set(folder.iterdir()) == before


def test_one_other_pixel_weight_or_shape_is_another_entry(cached):
    net, images, seen, folder = cached
    pixel = images.clone()
    pixel[3, 0, 4, 4] += 0.5
    changed = features(net, pixel, cache=True)
    torch.testing.assert_close(changed, features(net, pixel), rtol=0, atol=0)
    assert not torch.equal(changed[3], seen[3])
    with torch.no_grad():
        net.layers[0].weight[0, 0, 1, 1] += 0.5
    torch.testing.assert_close(features(net, images, cache=True), features(net, images), rtol=0, atol=0)
    net.layers[1].running_mean += 0.1  # a buffer, not a parameter
    torch.testing.assert_close(features(net, images, cache=True), features(net, images), rtol=0, atol=0)
    features(net, images[:5], cache=True)
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("how", ["truncated", "empty", "altered", "foreign"])
def test_a_damaged_entry_is_computed_again(cached, how):
    net, images, seen, folder = cached
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    if how == "altered":
        content[-2] ^= 64
    path.write_bytes({"truncated": content[:-9], "empty": b"", "foreign": b"x" * 400}.get(how, content))
    assert torch.equal(features(net, images, cache=True), seen)
    assert path.read_bytes() != content or how != "altered"
    torch.testing.assert_close(features(net, images, cache=True), seen, rtol=0, atol=0)


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MEDGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(CourseError, match="set MEDGAN_CACHE to a folder"):
        features(FeatureNet(8, 2).eval(), torch.zeros(2, 1, 8, 8), cache=True)


def test_without_a_named_folder_the_users_cache_is_used(monkeypatch):
    monkeypatch.delenv("MEDGAN_CACHE", raising=False)
    assert cache_folder().name == "medgan_course"
    assert cache_folder().is_absolute()


def test_inception_without_its_weights_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CourseError, match=r"need the file https://.*\.pth in .*FeatureNet needs no download"):
        inception_features(torch.zeros(1, 1, 28, 28))


def test_inception_without_its_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(CourseError, match="pip install torch-fidelity"):
        inception_features(torch.zeros(1, 1, 28, 28))


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
    monkeypatch.setattr(sys, "orig_argv", ["/some/where/bin/python3", "-m", "the.command", "--out", "a b"])
    out = tmp_path / "net.safetensors"
    with torch.random.fork_rng(devices=[]):
        result = CliRunner().invoke(main, ["--size", "28", "--steps", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    card = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert asked == [("pneumoniamnist", {"size": 28, "split": split}) for split in ("train", "val")]
    assert card["surrogate"] is True
    assert card["command"] == "python -m the.command --out 'a b'"
    assert card["config"] == {"size": 28, "n_classes": 2, "channels": 1, "dim": 2}
    assert 0 <= card["validation"]["label_accuracy"] <= 1
    monkeypatch.setattr(pretrained, "folder", lambda: tmp_path)
    assert pretrained.load("net", FeatureNet).size == 28
