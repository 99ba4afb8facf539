r"""S02, VAE (Kingma & Welling 2014).

*Auto-Encoding Variational Bayes*, ICLR 2014. The contrast to a GAN: likelihood in the place of a
discriminator.

An encoder maps an image :math:`x` to a normal distribution of codes with mean :math:`\mu` and variance
:math:`s^2`; a code :math:`z = \mu + s\odot\epsilon`, :math:`\epsilon\sim\mathcal N(0, I)`, is decoded to the
mean :math:`G(z)` of a normal distribution of images with standard deviation :math:`\sigma_x`. Both lower

.. math::
    L = \mathbb E\,\frac{1}{2\sigma_x^2}\|x-G(z)\|^2
        + \beta\,\tfrac12\sum_j\bigl(\mu_j^2+s_j^2-\log s_j^2-1\bigr),

which with :math:`\beta=1` is minus the evidence lower bound, less the constant
:math:`\tfrac P2\log(2\pi\sigma_x^2)` for :math:`P` pixels. The norm and the second term are sums over pixels
and codes, not means; :math:`\sigma_x` sets their balance, and with it how blurred the images are, for
:math:`G(z)` is the mean of all images that :math:`z` may stand for.

A game of one side: encoder and decoder move together. The decoder is the DCGAN generator, the encoder its
discriminator's trunk with two heads.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from medgan_course import data, draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.latent import kl_normal
from medgan_course.metrics.fidelity import psnr
from medgan_course.metrics.spectrum import fine_spectrum
from medgan_course.nets.dcgan import Generator, Trunk
from medgan_course.nets.heads import Heads
from medgan_course.systems.dcgan import dcgan, sampler
from medgan_course.train import Game, Player, Turn


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=500),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def vae(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 32,
    channels: int = 1,
    sigma: float = 0.3,
    beta: float = 1.0,
    seed: int = 0,
) -> Game:
    r"""Return the game of encoder ``"E"`` and decoder ``"G"``.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    base : int
        Width of both networks, see :class:`~medgan_course.nets.dcgan.Generator`.
    z_dim : int
        Length of the code.
    channels : int
        Image channels; 1 for grey.
    sigma : float
        :math:`\sigma_x`, in units of the images' range [-1, 1].
    beta : float
        Weight of the KL divergence; other than 1 in the beta-VAE of Higgins et al. (2017).
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Generator(size, z_dim, base, channels)
        encoder = Heads(Trunk(size, base, channels), mean=z_dim, log_variance=z_dim)

    def cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        code = game["E"](batch.images)
        noise = draws.normal(*code["mean"].shape, device=batch.images.device)
        decoded = game["G"](code["mean"] + (0.5 * code["log_variance"]).exp() * noise)
        square = (batch.images - decoded).square().flatten(1).sum(1).mean()
        return {"reconstruction": square / (2 * sigma**2), "kl": beta * kl_normal(**code)}

    adam = partial(Adam, lr=1e-3, fused=True)
    return Game(
        players={"E": Player(encoder, optimiser=adam), "G": Player(decoder, optimiser=adam)},
        turns=[Turn(("E", "G"), cost)],
    )


@torch.no_grad()
def reconstruct(game: Game, images: Tensor) -> Tensor:
    """Return the decoded means of the codes of ``images``, of the same shape, on the CPU."""
    encoder, decoder = game.averaged("E"), game.averaged("G")
    device = next(encoder.parameters()).device
    return decoder(encoder(images.to(device))["mean"]).cpu()


def inverted(generator: Generator, images: Tensor, *, steps: int = 200) -> Tensor:
    """Return what ``generator`` makes of the latents that Adam finds for ``images`` by squared error."""
    z = generator.latent(len(images), seed=0).requires_grad_()
    optimiser = Adam([z], lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        (generator(z) - images).square().sum().backward()
        optimiser.step()
    return generator(z).detach()


def fine_power(images: Tensor) -> Tensor:
    """Return each image's power in the rings of the spectrum above half the Nyquist frequency, ``(N,)``."""
    return fine_spectrum(images).sum(1)


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Compare the fine detail of samples, and the fidelity of reconstructions, with those of DCGAN.

    DCGAN has no encoder: 200 steps of Adam on the latents stand in for one, which takes them far longer than
    the VAE's encoder takes. Images are compared with those of ``val``, in which the classes have the shares
    that they have in ``train``.
    """
    train, held_out = (data.load(dataset, size=budget.size, split=split) for split in ("train", "val"))
    real, asked = fine_power(held_out.images).mean(), held_out.images[:64]
    nets: dict[str, Any] = {"base": budget.base, "z_dim": 32, "channels": train.images.shape[1]}

    def outcome(game: Game, reconstruction: Tensor, seed: int) -> Outcome:
        generator = sampler(game).cpu()
        with torch.no_grad():
            made = generator(generator.latent(budget.n_score, seed=seed))
        return {
            "fine power, generated / real": fine_power(made) / real,
            "PSNR of reconstructions": psnr(reconstruction, asked, data_range=2),
        }

    def vae_arm(run: Run) -> Outcome:
        game = vae(budget.size, **nets, seed=run.seed)
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return outcome(game, reconstruct(game, asked), run.seed)

    def dcgan_arm(run: Run) -> Outcome:
        game = dcgan(budget.size, **nets, seed=run.seed)
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return outcome(game, inverted(sampler(game).cpu(), asked), run.seed)

    def real_arm(run: Run) -> Outcome:
        return {"fine power, generated / real": fine_power(train.images[: len(held_out)]) / real}

    def mean_arm(run: Run) -> Outcome:
        mean = train.images.mean(0).expand_as(asked)
        return {"PSNR of reconstructions": psnr(mean, asked, data_range=2)}

    return Experiment(
        data=[train, held_out],
        arms={"VAE": vae_arm, "DCGAN": dcgan_arm, "real images": real_arm, "mean image": mean_arm},
        claims=[
            Claim(
                "Above half the Nyquist frequency, VAE samples have less than 0.6 of real images' power.",
                metric="fine power, generated / real",
                variant="VAE",
                better="lower",
                margin=0.6,
                references=["real images"],
            ),
            Claim(
                "VAE samples have less power there than DCGAN's.",
                metric="fine power, generated / real",
                variant="VAE",
                baseline="DCGAN",
                better="lower",
                references=["real images"],
            ),
            Claim(
                "The VAE's reconstructions are closer to the image than the best found with DCGAN.",
                metric="PSNR of reconstructions",
                variant="VAE",
                baseline="DCGAN",
                better="higher",
                references=["mean image"],
            ),
        ],
    )
