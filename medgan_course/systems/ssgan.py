r"""S47, SSGAN (Salimans et al. 2016).

Salimans, Goodfellow, Zaremba, Cheung, Radford & Chen, *Improved Techniques for Training GANs*, NeurIPS 2016.

The discriminator is a classifier of K classes and one more, "fake". Given the class logits :math:`l`, with
that of "fake" fixed at 0, an image is real with the probability :math:`Z/(Z+1)`, :math:`Z=\sum_k e^{l_k}`.
From few labelled pairs :math:`(x, y)`, many images :math:`x` without labels and generated ones
:math:`\hat x=G(z)` it learns to lower

.. math::
    \mathbb E[-\log\mathrm{softmax}_y\,l(x)]
    + \mathbb E\Bigl[-\log\tfrac{Z(x)}{Z(x)+1}\Bigr] + \mathbb E\Bigl[-\log\tfrac{1}{Z(\hat x)+1}\Bigr].

The generator matches the mean of the discriminator's features :math:`f`, it lowers
:math:`\|\mathbb E f(x)-\mathbb E f(\hat x)\|_2^2`. So it does not become perfect, and must not: a perfect one
would teach the classifier nothing (Dai et al. 2017).

Ours differs from the paper in the networks, the DCGAN's. There is no batch norm in D: it would subtract from
each batch the very mean that is to be matched. The authors' code weights the two unsupervised terms by one
half each.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import SemiSupervised
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.feature import moment_matching
from medgan_course.losses.semi_supervised import source_logit
from medgan_course.nets.dcgan import Generator, Trunk
from medgan_course.nets.heads import Heads
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import Cost


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=800, size=28, base=32, batch_size=64, n_score=600),
        gpu=Budget(steps=8_000, size=64, base=64, batch_size=64, n_score=600),
    )


def adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """Adam with learning rate 3e-4 and betas (0.5, 0.999), as in the authors' code for CIFAR-10."""
    return Adam(parameters, lr=3e-4, betas=(0.5, 0.999), fused=True)


def classifier(size: int, n_classes: int, base: int = 32) -> Heads:
    """Return the network of all arms: the DCGAN's trunk with spectral norm, and a head ``label``."""
    return Heads(Trunk(size, base, norm="spectral"), label=n_classes)


def ssgan(size: int, n_classes: int, *, base: int = 32, z_dim: int = 64, seed: int = 0) -> Game:
    """Return the game of the paper; its batches are :class:`~medgan_course.data.batches.SemiSupervised`.

    Parameters
    ----------
    size : {28, 32, 64}
        Image side in pixels.
    n_classes : int
        K, the number of labels.
    base, z_dim
        As for :class:`~medgan_course.nets.dcgan.Generator`.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = classifier(size, n_classes, base)
        generator = Generator(size, z_dim, base)
    discriminator_cost, generator_cost = costs()
    return Game(
        players={
            "G": Player(generator, optimiser=adam),
            "D": Player(discriminator, optimiser=adam),
        },
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def supervised(size: int, n_classes: int, *, base: int = 32, seed: int = 0) -> Game:
    """Return the baseline: the same classifier and augmentation, the labelled images alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = classifier(size, n_classes, base)

    def cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        return {"class": label_cost(game["D"], batch, diff_augment)}

    return Game(players={"D": Player(net, optimiser=adam)}, turns=[Turn("D", cost)])


def costs(seen: Callable[[Tensor], Tensor] = diff_augment) -> tuple[Cost, Cost]:
    """Return the discriminator's and the generator's cost.

    Parameters
    ----------
    seen : callable
        What happens to images ``(N, C, H, W)``, real and generated alike, before the discriminator sees them.
    """

    def generated(game: Game, batch: SemiSupervised) -> Tensor:
        return game["G"](game["G"].latent(len(batch.unlabelled)))

    def discriminator_cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        real, fake = (game["D"](seen(each))["label"] for each in (batch.unlabelled, generated(game, batch)))
        return {
            "class": label_cost(game["D"], batch, seen),
            **NonSaturating.d_loss(real=source_logit(real), fake=source_logit(fake)),
        }

    def generator_cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        features = game["D"].trunk
        return {
            "features": moment_matching(
                real=features(seen(batch.unlabelled)), fake=features(seen(generated(game, batch)))
            )
        }

    return discriminator_cost, generator_cost


def label_cost(net: nn.Module, batch: SemiSupervised, seen: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the cross-entropy of the labelled images' classes, a scalar."""
    images, labels = batch.labelled
    return cross_entropy(net(seen(images))["label"], labels)


def probabilities(game: Game, images: Tensor, player: str = "D") -> Tensor:
    """Return the class probabilities ``(N, K)`` of images ``(N, C, H, W)``."""
    with torch.no_grad():
        return torch.softmax(game.averaged(player)(images)["label"], 1)
