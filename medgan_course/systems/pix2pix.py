r"""S14, pix2pix (Isola et al. 2017).

*Image-to-Image Translation with Conditional Adversarial Networks*, CVPR 2017.

Of pairs, :math:`x` is to become :math:`y`. The discriminator sees both, the generator is told the answer:

.. math::
    L_D &= \tfrac12\bigl[-\log\sigma(D(x, y)) - \log(1-\sigma(D(x, \hat y)))\bigr], \qquad \hat y = G(x), \\
    L_G &= -\log\sigma(D(x, \hat y)) + \lambda\,\mathbb E|y-\hat y|, \qquad \lambda = 100.

L1 alone asks for the median of all possible answers, which is blurred; the discriminator judges patches and
asks for texture. Chance enters by dropout in the U-Net, in training and at test time. Adam with 2e-4 and
(0.5, 0.999), weights from N(0, 0.02).

At 256 px the paper has ``base=64, depth=8, n_layers=3``; at 64 px a patch of 16 px is a quarter of the side.
"""

from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from medgan_course import data
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream
from medgan_course.experiments import Claim, Experiment, Outcome, Run, Trained
from medgan_course.losses.adversarial import Adversarial, NonSaturating
from medgan_course.losses.pixel import l1
from medgan_course.metrics.fidelity import psnr
from medgan_course.metrics.spectrum import fine_spectrum
from medgan_course.nets.patch import PatchDiscriminator
from medgan_course.nets.unet import UNet
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import dcgan_adam

T = TypeVar("T", bound=tuple[Tensor, ...])


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=32, base=4, batch_size=4, n_score=8),
        cpu=Budget(steps=1_500, size=64, base=16, batch_size=8, n_score=500),
        gpu=Budget(steps=12_000, size=64, base=32, batch_size=32, n_score=500),
    )


def generator(
    *, base: int = 16, depth: int = 4, channels: tuple[int, int] = (1, 1), dim: int = 2
) -> nn.Sequential:
    """Return the U-Net with a tanh; the parameters are those of :func:`pix2pix`."""
    return nn.Sequential(UNet(*channels, base=base, depth=depth, dim=dim), nn.Tanh())


def pix2pix(
    *,
    net: nn.Module | None = None,
    base: int = 16,
    depth: int = 4,
    n_layers: int = 1,
    channels: tuple[int, int] = (1, 1),
    dim: int = 2,
    weight: float = 100.0,
    loss: Adversarial | None = NonSaturating,
    lr: tuple[float, float] = (2e-4, 2e-4),
    seed: int = 0,
) -> Game:
    r"""Return the game of the paper, on batches :class:`~medgan_course.data.batches.Paired`.

    Parameters
    ----------
    net : Module, optional
        The generator, in place of the paper's U-Net.
    base, depth
        Of the generator, see :class:`~medgan_course.nets.unet.UNet`; the discriminator has the same base.
    n_layers
        Of the discriminator, see :class:`~medgan_course.nets.patch.PatchDiscriminator`.
    channels : (int, int)
        Channels of source and target.
    dim : {2, 3}
        2 for images, 3 for volumes.
    weight : float
        :math:`\lambda`.
    loss : Adversarial or None
        The adversarial loss; None trains the generator on L1 alone, without an opponent.
    lr : (float, float)
        Learning rates of generator and discriminator.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = net or generator(base=base, depth=depth, channels=channels, dim=dim)
        discriminator = PatchDiscriminator(sum(channels), base=base, n_layers=n_layers, dim=dim)

    g, d = (
        Player(module, optimiser=partial(dcgan_adam, lr=rate))
        for module, rate in zip((net, discriminator), lr, strict=True)
    )

    def pair(batch: Paired, image: Tensor) -> Tensor:
        return torch.cat([batch.source, image], 1)

    def fidelity(batch: Paired, image: Tensor) -> dict[str, Tensor]:
        return {"l1": weight * l1(image, batch.target)}

    if loss is None:

        def cost(game: Game, batch: Paired) -> dict[str, Tensor]:
            return fidelity(batch, game["G"](batch.source))

        return Game(players={"G": g}, turns=[Turn("G", cost)])

    def discriminator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        real, fake = pair(batch, batch.target), pair(batch, game.kept["fake"])
        terms = loss.d_loss(real=game["D"](real), fake=game["D"](fake))
        return {name: term / 2 for name, term in terms.items()}

    def generator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        fake = game["G"](batch.source)
        game.kept["fake"] = fake.detach()
        return loss.g_loss(fake=game["D"](pair(batch, fake))) | fidelity(batch, fake)

    return Game(
        players={"G": g, "D": d},
        # The public code lets D move first. Here G does, so that its images are made once a step, for both.
        turns=[Turn("G", generator_cost), Turn("D", discriminator_cost)],
    )


@torch.no_grad()
def translated(net: nn.Module, images: Tensor, *, seed: int = 0, batch_size: int = 64) -> Tensor:
    """Return what a generator in evaluation mode makes of ``images``, on the CPU.

    ``seed`` decides its dropout, on one kind of device.
    """
    device = next(net.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return torch.cat([net(part.to(device)).cpu() for part in images.split(batch_size)])


def mirrored(images: T) -> T:
    """Return a NamedTuple of images ``(N, C, H, W)`` and their left-right mirror images, twice as many."""
    return type(images)(*(torch.cat([part, part.flip(-1)]) for part in images))


def spectrum_error(outcome: Outcome) -> float:
    r"""Return :func:`~medgan_course.metrics.spectrum.spectrum_error` of what an arm left behind.

    From the fine spectra ``"power"`` and ``"real power"`` of its images and of their truths, so that a
    bootstrap draws both of the same subjects.
    """
    return (outcome["power"].mean(0) / outcome["real power"].mean(0)).log().abs().mean().item()


def halves(images: Tensor) -> Outcome:
    """Return the reference of :func:`spectrum_error`: every second image beside the others.

    The halves have no image in common and half as many images as an arm has, so chance weighs more here than
    there.
    """
    power = fine_spectrum(images[: len(images) // 2 * 2])
    return {"power": power[::2], "real power": power[1::2]}


def experiment(
    budget: Budget, *, dataset: str = "head2d", source: str = "t1", target: str = "t2"
) -> Experiment:
    """Show the trade-off: what the discriminator takes in PSNR it gives in the spectrum."""
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    pairs = Paired(*(images[: budget.n_score] for images in test.paired(source, target)))

    def outcome(images: Tensor) -> Outcome:
        return {
            "PSNR (dB)": psnr(images, pairs.target, data_range=2),
            "power": fine_spectrum(images),
            "real power": fine_spectrum(pairs.target),
        }

    def arm(run: Run, game: Game) -> Outcome:
        stream = Stream(train.paired(source, target), budget.batch_size, seed=run.seed)
        run.fit(game, stream, budget.steps)
        return outcome(translated(game.averaged("G"), pairs.source, seed=run.seed))

    def both(run: Run) -> Outcome:
        return arm(run, pix2pix(base=budget.base, seed=run.seed))

    def alone(run: Run) -> Outcome:
        return arm(run, pix2pix(base=budget.base, loss=None, seed=run.seed))

    def identity(run: Run) -> Outcome:
        return outcome(pairs.source)

    return Experiment(
        data=[train, test],
        arms={
            "L1 + cGAN": both,
            "L1": alone,
            "identity": identity,
            "halves of the real images": lambda run: halves(pairs.target),
        },
        claims=[
            Claim(
                "The discriminator brings the fine structure nearer to that of real images.",
                metric="spectrum error",
                score=spectrum_error,
                variant="L1 + cGAN",
                baseline="L1",
                better="lower",
                references=["identity", "halves of the real images"],
            ),
            Claim(
                "L1 alone has the higher PSNR: it is a trade-off.",
                metric="PSNR (dB)",
                variant="L1",
                baseline="L1 + cGAN",
                better="higher",
                references=["identity"],
            ),
        ],
    )


def training(
    run: Run,
    *,
    dataset: str = "openms",
    source: str = "t1",
    target: str = "t2",
    size: int = 64,
    base: int = 24,
    depth: int = 4,
    steps: int = 8_000,
    batch_size: int = 8,
) -> Trained:
    """Train the generator on pairs of slices and their mirror images, to be kept."""
    train = data.load(dataset, size=size, split="train")
    game = pix2pix(base=base, depth=depth, seed=run.seed)
    stream = Stream(mirrored(train.paired(source, target)), batch_size, seed=run.seed)
    history = run.fit(game, stream, steps)
    return Trained(game.averaged("G"), generator, {"base": base, "depth": depth}, train, history)
