"""pix2pix from T1 to T2, 64 px, batch 8: ours beside the loop of the paper's public code.

That loop makes its fake once for both players, switches D's gradients off for G's turn, and reads pairs from
a ``Dataset`` that normalises each image when it is asked for.
"""

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Tick, endless
from medgan_course import data
from medgan_course.data.batches import Stream
from medgan_course.systems.pix2pix import pix2pix
from medgan_course.train import fit

TITLE = "pix2pix, 64 px, base 16, batch 8"
BATCH = 8


class Pairs(Dataset):
    """Pairs of 8-bit images, made floats in [-1, 1] one by one."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self.source, self.target = (((each + 1) * 127.5).round().byte() for each in (source, target))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return tuple(each[index].float() / 127.5 - 1 for each in (self.source, self.target))


def pairs() -> tuple[Tensor, Tensor]:
    return data.load("head2d", size=64, split="train").paired("t1", "t2")


def ours(device: torch.device, tick: Tick, steps: int) -> None:
    stream = Stream(pairs(), BATCH)
    fit(pix2pix(), stream, steps, device=device, watch=lambda game: tick(game.step), watch_every=1)


def usual(device: torch.device, tick: Tick, steps: int) -> None:
    game = pix2pix()
    generator, discriminator = game["G"].to(device), game["D"].to(device)
    optimiser_g, optimiser_d = (
        Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (generator, discriminator)
    )
    criterion = nn.BCEWithLogitsLoss()
    losses = []
    loader = DataLoader(Pairs(*pairs()), BATCH, shuffle=True, drop_last=True)
    for step, (source, target) in zip(range(steps), endless(loader, device), strict=False):
        tick(step)
        fake = generator(source)
        discriminator.requires_grad_(True)
        optimiser_d.zero_grad()
        on_fake = discriminator(torch.cat([source, fake.detach()], 1))
        on_real = discriminator(torch.cat([source, target], 1))
        loss_d = (
            criterion(on_fake, torch.zeros_like(on_fake)) + criterion(on_real, torch.ones_like(on_real))
        ) / 2
        loss_d.backward()
        optimiser_d.step()
        discriminator.requires_grad_(False)
        optimiser_g.zero_grad()
        on_fake = discriminator(torch.cat([source, fake], 1))
        loss_g = criterion(on_fake, torch.ones_like(on_fake)) + 100 * (fake - target).abs().mean()
        loss_g.backward()
        optimiser_g.step()
        losses.append((loss_d.item(), loss_g.item()))
    tick(steps)


ARMS = {"ours": ours, "usual loop": usual}
