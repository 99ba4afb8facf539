r"""S13, ACGAN (Odena, Olah & Shlens 2017).

*Conditional Image Synthesis with Auxiliary Classifier GANs*, ICML 2017.

The generator is told the label :math:`y`, the discriminator is not: a second head on its trunk guesses it,
with probability :math:`P(y\mid x)`. With :math:`\hat x = G(z, y)` and the source logit :math:`D`,

.. math::
    L_D &= -\log\sigma(D(x)) - \log(1-\sigma(D(\hat x))) + L_C, &
    L_C &= -\log P(y\mid x) - \log P(y\mid\hat x), \\
    L_G &= -\log\sigma(D(\hat x)) - \log P(y\mid\hat x).

Both players want the class to be recognised. So the label is an input of the generator, never its output;
and images that are easy to classify pay, whether or not they are varied.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from medgan_course.data.batches import Batch
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.nets.dcgan import Trunk
from medgan_course.nets.heads import Heads
from medgan_course.systems.conditional_gan import budget, labelled_generator, sampler
from medgan_course.train import Game, Turn

__all__ = ["acgan", "budget", "sampler"]


def acgan(
    size: int, n_classes: int, *, base: int = 32, z_dim: int = 64, weight: float = 1.0, seed: int = 0
) -> Game:
    """Return the game of the paper, on the generator and the trunk of S12.

    Parameters
    ----------
    size, n_classes, base, z_dim, seed
        As for :func:`~medgan_course.systems.conditional_gan.conditional_gan`.
    weight : float
        Weight of the class terms; 1 in the paper.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = labelled_generator(size, n_classes, base=base, z_dim=z_dim)
        discriminator = Heads(Trunk(size, base), source=1, label=n_classes)

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.labels)), batch.labels)

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        real, fake = game["D"](batch.images), game["D"](generated(game, batch))
        return NonSaturating.d_loss(real=real["source"], fake=fake["source"]) | {
            "class_real": weight * cross_entropy(real["label"], batch.labels),
            "class_fake": weight * cross_entropy(fake["label"], batch.labels),
        }

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        fake = game["D"](generated(game, batch))
        return NonSaturating.g_loss(fake=fake["source"]) | {
            "class": weight * cross_entropy(fake["label"], batch.labels)
        }

    return Game(
        players={"G": generator, "D": discriminator},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )
