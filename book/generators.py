"""Put the committed generators into the built pages: weights, layers, and what was measured of them.

The pages of chapters 4 to 7 run them (``book/_static/generators/``, plain JavaScript). A network becomes
two files in ``_static/generators/made``: its weights, float16, in the order in which they are used, with
batch norm folded into the convolutions before it; and a list of its layers with a checksum of the weights.
``tests/book/test_generators.py`` compares what the page computes with what torch does.

As a Sphinx extension this module writes them when the pages are there; nothing of it is committed.
"""

import base64
import copy
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from sphinx.application import Sphinx
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from medgan_course import data, pretrained
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop
from medgan_course.data.resize import area
from medgan_course.metrics import steering
from medgan_course.metrics.features import FeatureNet
from medgan_course.metrics.memorisation import nearest
from medgan_course.nets.conditional import LabelledGenerator
from medgan_course.nets.dcgan import Generator
from medgan_course.nets.resnet import ResNetGenerator
from medgan_course.nets.super_resolution import ResidualSR
from medgan_course.nets.unet import Noise, UNet
from medgan_course.systems import conditional_gan, cyclegan, pix2pix, srgan

# Every network that runs in a page.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "dcgan_pneumoniamnist_64": Generator,
    "features_pneumoniamnist_64": FeatureNet,
    "conditional_gan_mednist_64": conditional_gan.labelled_generator,
    "pix2pix_openms_64": pix2pix.generator,
    "cyclegan_head2d_64": cyclegan.generators,
    "srgan_pneumoniamnist_64": srgan.generators,
}


def networks() -> Iterator[tuple[str, nn.Module]]:
    """Yield every network with its name; where a checkpoint holds several, with theirs behind it."""
    for name, build in NETWORKS.items():
        net = pretrained.load(name, build)
        if isinstance(net, nn.ModuleDict):
            yield from ((f"{name}_{part}", each) for part, each in net.items())
        else:
            yield name, net


# A layer's line in the list, and its weights in the order in which it takes them.
Line = tuple[dict[str, Any], list[np.ndarray]]


def lines(net: nn.Module) -> Iterator[Line]:
    """Yield the layers of a network in the order in which they act, in evaluation mode.

    ``keep`` puts a map on a pile; ``add`` and ``concat`` take the uppermost off it.
    """
    match net:
        case nn.Sequential():
            layers = list(net)
            for layer, following in zip(layers, [*layers[1:], None], strict=True):
                if not isinstance(layer, nn.BatchNorm2d):  # which is in the convolution before it
                    yield from lines(
                        folded(layer, following) if isinstance(following, nn.BatchNorm2d) else layer
                    )
        case nn.Conv2d():
            yield convolution("conv", net, net.weight)
        case nn.ConvTranspose2d():
            yield convolution("transposed", net, net.weight.flatten(1).T)  # what one pixel adds to a patch
        case nn.Linear():
            line = {
                "op": "conv",
                "out": net.out_features,
                "kernel": 1,
                "stride": 1,
                "padding": 0,
                "bias": True,
            }
            yield line, [in_fours(net.weight), numbers(net.bias)]
        case nn.InstanceNorm2d():
            yield {"op": "instanceNorm"}, []
        case nn.ReLU():
            yield {"op": "relu"}, []
        case nn.LeakyReLU():
            yield {"op": "leaky", "slope": net.negative_slope}, []
        case nn.PReLU():
            yield {"op": "prelu"}, [numbers(net.weight)]
        case nn.Tanh():
            yield {"op": "tanh"}, []
        case nn.PixelShuffle():
            yield {"op": "shuffle", "factor": net.upscale_factor}, []
        case nn.Upsample():
            yield {"op": "upsample", "factor": int(cast(float, net.scale_factor))}, []
        case Noise():
            yield {"op": "dropout", "p": net.p}, []
        case nn.Identity():
            return
        case Generator() | ResNetGenerator():
            yield from lines(net.layers)
        case LabelledGenerator():
            table = net.embedding.weight
            yield {"op": "embed", "classes": len(table), "width": table.shape[1]}, [numbers(table)]
            yield from lines(net.generator)
        case UNet():
            for down in net.down[:-1]:
                yield from lines(down)
                yield {"op": "keep"}, []
            yield from lines(net.down[-1])
            for up in net.up:
                yield from lines(up)
                yield {"op": "concat"}, []
            yield from lines(net.last)
        case ResidualSR():
            yield from lines(net.head)
            yield from added(net.body)
            yield from lines(net.tail)
        case FeatureNet():
            yield from lines(net.layers)
            yield {"op": "mean"}, []
            yield from lines(net.label)
        case _ if isinstance(getattr(net, "layers", None), nn.Sequential):
            # A residual block, of CycleGAN or of a super-resolver, or VDSR, which is one.
            yield from added(cast(nn.Module, net.layers))
        case _:
            raise TypeError(f"The page has no layer for {type(net).__name__}: write one into layers.js.")


def added(net: nn.Module) -> Iterator[Line]:
    """Yield the layers of x + net(x)."""
    yield {"op": "keep"}, []
    yield from lines(net)
    yield {"op": "add"}, []


def convolution(op: str, net: nn.Conv2d | nn.ConvTranspose2d, rows: Tensor) -> Line:
    """Return a convolution whose weights are ``rows`` of the page's matrix product."""
    line = {
        "op": op,
        "out": net.out_channels,
        "kernel": net.kernel_size[0],
        "stride": net.stride[0],
        "padding": net.padding[0],
        "reflect": net.padding_mode == "reflect",
        "bias": net.bias is not None,
    }
    return line, [in_fours(rows)] + ([] if net.bias is None else [numbers(net.bias)])


def folded(layer: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    """Return the convolution that does what ``layer`` and the batch norm after it do in evaluation mode."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    alone = copy.deepcopy(layer).double()
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    out = 0 if isinstance(layer, nn.Conv2d) else 1
    alone.weight.data = alone.weight.data * gain.view(*[1] * out, -1, *[1] * (3 - out)).data
    before = 0.0 if layer.bias is None else layer.bias.double()
    alone.bias = nn.Parameter(norm.bias.double() + gain * (before - norm.running_mean.double()))
    return alone


def numbers(weights: Tensor) -> np.ndarray:
    """Return weights in half precision, one after the other."""
    return weights.detach().flatten().numpy().astype("<f2")


def in_fours(rows: Tensor) -> np.ndarray:
    """Return a matrix (M, K) as the page's product takes it, (M / 4, K, 4), with rows of zeros below it."""
    flat = rows.detach().flatten(1)
    whole = torch.cat([flat, flat.new_zeros(-len(flat) % 4, flat.shape[1])])
    return numbers(whole.unflatten(0, (-1, 4)).transpose(1, 2))


def write_network(net: nn.Module, name: str, folder: Path) -> None:
    """Write ``name.bin`` and ``name.json``."""
    layers = list(lines(net))
    weights = b"".join(array.tobytes() for _, arrays in layers for array in arrays)
    card = {"layers": [line for line, _ in layers], "checksum": zlib.crc32(weights)}
    (folder / f"{name}.bin").write_bytes(weights)
    (folder / f"{name}.json").write_text(json.dumps(card), encoding="utf-8")


# What the widgets show besides. Each function returns what its widget's JSON holds.

LATENTS, PROBES = 1_000, 100
POSITIONS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
THUMBNAIL, ACROSS = 32, 64  # pixels of a side, images in a row


@torch.no_grad()
def explorer(folder: Path) -> dict[str, Any]:
    """Find and measure chapter 4's directions, and write the training images as one sheet of thumbnails."""
    generator = pretrained.load("dcgan_pneumoniamnist_64", Generator)
    measure = steering.chest_properties(pretrained.load("features_pneumoniamnist_64", FeatureNet))
    z = generator.latent(LATENTS, seed=0)
    found = steering.directions(z, torch.cat([measure(generator(part)) for part in z.split(250)]))
    probes = generator.latent(PROBES, seed=1)
    moved = torch.stack([steering.response(generator, measure, probes, d, POSITIONS) for d in found])
    moved[..., 0] = moved[..., 0].sigmoid()

    train, val = (data.load("pneumoniamnist", size=64, split=split) for split in ("train", "val"))
    sheet = thumbnails(train.images)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "webp", quality=60, method=6)
    (folder / "neighbours.webp").write_bytes(file.getvalue())
    decoded = np.array(Image.open(file).convert("L"))
    bank = torch.from_numpy(decoded).reshape(-1, THUMBNAIL, ACROSS, THUMBNAIL).movedim(2, 1)
    bank = bank.reshape(-1, 1, THUMBNAIL, THUMBNAIL)[: len(train)] / 127.5 - 1
    # Some validation images are training images, too, and say nothing about strangers.
    strangers = val.images[nearest(val.images, train.images)[0] > 0]
    apart = nearest(area(strangers, THUMBNAIL), bank)[0] / THUMBNAIL
    return {
        "directions": found.tolist(),
        "positions": POSITIONS,
        "moved": moved.mean(2).tolist(),  # by direction, position, property
        "probes": PROBES,
        "chest": {
            "lungs": steering.LUNGS,
            "mediastinum": steering.MEDIASTINUM,
            "frame": steering.CHEST,
            "threshold": steering.AIR,
        },
        "neighbours": {
            "count": len(train),
            "size": THUMBNAIL,
            "across": ACROSS,
            "strangers": len(strangers),
            "apart": torch.quantile(apart, torch.linspace(0, 1, 101)).tolist(),
            "surrogate": train.is_surrogate,
        },
    }


def thumbnails(images: Tensor) -> np.ndarray:
    """Return images ``(N, 1, H, W)`` as one sheet of bytes, ``ACROSS`` in a row."""
    small = area(images, THUMBNAIL)
    rows = -(-len(small) // ACROSS)
    sheet = torch.cat([small, small.new_full((rows * ACROSS - len(small), *small.shape[1:]), -1)])
    sheet = sheet.reshape(rows, ACROSS, THUMBNAIL, THUMBNAIL).movedim(1, 2).flatten(2).flatten(0, 1)
    return ((sheet.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()


def classes(_: Path) -> dict[str, Any]:
    """Measure how much real images of each class differ from one another, for chapter 5."""
    real = data.load("mednist", size=64, split="val")
    return {
        "names": real.class_names,
        "spread": [
            # What metrics.diversity.spread divides by.
            avg_pool2d(real.images[real.labels == k], 4).std(0).mean().item()
            for k in range(len(real.class_names))
        ],
        "surrogate": real.is_surrogate,
    }


SLICES = (0.7, 0.62, 0.5, 0.4, 0.3, 0.78)  # of the unseen patient, as shares of all, from below
RING = 3  # pixels around a lesion with which it is compared


def lesion(_: Path) -> dict[str, Any]:
    """Choose slices of the patient whom chapter 5's pix2pix has not seen."""
    patient = data.load("openms", size=64, split="test")
    net = pretrained.load("pix2pix_openms_64", pix2pix.generator)
    shown = [int(share * len(patient)) for share in SLICES]
    # In white matter of the first slice, about as faint as multiple sclerosis is in T1.
    return canvas(patient, net, shown, {"x": 40, "y": 38, "radius": 2, "grey": 0.45})


def cycle(_: Path) -> dict[str, Any]:
    """Choose healthy heads that chapter 6's CycleGAN has not seen."""
    people = data.load("head2d", size=64, split="val")
    net = pretrained.load("cyclegan_head2d_64", cyclegan.generators)["G_ab"]
    return canvas(people, net, [93, 90, 82, 73], {"x": 28, "y": 30, "radius": 2, "grey": -0.05})


@torch.no_grad()
def canvas(
    people: data.Dataset, net: nn.Module, shown: list[int], example: dict[str, float]
) -> dict[str, Any]:
    """Return T1 slices to paint on, a lesion to begin with, and how bright the lesions of people are."""
    source, target = people.paired("t1", "t2")
    assert people.mask is not None
    ill = people.mask.flatten(1).any(1)
    made = pix2pix.translated(net, source[ill])
    images = {"t1": source[ill], "t2": target[ill], "made": made}
    computed = people.is_surrogate or people.truth is not None
    drawn = "computed slices with lesions" if computed else "slices with lesions that were drawn by hand"
    return {
        "t1": [as_bytes(image) for image in source[shown]],
        "t2": [as_bytes(image) for image in target[shown]],
        "size": 64,
        "ring": RING,
        "example": example,
        "compared": f"{int(ill.sum())} {drawn}",
        "truth": "computed" if computed else "measured",
        "contrast": {name: contrast(each, people.mask[ill]).mean().item() for name, each in images.items()},
    }


def contrast(images: Tensor, mask: Tensor) -> Tensor:
    """Return by how much the pixels of a mask are brighter than those up to ``RING`` pixels around it.

    ``images`` and ``mask`` are ``(N, 1, H, W)``; no mask may be empty.
    """
    inside = mask.float()
    around = max_pool2d(inside, 2 * RING + 1, stride=1, padding=RING) - inside
    return masked_mean(images, inside) - masked_mean(images, around)


def masked_mean(images: Tensor, weight: Tensor) -> Tensor:
    return (images * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def as_bytes(image: Tensor) -> str:
    """Return an image in [-1, 1] as bytes, row by row, in base64."""
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte()
    return base64.b64encode(pixels.numpy().tobytes()).decode()


FACTOR = 4
PATIENTS = slice(0, None, 150)  # of the test split, as in chapter 7


def loupe(_: Path) -> dict[str, Any]:
    """Shrink X-rays of chapter 7's patients, and enlarge them as far as no network is needed."""
    test = data.load("pneumoniamnist", size=64, split="test")
    truth = test.images[PATIENTS]
    small = kspace_crop(truth, FACTOR)
    return {
        "small": small.flatten(1).tolist(),
        "truth": [as_bytes(image) for image in truth],
        "bicubic": [as_bytes(image) for image in bicubic(small, FACTOR)],
        "size": 64,
        "factor": FACTOR,
        "corner": [6, 22],  # of the loupe, at first: ribs
        "surrogate": test.is_surrogate,
    }


WIDGETS = {"explorer": explorer, "classes": classes, "lesion": lesion, "cycle": cycle, "loupe": loupe}


def write(folder: Path) -> None:
    """Write every network and every widget's facts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, net in networks():
        write_network(net, name, folder)
    for name, facts in WIDGETS.items():
        (folder / f"{name}.json").write_text(json.dumps(facts(folder)), encoding="utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Write them beside the copied static files."""
    if exception is None and app.builder.format == "html":
        write(Path(app.outdir) / "_static" / "generators" / "made")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write what the generators need once the pages are there."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
