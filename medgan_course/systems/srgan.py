r"""S18, SRGAN (Ledig et al. 2017).

*Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network*, CVPR 2017.

First the generator, SRResNet, learns the mean square error alone; then a discriminator joins:

.. math::
    L_D &= -\log\sigma(D(y)) - \log(1-\sigma(D(\hat y))), \qquad \hat y = G(x), \\
    L_G &= \mathbb E\bigl(\phi(y)-\phi(\hat y)\bigr)^2 + 10^{-3}\,\bigl(-\log\sigma(D(\hat y))\bigr).

:math:`\phi` are features of a fixed network: the paper's is the fourth convolution before the fifth pooling
of VGG19, here one of the domain. Without one the content is the mean square error of the pixels, the paper's
SRGAN-MSE. Adam with (0.9, 0.999) and 1e-4, which falls to 1e-5 in the second half of the adversarial
training.

The mean square error asks for the mean of all large images that may belong to a small one: the highest PSNR,
and blurred. The adversary asks for one that could be real; what it adds need not be true.
"""

import copy
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from medgan_course import data, pretrained
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.experiments import Claim, Experiment, Outcome, Run, Trained
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.feature import perceptual
from medgan_course.metrics.distribution import frechet_distance
from medgan_course.metrics.features import FeatureNet
from medgan_course.metrics.features import features as domain_features
from medgan_course.metrics.fidelity import psnr
from medgan_course.metrics.spectrum import fine_spectrum
from medgan_course.nets.super_resolution import SRDiscriminator
from medgan_course.nets.super_resolution import srresnet as network
from medgan_course.systems.pix2pix import halves, spectrum_error, translated
from medgan_course.train import Game, Player, Turn


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=64, base=4, batch_size=2, n_score=8),
        cpu=Budget(steps=600, size=64, base=32, batch_size=16, n_score=600),
        gpu=Budget(steps=10_000, size=64, base=64, batch_size=32, n_score=600),
    )


def srresnet(
    factor: int = 4, *, base: int = 64, blocks: int = 16, channels: int = 1, lr: float = 1e-4, seed: int = 0
) -> Game:
    """Return the first game, of one player, on batches ``Paired(source=small images, target=large ones)``.

    Parameters
    ----------
    factor, base, blocks, channels
        See :func:`~medgan_course.nets.super_resolution.srresnet`.
    lr : float
        Learning rate. The paper's 1e-4 is for a million steps.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(factor, base=base, blocks=blocks, channels=channels)

    def cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        return {"mse": mse_loss(game["G"](batch.source), batch.target)}

    return Game(players={"G": Player(net, optimiser=_adam(lr))}, turns=[Turn("G", cost)])


def srgan(
    generator: nn.Module,
    size: int,
    steps: int,
    *,
    base: int = 64,
    channels: int = 1,
    features: FeatureNet | None = None,
    weight: float = 1e-3,
    lr: float = 1e-4,
    seed: int = 0,
) -> Game:
    """Return the second game, on the same batches.

    Parameters
    ----------
    generator : nn.Module
        Pre-trained; it is trained on, not copied.
    size, base, channels
        See :class:`~medgan_course.nets.super_resolution.SRDiscriminator`.
    steps : int
        Length of this training; the learning rate falls to a tenth after half of it.
    features : FeatureNet, optional
        Its :meth:`~medgan_course.metrics.features.FeatureNet.maps` are compared, see
        :func:`~medgan_course.losses.feature.perceptual`; it joins the game, frozen. Give one in evaluation
        mode, trained on images of this size: a shipped one, or one from
        :func:`medgan_course.metrics.features.train`. None compares pixels.
    weight : float
        Of the adversarial term. The paper's 1e-3 belongs to its content loss: with other features or pixels
        the balance is another. 0 leaves the discriminator out: the same training on the content alone.
    lr : float
        Learning rate of both players at the start.
    seed : int
        Seed of the discriminator's initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = SRDiscriminator(size, base=base, channels=channels)

    def discriminator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        return NonSaturating.d_loss(real=game["D"](batch.target), fake=game["D"](game["G"](batch.source)))

    def generator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        fake = game["G"](batch.source)
        if features is None:
            content = mse_loss(fake, batch.target)
        else:
            phi = cast(FeatureNet, game["features"])
            content = perceptual(phi.maps, real=batch.target, fake=fake)
        terms = {"content": content}
        if weight:
            terms["adversarial"] = weight * NonSaturating.g_loss(fake=game["D"](fake))["adversarial"]
        return terms

    def player(net: nn.Module) -> Player:
        schedule = lambda o: StepLR(o, max(1, steps // 2), gamma=0.1)  # noqa: E731
        return Player(net, optimiser=_adam(lr), schedule=schedule)

    players, turns = {"G": player(generator)}, [Turn("G", generator_cost)]
    if weight:
        players["D"] = player(discriminator)
        turns = [Turn("D", discriminator_cost), *turns]
    if features is not None:
        players["features"] = Player(features.requires_grad_(False))
    return Game(players=players, turns=turns)


def _adam(lr: float) -> Callable[[Iterable[nn.Parameter]], Adam]:
    return lambda parameters: Adam(parameters, lr=lr, fused=True)


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist", factor: int = 4) -> Experiment:
    """Show the trade of distortion for perception: two trainings that differ in the adversary alone.

    Both arms go on from one SRResNet, with equal updates, rates and restart of Adam. The domain network
    judges both, so it is not in the loss of either: the content is that of pixels. Not measured here is
    whether what the adversary adds is true: it takes images whose lesions are known and
    :func:`~medgan_course.metrics.safety.lesion_errors`.
    """
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    truth = test.images[: budget.n_score]
    whole = Paired(kspace_crop(train.images, factor), train.images)
    small = kspace_crop(truth, factor)
    domain = pretrained.load(f"features_{dataset}_{budget.size}", FeatureNet)
    real = domain_features(domain, truth)

    def outcome(images: Tensor) -> Outcome:
        images = images.clamp(-1, 1)
        return {
            "PSNR (dB)": psnr(images, truth, data_range=2),
            "features": domain_features(domain, images),
            "power": fine_spectrum(images),
            "real power": fine_spectrum(truth),
        }

    def fid(outcome: Outcome) -> float:
        return frechet_distance(real, outcome["features"])

    def stream(run: Run) -> Stream[Paired]:
        return Stream(whole, budget.batch_size, seed=run.seed)

    def arm(run: Run, *, weight: float) -> Outcome:
        first = srresnet(factor, base=budget.base, blocks=6, lr=5e-4, seed=run.seed)
        run.fit(first, stream(run), budget.steps, name="pre-training")
        game = srgan(first["G"], budget.size, budget.steps, base=budget.base, weight=weight, seed=run.seed)
        run.fit(game, stream(run), budget.steps)
        return outcome(translated(game.averaged("G"), small))

    references = ("bicubic", "zero-filled")
    return Experiment(
        data=[train, test],
        arms={
            "SRGAN": lambda run: arm(run, weight=1e-3),
            "SRResNet": lambda run: arm(run, weight=0),
            "bicubic": lambda run: outcome(bicubic(small, factor)),
            "zero-filled": lambda run: outcome(zero_fill(small, factor)),
            "halves of the real images": lambda run: halves(truth),
        },
        claims=[
            Claim(
                "The mean square error alone gives the higher PSNR.",
                metric="PSNR (dB)",
                variant="SRResNet",
                baseline="SRGAN",
                better="higher",
                references=references,
            ),
            Claim(
                "With the adversary the images as a set are nearer to real ones.",
                metric="domain FID",
                score=fid,
                variant="SRGAN",
                baseline="SRResNet",
                better="lower",
                references=references,
            ),
            Claim(
                "With the adversary the fine structure has more nearly the power of real images.",
                metric="spectrum error",
                score=spectrum_error,
                variant="SRGAN",
                baseline="SRResNet",
                better="lower",
                references=[*references, "halves of the real images"],
            ),
        ],
    )


def generators(factor: int, *, base: int, blocks: int, channels: int) -> nn.ModuleDict:
    """Return ``SRResNet`` and ``SRGAN``: one network, trained on without and with the adversary."""
    return nn.ModuleDict(
        {name: network(factor, base=base, blocks=blocks, channels=channels) for name in ("SRResNet", "SRGAN")}
    )


def training(
    run: Run,
    *,
    dataset: str = "pneumoniamnist",
    factor: int = 4,
    size: int = 64,
    base: int = 32,
    blocks: int = 8,
    steps: int = 4_000,
    batch_size: int = 16,
) -> Trained:
    """Train SRResNet for ``steps``, then go on from it for as many, without and with the adversary."""
    train = data.load(dataset, size=size, split="train")
    stream = Stream(Paired(kspace_crop(train.images, factor), train.images), batch_size, seed=run.seed)
    channels = train.images.shape[1]
    first = srresnet(factor, base=base, blocks=blocks, channels=channels, lr=5e-4, seed=run.seed)
    run.fit(first, stream, steps, name="pre-training")
    nets = generators(factor, base=base, blocks=blocks, channels=channels)
    for name, weight in (("SRResNet", 0.0), ("SRGAN", 1e-3)):
        start = copy.deepcopy(first["G"])
        game = srgan(start, size, steps, base=base, channels=channels, weight=weight, seed=run.seed)
        history = run.fit(game, stream, steps, name=name)
        nets[name] = game.averaged("G")
    config = {"factor": factor, "base": base, "blocks": blocks, "channels": channels}
    return Trained(nets, generators, config, train, history)
