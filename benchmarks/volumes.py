"""WGAN-GP on volumes of 28 voxels a side, batch 8, five critic moves: ours beside the usual loop.

The volumes are AdrenalMNIST3D's shapes. An image counted is one that a critic move looked at.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from benchmarks.measure import Tick, endless, medmnist_folder
from medgan_course.data.batches import Batches
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.nets.dcgan import Discriminator, Generator
from medgan_course.systems.gan import costs
from medgan_course.systems.wgan_gp import critic_cost
from medgan_course.train import Game, Player, Turn, fit

TITLE = "WGAN-GP, 28 x 28 x 28 voxels, base 8, batch 8, five critic moves"
CRITIC_MOVES = 5
BATCH = 8 * CRITIC_MOVES
FILE = "adrenalmnist3d.npz"


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Generator(28, base=8, dim=3), Discriminator(28, base=8, norm="none", dim=3)


def adams(*nets: nn.Module, fused: bool) -> list[Adam]:
    return [Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9), fused=fused) for net in nets]


def ours(device: torch.device, tick: Tick, steps: int) -> None:
    with np.load(medmnist_folder(FILE) / FILE) as file:
        volumes = torch.from_numpy(file["train_images"])[:, None].float() * 2 - 1
    players = {
        name: Player(net, optimiser=lambda p: Adam(p, lr=1e-4, betas=(0.0, 0.9), fused=True))
        for name, net in zip("GD", networks(), strict=True)
    }
    game = Game(players, [Turn("D", critic_cost, times=CRITIC_MOVES), Turn("G", costs(Wasserstein)[1])])
    stream = Batches(volumes, torch.zeros(len(volumes), dtype=torch.long), 8)
    fit(game, stream, steps, device=device, watch=lambda game: tick(game.step), watch_every=1)


def usual(device: torch.device, tick: Tick, steps: int) -> None:
    from medmnist import AdrenalMNIST3D

    def prepared(volume: np.ndarray) -> Tensor:
        return torch.from_numpy(volume).float() * 2 - 1

    images = AdrenalMNIST3D(split="train", root=medmnist_folder(FILE), transform=prepared)
    batches = endless(DataLoader(images, 8, shuffle=True, drop_last=True), device)
    generator, critic = (net.to(device) for net in networks())
    optimiser_g, optimiser_d = adams(generator, critic, fused=False)
    losses = []
    for step in range(steps):
        tick(step)
        for _ in range(CRITIC_MOVES):
            real, _ = next(batches)
            fake = generator(torch.randn(8, generator.z_dim, device=device)).detach()
            epsilon = torch.rand(8, 1, 1, 1, 1, device=device)
            between = (epsilon * real + (1 - epsilon) * fake).requires_grad_(True)
            logits = critic(between)
            (slope,) = torch.autograd.grad(
                logits, between, torch.ones_like(logits), create_graph=True, retain_graph=True
            )
            penalty = ((slope.reshape(8, -1).norm(2, dim=1) - 1) ** 2).mean()
            loss_d = critic(fake).mean() - critic(real).mean() + 10 * penalty
            optimiser_d.zero_grad()
            loss_d.backward()
            optimiser_d.step()
        loss_g = -critic(generator(torch.randn(8, generator.z_dim, device=device))).mean()
        optimiser_g.zero_grad()
        loss_g.backward()
        optimiser_g.step()
        losses.append((loss_d.item(), loss_g.item()))
    tick(steps)


ARMS = {"ours": ours, "usual loop": usual}
