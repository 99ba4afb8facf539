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

from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.nets.conditional import LabelledGenerator, LabelMap, Projection
from medgan_course.nets.dcgan import Discriminator, Generator, Trunk
from medgan_course.train import Game, Turn

EMBEDDING = 16


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def conditional_gan(
    size: int,
    n_classes: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    projection: bool = False,
    told: bool = True,
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
    projection : bool
        Whether the discriminator projects on the label instead of seeing it as a channel.
    told : bool
        False: the discriminator is told label 0 for every image. It then cannot ask for the right class, and
        the generator learns to ignore its label; nothing else changes.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = labelled_generator(size, n_classes, base=base, z_dim=z_dim)
        discriminator = (
            Projection(Trunk(size, base), n_classes)
            if projection
            else LabelMap(Discriminator(size, base, channels=2), n_classes)
        )

    def judged(game: Game, images: Tensor, labels: Tensor) -> Tensor:
        return game["D"](images, labels if told else torch.zeros_like(labels))

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.labels)), batch.labels)

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.d_loss(
            real=judged(game, batch.images, batch.labels),
            fake=judged(game, generated(game, batch), batch.labels),
        )

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.g_loss(fake=judged(game, generated(game, batch), batch.labels))

    return Game(
        players={"G": generator, "D": discriminator},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def labelled_generator(size: int, n_classes: int, *, base: int = 32, z_dim: int = 64) -> LabelledGenerator:
    """Return the DCGAN generator with a label beside ``z``."""
    return LabelledGenerator(Generator(size, z_dim + EMBEDDING, base), n_classes, EMBEDDING)


def sampler(game: Game) -> LabelledGenerator:
    """Return the generator to sample from, in evaluation mode: ``net(net.latent(n), labels)``.

    Its batch-norm statistics are those of images of all classes in equal numbers.
    """
    net = game.averaged("G")
    labels = torch.arange(256, device=net.embedding.weight.device) % net.embedding.num_embeddings
    net.train()
    update_bn((net.joined(net.latent(256, seed=seed), labels) for seed in range(4)), net.generator)
    return net.eval()
