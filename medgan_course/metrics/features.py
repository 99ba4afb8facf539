"""A domain feature network: what Inception is to photographs, trained on the images in question.

ImageNet features know dogs, not lungs, and their weights are a download. This network is trained on the real
training split to read the label and, because one binary label says little about anatomy, to tell by how many
right angles an image was turned (Gidaris, Singh & Komodakis 2018).

    python -m medgan_course.metrics.features --size 28 --out
    checkpoints/features_pneumoniamnist_28.safetensors

makes the shipped weights.
"""

import time
from pathlib import Path

import click
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medgan_course import data, pretrained
from medgan_course.data.augment import diff_augment
from medgan_course.errors import CourseError


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
    """

    dim = 64

    def __init__(self, size: int, n_classes: int, channels: int = 1) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        width_in = channels
        for width, stride in ((16, 1), (32, 2), (48, 2), (64, 2 if size >= 64 else 1), (self.dim, 1)):
            layers += [
                nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            width_in = width
        self.layers = nn.Sequential(*layers)
        self.label = nn.Linear(self.dim, n_classes)
        self.rotation = nn.Linear(self.dim, 4)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, size, size)`` in [-1, 1] to features ``(N, 64)``."""
        if images.shape[-2:] != (self.size, self.size):
            raise CourseError(
                f"This feature network reads images of {self.size} x {self.size} px, "
                f"not {images.shape[-2]} x {images.shape[-1]}."
            )
        return self.layers(images).mean(dim=(2, 3))


@torch.no_grad()
def features(net: FeatureNet, images: Tensor) -> Tensor:
    """Return the features ``(N, 64)`` of any number of images, in batches, on the CPU."""
    device = next(net.parameters()).device
    return torch.cat([net(part.to(device)).cpu() for part in images.split(256)])


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
            seen = diff_augment(batch.images)
            turns = torch.randint(4, (len(seen),))
            turned = torch.stack(
                [torch.rot90(image, int(k), (1, 2)) for image, k in zip(seen, turns, strict=True)]
            )
            loss = cross_entropy(net.label(net(seen)), batch.labels) + cross_entropy(
                net.rotation(net(turned)), turns
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
    config = {"size": size, "n_classes": len(real.class_names)}
    torch.manual_seed(seed)
    net = FeatureNet(**config)
    started = time.perf_counter()
    train(net, real.images, real.labels, steps=steps, seed=seed)
    seen = features(net, held_out.images)
    guessed = net.label(seen).argmax(1)
    turns = torch.arange(len(held_out)) % 4
    turned = torch.stack(
        [torch.rot90(image, int(k), (1, 2)) for image, k in zip(held_out.images, turns, strict=True)]
    )
    pretrained.save(
        net,
        out,
        config=config,
        system="domain feature network (M02)",
        data={"name": dataset, "split": "train", "size": size, "n": len(real), "source": real.source},
        surrogate=real.is_surrogate,
        steps=steps,
        seed=seed,
        device=f"CPU, {torch.get_num_threads()} thread(s)",
        seconds=round(time.perf_counter() - started),
        validation={
            "n": len(held_out),
            "label_accuracy": round(float((guessed == held_out.labels).double().mean()), 4),
            "majority_class": round(float(held_out.labels.bincount().max() / len(held_out)), 4),
            "rotation_accuracy": round(
                float((net.rotation(features(net, turned)).argmax(1) == turns).double().mean()), 4
            ),
        },
    )
    click.echo(f"Wrote {out} and its card.")


if __name__ == "__main__":
    main()
