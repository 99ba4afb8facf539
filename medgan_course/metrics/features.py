"""A domain feature network: what Inception is to photographs, trained on the images in question.

ImageNet features know dogs, not lungs, and their weights are a download. This network is trained on the real
training split to read the label and, because one binary label says little about anatomy, to tell by how many
right angles an image was turned (Gidaris, Singh & Komodakis 2018).

.. code-block:: console

    python -m medgan_course.metrics.features --size 28 --out
    checkpoints/features_pneumoniamnist_28.safetensors

makes the shipped weights.
"""

import hashlib
import os
import shlex
import sys
import time
from pathlib import Path

import click
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medgan_course import data, pretrained
from medgan_course.data.augment import diff_augment
from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import BATCH_NORM, CONVOLUTION
from medgan_course.writing import replacing


class FeatureNet(nn.Module):
    """Five convolutions, global average pooling, and two linear heads on the 64 features.

    Parameters
    ----------
    size : int
        Side of the images it is trained for, in pixels; a multiple of 4.
    n_classes : int
        Number of labels.
    channels : int
        Image channels.
    dim : {2, 3}
        Images or volumes.
    """

    width = 64

    def __init__(self, size: int, n_classes: int, channels: int = 1, dim: int = 2) -> None:
        super().__init__()
        if dim not in CONVOLUTION:
            raise CourseError(f"A feature network has dim=2 for images or dim=3 for volumes, not {dim!r}.")
        self.shape = (channels, *[size] * dim)
        layers: list[nn.Module] = []
        width_in = channels
        for width, stride in ((16, 1), (32, 2), (48, 2), (64, 2 if size >= 64 else 1), (self.width, 1)):
            layers += [
                CONVOLUTION[dim](width_in, width, 3, stride, padding=1, bias=False),
                BATCH_NORM[dim](width),
                nn.ReLU(),
            ]
            width_in = width
        # Convolutions follow their weights' layout, and channels last is the faster one on a CPU, too.
        last = torch.channels_last if dim == 2 else torch.channels_last_3d
        self.layers = nn.Sequential(*layers).to(memory_format=last)
        self.label = nn.Linear(self.width, n_classes)
        self.rotation = nn.Linear(self.width, 4)

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return self.shape[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the five feature maps of images ``(N, C, size, size)``, or volumes, in [-1, 1].

        Each is what a convolution, its batch norm and ReLU give, from ``(N, 16, size, size)`` to ``(N, 64,
        size / 4, size / 4)``, an eighth instead of a quarter from 64 px on. For
        :func:`medgan_course.losses.feature.perceptual`.
        """
        if images.shape[1:] != self.shape:
            raise CourseError(
                f"This feature network reads images of {_described(self.shape)}, "
                f"not {_described(tuple(images.shape[1:]))}."
            )
        found = []
        for layer in self.layers:
            images = layer(images)
            if isinstance(layer, nn.ReLU):
                found.append(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, size, size)``, or volumes, in [-1, 1] to features ``(N, 64)``."""
        return self.maps(images)[-1].flatten(2).mean(2)


def _described(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape[1:]))} px in {shape[0]} channel(s)"


@torch.no_grad()
def features(net: FeatureNet, images: Tensor, *, cache: bool = False) -> Tensor:
    """Return the features ``(N, 64)`` of any number of images, in batches, on the CPU.

    Parameters
    ----------
    net : FeatureNet
        In evaluation mode.
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)`` in [-1, 1].
    cache : bool
        Keep the result on disk, under a name made of the content of images and weights, and read it the next
        time. Worth it for real images, which are asked for again; pointless for generated ones. Any change of
        an image, a weight or this file gives another name. The folder, :func:`cache_folder`, may be emptied
        at any time.

    Raises
    ------
    CourseError
        If the network is in training mode, where an image's features depend on its batch, or if the cache
        cannot be written.
    """
    if net.training:
        raise CourseError("Features need net.eval(): in training mode they depend on the rest of the batch.")
    if cache:
        path = cache_folder() / f"features-{_content(net, images)}.safetensors"
        found = _read(path)
        if found is not None:
            return found
    device = next(net.parameters()).device
    # Parts small enough for their feature maps to stay in a processor's cache.
    computed = torch.cat([net(part.to(device)).cpu() for part in images.split(64)])
    if cache:
        try:
            with replacing(path) as partial:
                save_file({"features": computed}, partial, metadata={"sha256": _sha256(computed)})
        except (OSError, SafetensorError) as error:
            raise CourseError(
                f"Features cannot be kept in {path.parent} ({error}): set MEDGAN_CACHE to a folder with "
                "space, or leave cache=True away."
            ) from error
    return computed


def cache_folder() -> Path:
    """Return where features are kept: the folder ``MEDGAN_CACHE`` names, else the user's cache folder."""
    named = os.environ.get("MEDGAN_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch  # takes longer than a feature

    return Path(pooch.os_cache("medgan_course"))


def _content(net: FeatureNet, images: Tensor) -> str:
    """Return a hash of all that features depend on."""
    digest = hashlib.sha256(Path(__file__).read_bytes())  # how the network computes
    for name, tensor in [*net.state_dict().items(), ("images", images)]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_sha256(tensor)}\n".encode())
    return digest.hexdigest()[:32]


def _sha256(tensor: Tensor) -> str:
    whole = tensor.detach().cpu().contiguous()
    return hashlib.sha256(whole.view(-1).view(torch.uint8).numpy().data).hexdigest()


def _read(path: Path) -> Tensor | None:
    """Return the features in ``path``, or None if there are none or they are not what was written."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found, noted = file.get_tensor("features"), (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):  # damaged: computed again
        return None
    return found if _sha256(found) == noted else None


@torch.no_grad()
def inception_features(images: Tensor) -> Tensor:
    """Return the 2048 Inception features ``(N, 2048)`` that published FIDs are computed from.

    They need the package torch-fidelity and its weights, 91 MB, in torch's own cache; nothing is downloaded
    here. The course never needs them: they are trained on photographs.

    Parameters
    ----------
    images : Tensor
        ``(N, 1, H, W)`` or ``(N, 3, H, W)`` in [-1, 1]; a grey image becomes three equal channels.

    Raises
    ------
    CourseError
        If package or weights are missing, or the images have another shape.
    """
    weights = Path(torch.hub.get_dir()) / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError as error:
        raise CourseError("Inception features need the package: pip install torch-fidelity.") from error
    if not weights.is_file():
        raise CourseError(
            f"Inception features need the file {URL_INCEPTION_V3} in {weights.parent}; "
            "FeatureNet needs no download."
        )
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise CourseError(f"Inception reads images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
    net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
    seen = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
    return torch.cat([net(part)[0] for part in seen.split(64)])


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image by ``turns[i]`` right angles, a volume about its first spatial axis."""
    return torch.stack([torch.rot90(image, int(k), (-2, -1)) for image, k in zip(images, turns, strict=True)])


def train(
    net: FeatureNet, images: Tensor, labels: Tensor, *, steps: int, batch_size: int = 128, seed: int = 0
) -> None:
    """Train ``net`` in place on label and rotation, with Adam and one cosine cycle of the learning rate."""
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    batches = data.Batches(images, labels, batch_size, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps):
            batch = batches[step]
            # diff_augment shifts in the plane only.
            seen = diff_augment(batch.images) if batch.images.ndim == 4 else batch.images
            turns = torch.randint(4, (len(seen),))
            loss = cross_entropy(net.label(net(seen)), batch.labels) + cross_entropy(
                net.rotation(net(turned(seen, turns))), turns
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    net.eval()


@click.command(help=__doc__.partition("\n")[0])
@click.option("--data", "dataset", default="pneumoniamnist", show_default=True)
@click.option("--size", default=28, show_default=True, type=int)
@click.option("--steps", default=800, show_default=True, type=int)
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
def main(dataset: str, size: int, steps: int, seed: int, out: Path) -> None:
    torch.set_flush_denormal(True)
    real, held_out = (data.load(dataset, size=size, split=split) for split in ("train", "val"))
    config = {
        "size": size,
        "n_classes": len(real.class_names),
        "channels": real.images.shape[1],
        "dim": real.images.ndim - 2,
    }
    torch.manual_seed(seed)
    net = FeatureNet(**config)
    started = time.perf_counter()
    train(net, real.images, real.labels, steps=steps, seed=seed)
    seen = features(net, held_out.images)
    guessed = net.label(seen).argmax(1)
    turns = torch.arange(len(held_out)) % 4
    pretrained.save(
        net,
        out,
        build=FeatureNet,
        config=config,
        system="domain feature network (M02)",
        data={"name": dataset, "split": "train", "size": size, "n": len(real), "source": real.source},
        surrogate=real.is_surrogate,
        steps=steps,
        seed=seed,
        device=f"CPU, {torch.get_num_threads()} thread(s)",
        seconds=round(time.perf_counter() - started),
        command=shlex.join(["python", *sys.orig_argv[1:]]),
        validation={
            "n": len(held_out),
            "label_accuracy": round(float((guessed == held_out.labels).double().mean()), 4),
            "majority_class": round(float(held_out.labels.bincount().max() / len(held_out)), 4),
            "rotation_accuracy": round(
                float(
                    (net.rotation(features(net, turned(held_out.images, turns))).argmax(1) == turns)
                    .double()
                    .mean()
                ),
                4,
            ),
        },
    )
    click.echo(f"Wrote {out} and its card.")


if __name__ == "__main__":
    main()
