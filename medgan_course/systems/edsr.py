r"""S17, EDSR (Lim et al. 2017).

*Enhanced Deep Residual Networks for Single Image Super-Resolution*, CVPR Workshops 2017. No adversary: a game
of one player.

SRResNet without batch norm (:func:`medgan_course.nets.super_resolution.edsr`), trained on

.. math:: L = \mathbb E|y - G(x)|

with Adam, 1e-4 and (0.9, 0.999), halved after two thirds of the training, on patches that are turned and
mirrored. EDSR+ averages the answers to the eight views of an image (:func:`self_ensemble`).
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from medgan_course import data, draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.pixel import l1
from medgan_course.metrics.fidelity import psnr
from medgan_course.nets.super_resolution import edsr as network
from medgan_course.systems.pix2pix import translated
from medgan_course.train import Game, Player, Turn


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=64, base=4, batch_size=2, n_score=8),
        cpu=Budget(steps=1_000, size=64, base=32, batch_size=16, n_score=200),
        gpu=Budget(steps=20_000, size=64, base=64, batch_size=32, n_score=624),
    )


def edsr(
    steps: int,
    factor: int = 4,
    *,
    base: int = 64,
    blocks: int = 16,
    channels: int = 1,
    batch_norm: bool = False,
    lr: float = 1e-4,
    seed: int = 0,
) -> Game:
    """Return the game of one, on batches ``Paired(source=small images, target=large ones)``.

    Parameters
    ----------
    steps : int
        Length of the training; the learning rate is halved after two thirds.
    factor, base, blocks, channels, batch_norm
        See :func:`~medgan_course.nets.super_resolution.edsr`.
    lr : float
        Learning rate at the start. The paper's 1e-4 is for 300 000 steps.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(factor, base=base, blocks=blocks, channels=channels, batch_norm=batch_norm)

    def adam(parameters: Iterable[nn.Parameter]) -> Adam:
        return Adam(parameters, lr=lr, fused=True)

    def cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        # One view for the whole batch: its images stay of one shape, and no image is better off for it.
        # Nor of one process: each draws the same view.
        with draws.share(0, 1):
            view = int(draws.integers(8, 1))
        return {"l1": l1(game["G"](turned(batch.source, view)), turned(batch.target, view))}

    player = Player(net, optimiser=adam, schedule=lambda o: StepLR(o, max(1, 2 * steps // 3), gamma=0.5))
    return Game(players={"G": player}, turns=[Turn("G", cost)])


def turned(images: Tensor, view: int) -> Tensor:
    r"""Return images in one of the eight views of a square.

    .. math:: i \mapsto -i \bmod n

    along the columns if bit 0 of ``view`` is set, along the rows if bit 1 is, and rows exchanged for columns
    if bit 2 is. Sample 0 stays where it is, so small sample j stays at large sample sj
    (:func:`medgan_course.data.kspace.kspace_crop`). Plain mirroring, :math:`i\mapsto n-1-i`, would shift the
    small image against the large one by :math:`s-1` px.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)``.
    view : int
        0 to 7; 0 is the image itself.
    """
    images = _mirrored(images, view)
    return images.transpose(-2, -1) if view & 4 else images


def turned_back(images: Tensor, view: int) -> Tensor:
    """Undo :func:`turned`."""
    return _mirrored(images.transpose(-2, -1) if view & 4 else images, view)


def _mirrored(images: Tensor, view: int) -> Tensor:
    for bit, axis in ((1, -1), (2, -2)):
        if view & bit:
            images = images.flip(axis).roll(1, axis)
    return images


def self_ensemble(net: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    r"""Return the mean of a network's answers to the eight views of its input (section 3.4).

    .. math:: \frac18\sum_{i=1}^8 T_i^{-1}\,G(T_i\,x), \qquad T_i \in \text{the symmetries of the square}

    What is right stays, what depends on the orientation averages out: for a convex loss, such as L1 or the
    square, the error of the mean is at most the mean of the views' errors.

    Parameters
    ----------
    net : callable
        Images to images, of any other size.
    images : Tensor
        ``(N, C, H, W)``.
    """
    return torch.stack([turned_back(net(turned(images, view)), view) for view in range(8)]).mean(0)


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist", factor: int = 4) -> Experiment:
    """Compare the network with itself under batch norm, and with its own self-ensemble."""
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    truth = test.images[: budget.n_score]
    whole = Paired(kspace_crop(train.images, factor), train.images)
    small = kspace_crop(truth, factor)

    def outcome(images: Tensor) -> Outcome:
        return {"PSNR (dB)": psnr(images.clamp(-1, 1), truth, data_range=2)}

    def trained(run: Run, *, batch_norm: bool = False) -> nn.Module:
        game = edsr(
            budget.steps,
            factor,
            base=budget.base,
            blocks=6,
            batch_norm=batch_norm,
            lr=5e-4,
            seed=run.seed,
        )
        # The ensemble is of the same network: both arms share one training of each seed.
        name = "with batch norm" if batch_norm else "EDSR"
        run.fit(game, Stream(whole, budget.batch_size, seed=run.seed), budget.steps, name=name)
        return game.averaged("G")

    def ensemble(run: Run) -> Outcome:
        return outcome(self_ensemble(partial(translated, trained(run)), small))

    return Experiment(
        data=[train, test],
        arms={
            "EDSR": lambda run: outcome(translated(trained(run), small)),
            "with batch norm": lambda run: outcome(translated(trained(run, batch_norm=True), small)),
            "EDSR+": ensemble,
            "bicubic": lambda run: outcome(bicubic(small, factor)),
            "zero-filled": lambda run: outcome(zero_fill(small, factor)),
        },
        claims=[
            Claim(
                "Without batch norm the same network has the higher PSNR.",
                metric="PSNR (dB)",
                variant="EDSR",
                baseline="with batch norm",
                better="higher",
                references=["bicubic", "zero-filled"],
            ),
            Claim(
                "The self-ensemble adds to it.",
                metric="PSNR (dB)",
                variant="EDSR+",
                baseline="EDSR",
                better="higher",
                references=["bicubic", "zero-filled"],
            ),
        ],
    )
