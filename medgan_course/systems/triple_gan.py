r"""S48, Triple-GAN (Li et al. 2017).

Li, Xu, Zhu & Zhang, *Triple Generative Adversarial Nets*, NeurIPS 2017.

Who classifies need not judge. A classifier C completes images to pairs :math:`(x, C(x))`, a generator G
completes classes to pairs :math:`(G(y,z), y)`, and a discriminator D tells both from labelled pairs. With D
as a probability,

.. math::
    \min_{C,G}\max_D\; \mathbb E_{p}\log D(x,y) + \alpha\,\mathbb E_{p_c}\log(1-D(x,y))
    + (1-\alpha)\,\mathbb E_{p_g}\log(1-D(G(y,z),y)) + \mathbb E_{p}[-\log C(y\mid x)],

:math:`\alpha=\tfrac12`; :class:`~medgan_course.losses.semi_supervised.TripleGAN` has the costs of the three
players, and says how they are read.

From the paper's practical techniques: where labelled pairs are few, D would know them by heart, so unlabelled
images with the class that C finds most likely count as real pairs as well. Ours are half of the unlabelled
images of a batch; the other half are the pairs that C must defend. The term that trains C on generated pairs,
which the paper switches on late, is left out. The networks are the DCGAN's, D with a projection of the class.
The paper draws the classes of generated pairs from :math:`p(y)`. We implement the following reading: all are
equally likely, since labelled images, as many of each class, do not tell :math:`p(y)`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from medgan_course import data, draws
from medgan_course.budgets import Budget
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import Batch, SemiSupervised, Stream, semi_supervised
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.semi_supervised import TripleGAN
from medgan_course.metrics.classification import macro_auc
from medgan_course.nets.conditional import Projection
from medgan_course.nets.dcgan import Trunk
from medgan_course.systems import ssgan
from medgan_course.systems.conditional_gan import labelled_generator
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import Cost

budget = ssgan.budget  # what is compared gets the same


def triple_gan(
    size: int,
    n_classes: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    alpha: float = 0.5,
    seed: int = 0,
) -> Game:
    """Return the game of the paper; its batches are :class:`~medgan_course.data.batches.SemiSupervised`.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    n_classes : int
        Number of labels.
    base, z_dim, channels
        As for :func:`~medgan_course.systems.conditional_gan.conditional_gan`.
    alpha : float
        Share of C's pairs among those that D must reject.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # First, so that the classifier starts as the other arms' do.
        net = ssgan.classifier(size, n_classes, base, channels)
        generator = labelled_generator(size, n_classes, base=base, z_dim=z_dim, channels=channels)
        discriminator = Projection(Trunk(size, base, channels, norm="spectral"), n_classes)
    discriminator_cost, classifier_cost, generator_cost = costs(n_classes, alpha)
    return Game(
        players={
            "C": Player(net, optimiser=ssgan.adam),
            "G": Player(generator, optimiser=ssgan.adam),
            "D": Player(discriminator, optimiser=ssgan.adam),
        },
        turns=[Turn("D", discriminator_cost), Turn("C", classifier_cost), Turn("G", generator_cost)],
    )


def costs(
    n_classes: int, alpha: float, seen: Callable[[Tensor], Tensor] = diff_augment
) -> tuple[Cost, Cost, Cost]:
    """Return the costs of the discriminator, the classifier and the generator.

    Parameters
    ----------
    n_classes, alpha
        As for :func:`triple_gan`.
    seen : callable
        What happens to images ``(N, C, H, W)``, real and generated alike, before D or C sees them.
    """

    def judged_fakes(game: Game, batch: SemiSupervised) -> Tensor:
        n, device = len(batch.unlabelled), batch.unlabelled.device
        labels = draws.integers(n_classes, n, device=device)
        return game["D"](seen(game["G"](game["G"].latent(n), labels)), labels)

    def judged_classes(game: Game, images: Tensor) -> Tensor:
        # The logits of an image with each class: a projection discriminator has them all in one pass.
        outputs = game["D"].heads(images)
        return outputs["source"] + outputs["label"]

    def discriminator_cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        images, labels = batch.labelled
        taken, defended = seen(batch.unlabelled[::2]), seen(batch.unlabelled[1::2])
        believed = game["C"](taken)["label"].argmax(1)
        return TripleGAN.d_loss(
            real=torch.cat([game["D"](seen(images), labels), game["D"](taken, believed)]),
            classified=judged_classes(game, defended),
            class_logits=game["C"](defended)["label"],
            fake=judged_fakes(game, batch),
            alpha=alpha,
        )

    def classifier_cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        defended = seen(batch.unlabelled[1::2])
        return {
            "class": ssgan.label_cost(game["C"], batch, seen),
            **TripleGAN.c_loss(
                classified=judged_classes(game, defended),
                class_logits=game["C"](defended)["label"],
                alpha=alpha,
            ),
        }

    def generator_cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        return TripleGAN.g_loss(fake=judged_fakes(game, batch), alpha=alpha)

    return discriminator_cost, classifier_cost, generator_cost


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist", few: int = 10) -> Experiment:
    """Compare the classifier with SSGAN's, and ask for the class that a generated image was drawn for.

    A seed is a draw of the labelled images as well. The judge of generated images is a classifier that was
    trained with all labels; it is trained anew with every seed. Beside stand how many real test images it
    reads as their class, and a generator that is deaf to its label, which is right in one of K cases.
    """
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    images, labels = test.images[: budget.n_score], test.labels[: budget.n_score]
    n_classes, channels = len(train.class_names), train.images.shape[1]

    def arm(make: Callable[..., Game], player: str) -> Callable[[Run], Outcome]:
        def train_and_answer(run: Run) -> Outcome:
            game = make(budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed)
            batches = semi_supervised(
                train.images, train.labels, budget.batch_size, per_class=few, draw=run.seed, seed=run.seed
            )
            run.fit(game, batches, budget.steps)
            answers = ssgan.probabilities(game.averaged(player), images)
            outcome = {"answers": answers, "labels": labels}
            if make is triple_gan:
                outcome["conditional accuracy"] = obeyed(game, run)
            return outcome

        return train_and_answer

    def read(run: Run, shown: Tensor) -> Tensor:
        judge = ssgan.supervised(budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed)
        whole = SemiSupervised(Batch(train.images, train.labels), train.images[:1])
        batches = Stream(whole, (budget.batch_size, 1), seed=run.seed, apart=True)
        run.fit(judge, batches, budget.steps, name="judge")
        return ssgan.probabilities(judge.averaged("C"), shown).argmax(1)

    def obeyed(game: Game, run: Run) -> Tensor:
        generator = game.averaged("G")
        z = generator.latent(len(labels), seed=run.seed)
        wanted = torch.arange(len(labels)) % n_classes
        with torch.no_grad():
            made = generator(z, wanted.to(z.device)).cpu()
        return (read(run, made) == wanted).float()

    def commonest(outcome: Outcome) -> float:
        return float(outcome["answers"].argmax(1).bincount().max() / len(outcome["answers"]))

    return Experiment(
        data=[train, test],
        arms={
            "Triple-GAN": arm(triple_gan, "C"),
            "SSGAN": arm(ssgan.ssgan, "D"),
            "supervised": arm(ssgan.supervised, "C"),
            "real images": lambda run: {"conditional accuracy": (read(run, images) == labels).float()},
            "deaf": lambda run: {"conditional accuracy": torch.full((len(labels),), 1 / n_classes)},
        },
        claims=[
            Claim(
                f"With {few} labels a class, Triple-GAN classifies better than SSGAN.",
                metric="AUC",
                score=lambda outcome: macro_auc(outcome["labels"], outcome["answers"]),
                variant="Triple-GAN",
                baseline="SSGAN",
                better="higher",
                references=["supervised"],
            ),
            Claim(
                "It draws the class it is asked for.",
                metric="conditional accuracy",
                variant="Triple-GAN",
                better="higher",
                margin=0.6,
                references=["real images", "deaf"],
            ),
            Claim(
                "Its classifier does not collapse to one class.",
                metric="share of the commonest answer",
                score=commonest,
                variant="Triple-GAN",
                better="lower",
                margin=0.95,
                references=["SSGAN", "supervised"],
            ),
        ],
    )
