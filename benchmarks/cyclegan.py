"""CycleGAN between T1 and T2, 64 px, batch 4: ours beside the loop of the paper's public code.

That loop makes its fakes once for both turns, keeps a pool of 50, and switches the discriminators' gradients
off for the generators' turn.
"""

import random
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from benchmarks.measure import Tick, endless
from benchmarks.pix2pix import Pairs
from medgan_course import data
from medgan_course.data.batches import Stream, Unpaired
from medgan_course.systems.cyclegan import cyclegan
from medgan_course.train import fit

TITLE = "CycleGAN, 64 px, base 16, batch 4"
BATCH = 4


class Pool:
    """The image pool of the public code."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.images = size, []

    def query(self, images: Tensor) -> Tensor:
        chosen = []
        for image in images.detach():
            image = image[None]
            if len(self.images) < self.size:
                self.images.append(image)
                chosen.append(image)
            elif random.random() > 0.5:
                place = random.randrange(self.size)
                chosen.append(self.images[place].clone())
                self.images[place] = image
            else:
                chosen.append(image)
        return torch.cat(chosen)


def unpaired() -> Unpaired:
    return data.load("head2d", size=64, split="train").unpaired("t1", "t2")


def ours(device: torch.device, tick: Tick, steps: int) -> None:
    stream = Stream(unpaired(), BATCH, apart=True)
    game = cyclegan(steps)
    fit(game, stream, steps, device=device, watch=lambda game: tick(game.step), watch_every=1)


def usual(device: torch.device, tick: Tick, steps: int) -> None:
    game = cyclegan(steps)
    a_to_b, b_to_a, judge_a, judge_b = (game[name].to(device) for name in ("G_ab", "G_ba", "D_a", "D_b"))
    optimiser_g, optimiser_d = (
        Adam(chain(*(net.parameters() for net in nets)), lr=2e-4, betas=(0.5, 0.999))
        for nets in ((a_to_b, b_to_a), (judge_a, judge_b))
    )
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda s: 1 - max(0, s - steps // 2) / (steps // 2 + 1))
        for o in (optimiser_g, optimiser_d)
    ]
    squares, l1 = nn.MSELoss(), nn.L1Loss()
    pool_a, pool_b = Pool(), Pool()
    losses = []

    def against(logits: Tensor, real: bool) -> Tensor:
        return squares(logits, torch.ones_like(logits) if real else torch.zeros_like(logits))

    loader = DataLoader(Pairs(*unpaired()), BATCH, shuffle=True, drop_last=True)
    for step, (a, b) in zip(range(steps), endless(loader, device), strict=False):
        tick(step)
        fake_b, fake_a = a_to_b(a), b_to_a(b)
        for net in (judge_a, judge_b):
            net.requires_grad_(False)
        optimiser_g.zero_grad()
        loss_g = (
            against(judge_b(fake_b), True)
            + against(judge_a(fake_a), True)
            + 10 * (l1(b_to_a(fake_b), a) + l1(a_to_b(fake_a), b))
        )
        loss_g.backward()
        optimiser_g.step()
        for net in (judge_a, judge_b):
            net.requires_grad_(True)
        optimiser_d.zero_grad()
        for net, real, fake in ((judge_a, a, pool_a.query(fake_a)), (judge_b, b, pool_b.query(fake_b))):
            ((against(net(real), True) + against(net(fake), False)) / 2).backward()
        optimiser_d.step()
        for schedule in schedules:
            schedule.step()
        losses.append(loss_g.item())
    tick(steps)


ARMS = {"ours": ours, "usual loop": usual}
