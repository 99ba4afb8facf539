r"""S15, CycleGAN (Zhu et al. 2017).

*Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks*, ICCV 2017.

Two domains without pairs: :math:`G: A\to B` and :math:`F: B\to A` each have a discriminator, and who goes
there and back again shall be unchanged:

.. math::
    L_{G,F} &= \mathbb E(D_B(G(a))-1)^2 + \mathbb E(D_A(F(b))-1)^2
        + \lambda\bigl(\mathbb E|F(G(a))-a| + \mathbb E|G(F(b))-b|\bigr) \\
        &\quad + \tfrac\lambda2\bigl(\mathbb E|G(b)-b| + \mathbb E|F(a)-a|\bigr) \text{ (optional)}, \\
    L_{D_B} &= \tfrac12\bigl[\mathbb E(D_B(b)-1)^2 + \mathbb E\,D_B(G(a))^2\bigr], \qquad \lambda = 10,

and :math:`L_{D_A}` alike. The discriminators are shown the last 50 generated images, mixed; the learning rate
is 2e-4 for the first half of the training, then falls linearly to 0; batches are of one image. At 256 px the
paper has ``base=64, blocks=9, halvings=2, n_layers=3``.

The identity map has no cycle loss: at short budgets a large :math:`\lambda` keeps both generators near it.
At 48 px and 1 500 steps :math:`\lambda=3` and a learning rate of 5e-4 work. There a patch of 16 px
(``n_layers=1``) tells real MR from generated hardly better than a coin; 34 px do.
"""

from functools import partial

import torch
from torch import Tensor, nn

from medgan_course import data
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream, Unpaired
from medgan_course.errors import CourseError
from medgan_course.experiments import Claim, Experiment, Outcome, Run, Trained
from medgan_course.losses.adversarial import LeastSquares
from medgan_course.losses.cycle import cycle, identity
from medgan_course.metrics.fidelity import mae
from medgan_course.nets.patch import PatchDiscriminator
from medgan_course.nets.resnet import ResNetGenerator
from medgan_course.systems.pix2pix import mirrored, pix2pix, translated
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import dcgan_adam, linear_decay


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=32, base=4, batch_size=2, n_score=40),
        cpu=Budget(steps=1_000, size=48, base=16, batch_size=4, n_score=500),
        gpu=Budget(steps=15_000, size=64, base=32, batch_size=8, n_score=500),
    )


def generators(
    *,
    base: int = 16,
    blocks: int = 3,
    halvings: int = 1,
    channels: tuple[int, int] = (1, 1),
    dim: int = 2,
) -> nn.ModuleDict:
    """Return ``G_ab``, which makes A into B, and ``G_ba``; the parameters are those of :func:`cyclegan`."""
    a, b = channels
    return nn.ModuleDict(
        {
            name: ResNetGenerator(*way, base=base, blocks=blocks, halvings=halvings, dim=dim)
            for name, way in (("G_ab", (a, b)), ("G_ba", (b, a)))
        }
    )


def cyclegan(
    steps: int,
    *,
    base: int = 16,
    blocks: int = 3,
    halvings: int = 1,
    n_layers: int = 1,
    channels: tuple[int, int] = (1, 1),
    dim: int = 2,
    cycle_weight: float = 10.0,
    identity_weight: float = 0.0,
    lr: float = 2e-4,
    ema: float | None = None,
    seed: int = 0,
) -> Game:
    r"""Return the game of the paper, on batches :class:`~medgan_course.data.batches.Unpaired`.

    Parameters
    ----------
    steps : int
        Length of the training; the learning rate falls in its second half.
    base, blocks, halvings
        Of the generators, see :class:`~medgan_course.nets.resnet.ResNetGenerator`; the discriminators have
        the same base.
    n_layers
        Of the discriminators, see :class:`~medgan_course.nets.patch.PatchDiscriminator`.
    channels : (int, int)
        Channels of A and B.
    dim : {2, 3}
        2 for images, 3 for volumes.
    cycle_weight : float
        :math:`\lambda`; 0 leaves the cycle out.
    identity_weight : float
        Weight of the identity terms, the paper's :math:`\lambda/2`; they need equal channels. 0 leaves them
        out, as the paper does but for photographs and paintings.
    lr : float
        Learning rate of all players at the start.
    ema : float, optional
        Decay of a moving average of the generators' weights, which ``game.averaged`` returns: an unpaired
        game goes round in circles, and the average is less noisy than any of its moments.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = generators(base=base, blocks=blocks, halvings=halvings, channels=channels, dim=dim)
        discriminators = [PatchDiscriminator(c, base=base, n_layers=n_layers, dim=dim) for c in channels]

    def player(net: nn.Module, replay: int | None = None) -> Player:
        return Player(
            net,
            optimiser=partial(dcgan_adam, lr=lr),
            schedule=linear_decay(steps // 2, steps),
            replay=replay,
            ema=ema if replay else None,
        )

    def generators_cost(game: Game, batch: Unpaired) -> dict[str, Tensor]:
        fake_b, fake_a = game["G_ab"](batch.a), game["G_ba"](batch.b)
        game.kept |= {"fake_a": fake_a.detach(), "fake_b": fake_b.detach()}
        # The library's least squares has the half that the paper gives to the discriminators alone.
        terms = {
            "adversarial_b": 2 * LeastSquares.g_loss(fake=game["D_b"](fake_b))["adversarial"],
            "adversarial_a": 2 * LeastSquares.g_loss(fake=game["D_a"](fake_a))["adversarial"],
        }
        ways, a, b = (game["G_ab"], game["G_ba"]), batch.a, batch.b
        if cycle_weight:
            terms["cycle"] = cycle_weight * cycle(*ways, a=a, b=b, fake_a=fake_a, fake_b=fake_b)
        if identity_weight:
            terms["identity"] = identity_weight * identity(*ways, a=a, b=b)
        return terms

    def discriminators_cost(game: Game, batch: Unpaired) -> dict[str, Tensor]:
        fake_b = game.replayed("G_ab", game.kept["fake_b"])
        fake_a = game.replayed("G_ba", game.kept["fake_a"])
        judged_a = LeastSquares.d_loss(real=game["D_a"](batch.a), fake=game["D_a"](fake_a))
        judged_b = LeastSquares.d_loss(real=game["D_b"](batch.b), fake=game["D_b"](fake_b))
        return {f"{name}_a": term for name, term in judged_a.items()} | {
            f"{name}_b": term for name, term in judged_b.items()
        }

    return Game(
        players={
            "G_ab": player(nets["G_ab"], replay=50),
            "G_ba": player(nets["G_ba"], replay=50),
            "D_a": player(discriminators[0]),
            "D_b": player(discriminators[1]),
        },
        turns=[Turn(("G_ab", "G_ba"), generators_cost), Turn(("D_a", "D_b"), discriminators_cost)],
    )


def experiment(budget: Budget, *, dataset: str = "head2d", a: str = "t1", b: str = "t2") -> Experiment:
    """Compare, on pairs that no arm but pix2pix was given, with that oracle and with doing nothing.

    The oracle plays twice: with its paper's U-Net, and with the network that CycleGAN has. All learn at one
    rate, so that what is compared is what they are told.
    """
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    pairs = Paired(*(images[: budget.n_score] for images in test.paired(a, b)))
    if test.mask is None:
        raise CourseError(f"The lesions of {dataset} are not drawn: take head2d or openms.")
    lesions = test.mask[: budget.n_score]
    lr = 5e-4

    def outcome(images: Tensor) -> Outcome:
        error = (images - pairs.target).abs() * lesions
        return {
            "MAE": mae(images, pairs.target),
            "lesion error": error.flatten(1).sum(1),
            "lesion pixels": lesions.flatten(1).sum(1),
        }

    def lesion_mae(outcome: Outcome) -> float:
        """Return the mean absolute error over all lesion pixels; not every subject has any."""
        return (outcome["lesion error"].sum() / outcome["lesion pixels"].sum()).item()

    def arm(run: Run, cycle_weight: float) -> Outcome:
        game = cyclegan(
            budget.steps,
            base=budget.base,
            n_layers=2,
            cycle_weight=cycle_weight,
            lr=lr,
            seed=run.seed,
        )
        stream = Stream(train.unpaired(a, b), budget.batch_size, seed=run.seed, apart=True)
        run.fit(game, stream, budget.steps)
        return outcome(translated(game.averaged("G_ab"), pairs.source))

    def oracle(run: Run, net: nn.Module | None = None) -> Outcome:
        game = pix2pix(net=net, base=budget.base, lr=(lr, lr), seed=run.seed)
        run.fit(game, Stream(train.paired(a, b), budget.batch_size, seed=run.seed), budget.steps)
        return outcome(translated(game.averaged("G"), pairs.source, seed=run.seed))

    def even_oracle(run: Run) -> Outcome:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            net = generators(base=budget.base)["G_ab"]
        return oracle(run, net)

    return Experiment(
        data=[train, test],
        arms={
            "CycleGAN": lambda run: arm(run, 3.0),
            "GAN only": lambda run: arm(run, 0.0),
            "pix2pix": oracle,
            "pix2pix, same G": even_oracle,
            "identity": lambda run: outcome(pairs.source),
        },
        claims=[
            Claim(
                "CycleGAN is nearer to the truth than the untranslated image.",
                metric="MAE",
                variant="CycleGAN",
                baseline="identity",
                better="lower",
                references=["GAN only", "pix2pix", "pix2pix, same G"],
            ),
            Claim(
                "Who knows the pairs is nearer still.",
                metric="MAE",
                variant="pix2pix",
                baseline="CycleGAN",
                better="lower",
                references=["pix2pix, same G", "identity"],
            ),
            Claim(
                "The cycle keeps lesions better than the adversarial terms alone.",
                metric="lesion MAE",
                score=lesion_mae,
                variant="CycleGAN",
                baseline="GAN only",
                better="lower",
                references=["identity", "pix2pix", "pix2pix, same G"],
            ),
        ],
    )


def training(
    run: Run,
    *,
    dataset: str = "head2d",
    a: str = "t1",
    b: str = "t2",
    size: int = 64,
    base: int = 24,
    blocks: int = 4,
    halvings: int = 1,
    n_layers: int = 2,
    steps: int = 4_000,
    batch_size: int = 4,
    cycle_weight: float = 3.0,
    lr: float = 5e-4,
) -> Trained:
    """Train both generators on slices of disjoint subjects and their mirror images, to be kept.

    The subjects are computed: real ``openms`` has one patient for each album, and one person's T1 turned into
    another person's T2 stayed grain for the 5 000 steps that ``--set dataset=openms --set n_layers=3 --set
    steps=16000`` was watched.
    """
    train = data.load(dataset, size=size, split="train")
    game = cyclegan(
        steps,
        base=base,
        blocks=blocks,
        halvings=halvings,
        n_layers=n_layers,
        cycle_weight=cycle_weight,
        lr=lr,
        ema=0.999,
        seed=run.seed,
    )
    stream = Stream(mirrored(train.unpaired(a, b)), batch_size, seed=run.seed, apart=True)
    history = run.fit(game, stream, steps)
    nets = nn.ModuleDict({name: game.averaged(name) for name in ("G_ab", "G_ba")})
    return Trained(nets, generators, {"base": base, "blocks": blocks, "halvings": halvings}, train, history)
