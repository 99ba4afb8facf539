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
from functools import partial

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from medgan_course import data
from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import Batch, SemiSupervised, Stream, semi_supervised
from medgan_course.experiments import Claim, Experiment, Outcome, Run, Trained
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.feature import moment_matching
from medgan_course.losses.semi_supervised import source_logit
from medgan_course.metrics.classification import macro_auc
from medgan_course.nets.dcgan import Generator, Trunk
from medgan_course.nets.heads import Heads
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import Cost, dcgan_adam


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=800, size=28, base=32, batch_size=64, n_score=624),
        gpu=Budget(steps=8_000, size=64, base=64, batch_size=64, n_score=624),
    )


def adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """Adam with learning rate 3e-4 and betas (0.5, 0.999), as in the authors' code for CIFAR-10."""
    return dcgan_adam(parameters, lr=3e-4)


def classifier(size: int, n_classes: int, base: int = 32, channels: int = 1) -> Heads:
    """Return the network of all arms: the DCGAN's trunk with spectral norm, and a head ``label``."""
    return Heads(Trunk(size, base, channels, norm="spectral"), label=n_classes)


def players(
    size: int, n_classes: int, *, base: int = 32, z_dim: int = 64, channels: int = 1
) -> nn.ModuleDict:
    """Return ``D``, the classifier, and ``G``; the parameters are those of :func:`ssgan`."""
    return nn.ModuleDict(
        {
            "D": classifier(size, n_classes, base, channels),
            "G": Generator(size, z_dim, base, channels),
        }
    )


def ssgan(
    size: int, n_classes: int, *, base: int = 32, z_dim: int = 64, channels: int = 1, seed: int = 0
) -> Game:
    """Return the game of the paper; its batches are :class:`~medgan_course.data.batches.SemiSupervised`.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    n_classes : int
        K, the number of labels.
    base, z_dim, channels
        As for :class:`~medgan_course.nets.dcgan.Generator`.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = players(size, n_classes, base=base, z_dim=z_dim, channels=channels)
    discriminator_cost, generator_cost = costs()
    return Game(
        players={name: Player(net, optimiser=adam) for name, net in nets.items()},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def supervised(
    size: int,
    n_classes: int,
    *,
    base: int = 32,
    channels: int = 1,
    pseudo_labels: bool = False,
    seed: int = 0,
) -> Game:
    """Return what the game must beat: the same classifier and augmentation, without generated images.

    Parameters
    ----------
    size, n_classes, base, channels, seed
        As for :func:`ssgan`.
    pseudo_labels : bool
        False: it learns from the labelled images alone. True: from those unlabelled images as well of whose
        class it is certain, with a probability above 0.95 (Lee 2013). This tells whether any simple method
        can use the unlabelled images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = classifier(size, n_classes, base, channels)

    def cost(game: Game, batch: SemiSupervised) -> dict[str, Tensor]:
        terms = {"class": label_cost(game["C"], batch, diff_augment)}
        if pseudo_labels:
            logits = game["C"](diff_augment(batch.unlabelled))["label"]
            certainty, believed = logits.detach().softmax(1).max(1)
            each = cross_entropy(logits, believed, reduction="none")
            terms["pseudo"] = (each * (certainty > 0.95)).mean()
        return terms

    return Game(players={"C": Player(net, optimiser=adam)}, turns=[Turn("C", cost)])


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


def probabilities(net: nn.Module, images: Tensor) -> Tensor:
    """Return a classifier's probabilities ``(N, K)`` of images ``(N, C, H, W)``, on the CPU."""
    device = next(net.parameters()).device
    with torch.no_grad():
        logits = [net(part.to(device))["label"] for part in images.split(256)]
    return torch.softmax(torch.cat(logits), 1).cpu()


def experiment(
    budget: Budget, *, dataset: str = "pneumoniamnist", few: int = 10, many: int = 50
) -> Experiment:
    """Compare the areas under the ROC curve with ``few`` and with ``many`` labelled images of each class.

    A seed is a draw of the labelled images as well: five are five label draws (``--seeds 0 1 2 3 4``). Every
    arm is trained with both numbers of labels.
    """
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    images, labels = test.images[: budget.n_score], test.labels[: budget.n_score]
    n_classes, channels = len(train.class_names), train.images.shape[1]

    def stream(run: Run, per_class: int) -> Stream[SemiSupervised]:
        return semi_supervised(
            train.images, train.labels, budget.batch_size, per_class=per_class, draw=run.seed, seed=run.seed
        )

    def outcome(answer: Callable[[int], Tensor]) -> Outcome:
        return {"labels": labels, "few": answer(few), "many": answer(many).clone()}

    def arm(make: Callable[..., Game], player: str) -> Callable[[Run], Outcome]:
        def train_and_answer(run: Run) -> Outcome:
            def answer(per_class: int) -> Tensor:
                game = make(budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed)
                run.fit(game, stream(run, per_class), budget.steps, name=f"{run.arm}, {per_class} labels")
                return probabilities(game.averaged(player), images)

            return outcome(answer)

        return train_and_answer

    def pixels(run: Run) -> Outcome:
        def answer(per_class: int) -> Tensor:
            shown = stream(run, per_class).whole.labelled
            model = LogisticRegression(max_iter=1_000).fit(shown.images.flatten(1), shown.labels)
            return torch.from_numpy(model.predict_proba(images.flatten(1))).float()

        return outcome(answer)

    def everything(run: Run) -> Outcome:
        game = supervised(budget.size, n_classes, base=budget.base, channels=channels, seed=run.seed)
        whole = SemiSupervised(Batch(train.images, train.labels), train.images[:1])
        batches = Stream(whole, (budget.batch_size, 1), seed=run.seed, apart=True)
        run.fit(game, batches, budget.steps)
        answers = probabilities(game.averaged("C"), images)
        return outcome(lambda per_class: answers)

    def claim(statement: str, score: Callable[[Outcome], float], metric: str) -> Claim:
        return Claim(
            statement,
            metric=metric,
            score=score,
            variant="SSGAN",
            baseline="supervised",
            better="higher",
            references=["pseudo-labels", "logistic regression on pixels", "all labels"],
        )

    def of(key: str) -> Callable[[Outcome], float]:
        return lambda outcome: macro_auc(outcome["labels"], outcome[key])

    return Experiment(
        data=[train, test],
        arms={
            "SSGAN": arm(ssgan, "D"),
            "supervised": arm(supervised, "C"),
            "pseudo-labels": arm(partial(supervised, pseudo_labels=True), "C"),
            "logistic regression on pixels": pixels,
            "all labels": everything,
        },
        claims=[
            claim(f"With {few} labels a class, unlabelled images help.", of("few"), f"AUC, {few} labels"),
            claim(f"With {many} labels a class, unlabelled images help.", of("many"), f"AUC, {many} labels"),
            claim(
                "They help the more, the fewer labels there are.",
                lambda outcome: of("few")(outcome) - of("many")(outcome),
                f"AUC, {few} labels minus {many} labels",
            ),
        ],
    )


def training(
    run: Run,
    *,
    dataset: str = "pneumoniamnist",
    size: int = 28,
    base: int = 32,
    per_class: int = 50,
    steps: int = 8_000,
    batch_size: int = 64,
) -> Trained:
    """Train both players with ``per_class`` labelled images of each class, to be kept."""
    train = data.load(dataset, size=size, split="train")
    n_classes, channels = len(train.class_names), train.images.shape[1]
    game = ssgan(size, n_classes, base=base, channels=channels, seed=run.seed)
    stream = semi_supervised(
        train.images, train.labels, batch_size, per_class=per_class, draw=run.seed, seed=run.seed
    )
    history = run.fit(game, stream, steps)
    nets = nn.ModuleDict({name: game.averaged(name) for name in ("D", "G")})
    config = {"size": size, "n_classes": n_classes, "base": base, "channels": channels}
    return Trained(nets, players, config, train, history)
