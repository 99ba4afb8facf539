r"""S12, conditional GAN (Mirza & Osindero 2014).

*Conditional Generative Adversarial Nets*, arXiv 2014.

Both players are told the label :math:`y` of the image:

.. math::
    \min_G\max_D V = \mathbb E_{x,y}\log\sigma(D(x, y)) + \mathbb E_{z,y}\log(1-\sigma(D(G(z, y), y))).

The generator gets an embedding of the label beside :math:`z`, the discriminator one beside the image, as a
further channel. The projection discriminator (Miyato & Koyama 2018) is the later way; in both, the networks
are those of S03. The label of a generated image is that of a real image of the batch, so both come with the
same frequencies; in the generator's turn :math:`-\log\sigma` is lowered, as always.
"""

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from medgan_course import data, pretrained
from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Experiment, Outcome, Run, Trained
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.metrics.distribution import kernel_distance
from medgan_course.metrics.features import FeatureNet, features
from medgan_course.nets.conditional import LabelledGenerator, LabelMap, Projection
from medgan_course.nets.dcgan import Discriminator, Generator, Trunk
from medgan_course.systems import dcgan
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import dcgan_adam

EMBEDDING = 16


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=28, base=64, batch_size=64, n_score=2_000),
    )


def conditional_gan(
    size: int,
    n_classes: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    projection: bool = False,
    told: bool = True,
    stabilised: bool = False,
    seed: int = 0,
) -> Game:
    """Return the game of the paper, on the networks of S03.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    n_classes : int
        Number of labels.
    base : int
        Width of both networks, see :class:`~medgan_course.nets.dcgan.Generator`.
    z_dim : int
        Length of the latent vector, without the label's embedding.
    channels : int
        Image channels; 1 for grey.
    projection : bool
        Whether the discriminator projects on the label instead of seeing it as a channel.
    told : bool
        False: the discriminator is told label 0 for every image; nothing else changes. Then nothing ties a
        label to its class. The generator may ignore it, or give each label images of a class of its own
        choice: accuracy is at chance over many trainings, but differs much between two.
    stabilised : bool
        For long trainings, as in :func:`~medgan_course.systems.dcgan.dcgan`.
    seed : int
        Seed of the initial weights.
    """
    norm = "spectral" if stabilised else "batch"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = labelled_generator(size, n_classes, base=base, z_dim=z_dim, channels=channels)
        discriminator = (
            Projection(Trunk(size, base, channels, norm), n_classes)
            if projection
            else LabelMap(Discriminator(size, base, channels + 1, norm), n_classes)
        )

    def judged(game: Game, images: Tensor, labels: Tensor) -> Tensor:
        seen = diff_augment(images) if stabilised else images
        return game["D"](seen, labels if told else torch.zeros_like(labels))

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.labels)), batch.labels)

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.d_loss(
            real=judged(game, batch.images, batch.labels),
            fake=judged(game, generated(game, batch), batch.labels),
        )

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.g_loss(fake=judged(game, generated(game, batch), batch.labels))

    optimiser = dcgan.stabilised_adam if stabilised else dcgan_adam
    return Game(
        players={
            "G": Player(generator, optimiser=optimiser, ema=0.999 if stabilised else None),
            "D": Player(discriminator, optimiser=optimiser),
        },
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def labelled_generator(
    size: int, n_classes: int, *, base: int, z_dim: int, channels: int
) -> LabelledGenerator:
    """Return the DCGAN generator with a label beside ``z``."""
    return LabelledGenerator(Generator(size, z_dim + EMBEDDING, base, channels), n_classes, EMBEDDING)


def sampler(game: Game) -> LabelledGenerator:
    """Return the generator to sample from, in evaluation mode: ``net(net.latent(n), labels)``.

    Its batch-norm statistics are those of images of all classes in equal numbers.
    """
    net = game.averaged("G")
    labels = torch.arange(256, device=net.embedding.weight.device) % net.embedding.num_embeddings
    net.train()
    update_bn((net.joined(net.latent(256, seed=seed), labels) for seed in range(4)), net.generator)
    return net.eval()


def samples(net: LabelledGenerator, n: int, n_classes: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return ``n`` generated images, on the CPU, and the labels they were asked for: 0, 1, ..., 0, 1, ..."""
    labels = torch.arange(n) % n_classes
    z = net.latent(n, seed=seed)
    with torch.no_grad():
        parts = zip(z.split(256), labels.to(z.device).split(256), strict=True)
        return torch.cat([net(*part).cpu() for part in parts]), labels


def experiment(budget: Budget, *, dataset: str = "mednist") -> Experiment:
    """Ask whether images are of the class that was asked for, and how good they are within it.

    A domain classifier that has seen only real images reads them. DCGAN knows no classes: ten times as many
    of its images are sorted by that classifier, and each class gets the first that are read as it. A class
    has fewer images than the Fréchet distance of 64 features needs, so distances within classes are those of
    :func:`~medgan_course.metrics.distribution.kernel_distance`, which has no bias.
    """
    train, val = (data.load(dataset, size=budget.size, split=split) for split in ("train", "val"))
    n_classes, channels = len(train.class_names), train.images.shape[1]
    domain = pretrained.load(f"features_{dataset}_{budget.size}", FeatureNet)
    n = min(budget.n_score, len(val))
    real = [features(domain, val.images[val.labels == k]) for k in range(n_classes)]

    def read(images: Tensor, labels: Tensor) -> Outcome:
        seen = features(domain, images)
        return {
            "features": seen,
            "labels": labels,
            "accuracy": (domain.label(seen).argmax(1) == labels).float(),
        }

    def conditional_arm(run: Run, **settings: bool) -> Outcome:
        game = conditional_gan(
            budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed, **settings
        )
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return read(*samples(sampler(game), n, n_classes, seed=run.seed))

    def dcgan_arm(run: Run) -> Outcome:
        game = dcgan.dcgan(budget.size, base=budget.base, channels=channels, seed=run.seed)
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        generator = dcgan.sampler(game)
        with torch.no_grad():
            made = torch.cat([generator(z).cpu() for z in generator.latent(10 * n, seed=run.seed).split(256)])
            likely = domain.label(features(domain, made)).softmax(1)
        # The first that are read as the class, then, if these are too few, the likeliest others.
        is_read = likely.argmax(1)[:, None] == torch.arange(n_classes)
        early = torch.linspace(2, 1, 10 * n)[:, None]
        order = torch.maximum(is_read * early, likely).argsort(0, descending=True)
        labels = torch.arange(n) % n_classes
        return read(made[order[torch.arange(n) // n_classes, labels]], labels)

    def real_arm(run: Run) -> Outcome:
        some = torch.randperm(len(train))[:n]
        return read(train.images[some], train.labels[some])

    def class_distance(outcome: Outcome) -> float:
        distances = [
            kernel_distance(real[k], outcome["features"][outcome["labels"] == k]) for k in range(n_classes)
        ]
        return sum(distances) / n_classes

    return Experiment(
        data=[train, val],
        arms={
            "cGAN": conditional_arm,
            "cGAN, D not told": lambda run: conditional_arm(run, told=False),
            "projection": lambda run: conditional_arm(run, projection=True),
            "DCGAN, sorted": dcgan_arm,
            "real images": real_arm,
        },
        claims=[
            Claim(
                "At least 0.7 of the images are read as the class that was asked for.",
                metric="accuracy",
                variant="cGAN",
                better="higher",
                margin=0.7,
                fails=0.5,
                references=["cGAN, D not told", "projection", "real images"],
            ),
            Claim(
                "Without the label in D, less than twice as many as by chance are of the class asked for.",
                metric="accuracy",
                variant="cGAN, D not told",
                better="lower",
                margin=2 / n_classes,
                references=["cGAN", "real images"],
            ),
            Claim(
                "Within classes, its images are closer to real ones than DCGAN's, sorted by a classifier.",
                metric="mean domain KID of the classes",
                score=class_distance,
                variant="cGAN",
                baseline="DCGAN, sorted",
                better="lower",
                references=["projection", "real images"],
            ),
        ],
    )


def training(
    run: Run,
    *,
    dataset: str = "mednist",
    size: int = 64,
    base: int = 24,
    steps: int = 12_000,
    batch_size: int = 48,
) -> Trained:
    """Train the stabilised generator against a projection discriminator, to be kept."""
    train = data.load(dataset, size=size, split="train")
    n_classes, channels = len(train.class_names), train.images.shape[1]
    game = conditional_gan(
        size, n_classes, base=base, channels=channels, projection=True, stabilised=True, seed=run.seed
    )
    history = run.fit(game, train.batches(batch_size, seed=run.seed), steps)
    net = sampler(game)
    z_dim = net.latent(1).shape[1]
    config = {"size": size, "n_classes": n_classes, "base": base, "z_dim": z_dim, "channels": channels}
    return Trained(net, labelled_generator, config, train, history)
