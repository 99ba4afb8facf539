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

from medgan_course import data, pretrained
from medgan_course.budgets import Budget
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.metrics.features import FeatureNet, features
from medgan_course.metrics.fidelity import ms_ssim
from medgan_course.nets.dcgan import Trunk
from medgan_course.nets.heads import Heads
from medgan_course.systems.conditional_gan import (
    budget,
    conditional_gan,
    labelled_generator,
    sampler,
    samples,
)
from medgan_course.train import Game, Turn

__all__ = ["acgan", "budget", "experiment", "sampler"]


def acgan(
    size: int,
    n_classes: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    weight: float = 1.0,
    from_fakes: bool = True,
    seed: int = 0,
) -> Game:
    r"""Return the game of the paper, on the generator and the trunk of S12.

    Parameters
    ----------
    size, n_classes, base, z_dim, channels, seed
        As for :func:`~medgan_course.systems.conditional_gan.conditional_gan`.
    weight : float
        Weight of the class terms; 1 in the paper.
    from_fakes : bool
        False leaves :math:`-\log P(y\mid\hat x)` out of :math:`L_D`: the class head learns from real images
        alone. With it, head and generator can agree on images that are not of the class.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = labelled_generator(size, n_classes, base=base, z_dim=z_dim, channels=channels)
        discriminator = Heads(Trunk(size, base, channels), source=1, label=n_classes)

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.labels)), batch.labels)

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        real, fake = game["D"](batch.images), game["D"](generated(game, batch))
        terms = NonSaturating.d_loss(real=real["source"], fake=fake["source"])
        terms["class_real"] = weight * cross_entropy(real["label"], batch.labels)
        if from_fakes:
            terms["class_fake"] = weight * cross_entropy(fake["label"], batch.labels)
        return terms

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        fake = game["D"](generated(game, batch))
        return NonSaturating.g_loss(fake=fake["source"]) | {
            "class": weight * cross_entropy(fake["label"], batch.labels)
        }

    return Game(
        players={"G": generator, "D": discriminator},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def experiment(budget: Budget, *, dataset: str = "mednist") -> Experiment:
    """Compare class and variety of the images with those of a conditional GAN on the same trunk.

    Variety within a class is the MS-SSIM of pairs, two scales at 28 px: lower is more varied. How often the
    game's own class head is content with an image stands beside what the witness reads.
    """
    train, val = (data.load(dataset, size=budget.size, split=split) for split in ("train", "val"))
    n_classes, channels = len(train.class_names), train.images.shape[1]
    domain = pretrained.load(f"features_{dataset}_{budget.size}", FeatureNet)
    n = min(budget.n_score, len(val)) // (2 * n_classes) * 2 * n_classes

    def outcome(images: Tensor, labels: Tensor) -> Outcome:
        """Read images whose labels are 0, 1, ..., 0, 1, ...: those half the set apart are a pair."""
        guess = domain.label(features(domain, images)).argmax(1)
        return {
            "accuracy": (guess == labels).float(),
            "MS-SSIM of pairs": ms_ssim(images[: n // 2], images[n // 2 :], data_range=2),
        }

    def made(run: Run, game: Game) -> tuple[Tensor, Tensor]:
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return samples(sampler(game), n, n_classes, seed=run.seed)

    def acgan_arm(run: Run, *, from_fakes: bool) -> Outcome:
        game = acgan(
            budget.size,
            n_classes,
            base=budget.base,
            channels=channels,
            from_fakes=from_fakes,
            seed=run.seed,
        )
        images, labels = made(run, game)
        with torch.no_grad():
            guess = game.averaged("D").cpu()(images)["label"].argmax(1)
        return {**outcome(images, labels), "own": (guess == labels).float()}

    def cgan_arm(run: Run) -> Outcome:
        game = conditional_gan(budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed)
        return outcome(*made(run, game))

    def content(outcome: Outcome) -> float:
        return outcome["own"].mean().item() - outcome["accuracy"].mean().item()

    def real_arm(run: Run) -> Outcome:
        shuffled = torch.randperm(len(train))
        of_class = [shuffled[train.labels[shuffled] == k][: n // n_classes] for k in range(n_classes)]
        some = torch.stack(of_class, 1).flatten()
        return outcome(train.images[some], train.labels[some])

    return Experiment(
        data=[train, val],
        arms={
            "ACGAN": lambda run: acgan_arm(run, from_fakes=True),
            "class of real images alone": lambda run: acgan_arm(run, from_fakes=False),
            "cGAN": cgan_arm,
            "real images": real_arm,
        },
        claims=[
            Claim(
                "ACGAN's images are read as the class asked for more often than the conditional GAN's.",
                metric="accuracy",
                variant="ACGAN",
                baseline="cGAN",
                better="higher",
                references=["class of real images alone", "real images"],
            ),
            Claim(
                "Within a class, ACGAN's images are less varied than the conditional GAN's.",
                metric="MS-SSIM of pairs",
                variant="ACGAN",
                baseline="cGAN",
                better="higher",
                references=["class of real images alone", "real images"],
            ),
            Claim(
                "The game's own class head is content with more images than the witness.",
                metric="accuracy by D's head minus accuracy by the witness",
                score=content,
                variant="ACGAN",
                better="higher",
                margin=0.0,
                references=["class of real images alone"],
            ),
        ],
    )
