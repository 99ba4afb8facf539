r"""S11, SPADE (Park et al. 2019).

*Semantic Image Synthesis with Spatially-Adaptive Normalization*, CVPR 2019.

From a label map :math:`m` to an image of that layout: the map modulates every normalisation of the generator
(:mod:`medgan_course.nets.spade`). The discriminators, two scales of patches, see map and image. With the
hinge :math:`[u]_+=\max(u,0)`, a mean over scales, and :math:`\hat x=G(m)` or :math:`G(m,z)`,

.. math::
    L_D &= [1-D(m,x)]_+ + [1+D(m,\hat x)]_+, \\
    L_G &= -D(m,\hat x) + 10\,L_\mathrm{FM} + 10\,L_\mathrm{perc} + 0.05\,L_\mathrm{KL}.

:math:`L_\mathrm{FM}` matches the discriminators' features, divided by the number of scales as in the authors'
code; :math:`L_\mathrm{perc}` those of a fixed network: the paper's is VGG19, here one of the domain, or none.
With a style :math:`z`, an encoder of the real image plays along as in a VAE, and :math:`L_\mathrm{KL}` is its
divergence from N(0, I). Adam with (0, 0.999), 1e-4 for the generator and 4e-4 for the discriminators (Heusel
et al. 2017).
"""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from medgan_course import data, draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream
from medgan_course.errors import CourseError
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Hinge
from medgan_course.losses.feature import feature_matching, perceptual
from medgan_course.losses.latent import kl_normal
from medgan_course.metrics.features import FeatureNet
from medgan_course.metrics.segmentation import jaccard
from medgan_course.nets.dcgan import Trunk
from medgan_course.nets.heads import Heads
from medgan_course.nets.patch import MultiScaleDiscriminator
from medgan_course.nets.spade import SPADEGenerator
from medgan_course.nets.unet import UNet
from medgan_course.systems.pix2pix import pix2pix, translated
from medgan_course.train import Game, Player, Turn


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=32, base=4, batch_size=4, n_score=8),
        cpu=Budget(steps=800, size=64, base=8, batch_size=8, n_score=500),
        gpu=Budget(steps=12_000, size=64, base=32, batch_size=32, n_score=500),
    )


def spade(
    size: int,
    classes: int,
    *,
    base: int = 16,
    n_layers: int = 1,
    channels: int = 1,
    z_dim: int = 0,
    features: FeatureNet | None = None,
    seed: int = 0,
) -> Game:
    r"""Return the game of the paper, on batches ``Paired(source=one-hot label maps, target=images)``.

    Parameters
    ----------
    size, classes, base, channels, z_dim
        Of the generator, see :class:`~medgan_course.nets.spade.SPADEGenerator`; a ``z_dim`` above 0 adds the
        encoder, for sizes of :class:`~medgan_course.nets.dcgan.Trunk`. The hidden maps of the modulation
        are twice as wide as the base, as in the paper.
    n_layers
        Of the discriminators, see :class:`~medgan_course.nets.patch.PatchDiscriminator`; the paper's 3.
    features : FeatureNet, optional
        Its :meth:`~medgan_course.metrics.features.FeatureNet.maps` are compared, see
        :func:`~medgan_course.losses.feature.perceptual`; it joins the game, frozen. Give one in evaluation
        mode, trained on images of this size: a shipped one, or one from
        :func:`medgan_course.metrics.features.train`.
    seed : int
        Seed of the initial weights.
    """
    scales = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = SPADEGenerator(size, classes, base=base, channels=channels, z_dim=z_dim, hidden=2 * base)
        discriminator = MultiScaleDiscriminator(
            scales, classes + channels, base=base, n_layers=n_layers, spectral_norm=True
        )
        encoder = Heads(Trunk(size, base, channels), mean=z_dim, log_variance=z_dim) if z_dim else None

    def adam(lr: float) -> Callable[[Iterable[nn.Parameter]], torch.optim.Adam]:
        return lambda parameters: torch.optim.Adam(parameters, lr=lr, betas=(0.0, 0.999), fused=True)

    def generated(game: Game, batch: Paired) -> tuple[Tensor, dict[str, Tensor]]:
        """Return images in the style of the real ones, and the KL term of that style."""
        if not z_dim:
            return game["G"](batch.source), {}
        code = game["E"](batch.target)
        noise = draws.normal(*code["mean"].shape, device=code["mean"].device)
        z = code["mean"] + (code["log_variance"] / 2).exp() * noise
        return game["G"](batch.source, z), {"kl": 0.05 * kl_normal(**code)}

    def seen(batch: Paired, images: Tensor) -> Tensor:
        return torch.cat([batch.source, images], 1)

    def discriminator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        real = game["D"](seen(batch, batch.target))
        fake = game["D"](seen(batch, generated(game, batch)[0]))
        return _mean(Hinge.d_loss(real=r, fake=f) for r, f in zip(real, fake, strict=True))

    def generator_cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        judges = cast(MultiScaleDiscriminator, game["D"])
        images, terms = generated(game, batch)
        with torch.no_grad():
            real_features = judges.judge(seen(batch, batch.target))[1]
        logits, fake_features = judges.judge(seen(batch, images))
        matching = feature_matching(real=real_features, fake=fake_features)
        terms |= _mean(Hinge.g_loss(fake=scale) for scale in logits)
        terms["features"] = 10 / scales * matching
        if features is not None:
            phi = cast(FeatureNet, game["features"])
            terms["perceptual"] = 10 * perceptual(phi.maps, real=batch.target, fake=images)
        return terms

    players = {
        "G": Player(generator, optimiser=adam(1e-4)),
        "D": Player(discriminator, optimiser=adam(4e-4)),
    }
    if encoder is not None:
        players["E"] = Player(encoder, optimiser=adam(1e-4))
    if features is not None:
        players["features"] = Player(features.requires_grad_(False))
    movers = ("G",) if encoder is None else ("G", "E")
    return Game(players=players, turns=[Turn("D", discriminator_cost), Turn(movers, generator_cost)])


def _mean(scales: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of every term over the scales."""
    terms = list(scales)
    return {name: torch.stack([each[name] for each in terms]).mean() for name in terms[0]}


def experiment(budget: Budget, *, contrast: str = "t1") -> Experiment:
    """Compare with pix2pix on the same label maps: how well a fixed segmentor finds the labels again.

    Label maps and images are those of head phantoms, whose tissues are known. The U-Net of the baseline is
    2.75 times as wide, which at 64 px gives it the same number of weights within 3 %. Neither arm has the
    perceptual term, which would favour the one that has it.
    """
    train, test = (data.load("head2d", size=budget.size, split=split) for split in ("train", "test"))
    if train.truth is None or test.truth is None:
        raise CourseError("SPADE needs label maps, and this set has none: take head2d.")
    classes = train.truth.tissues.shape[1]

    def maps(labels: Tensor) -> Tensor:
        return one_hot(labels, classes).movedim(-1, 1).float()

    pairs = Paired(maps(train.truth.label_map), train.contrast(contrast))
    truth = test.truth.label_map[: budget.n_score]

    def segmentor(run: Run) -> nn.Module:
        """Return the judge, which all arms of one seed share."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            net = UNet(1, classes, base=16, depth=4, dropout=0)

        def cost(game: Game, batch: Paired) -> dict[str, Tensor]:
            return {"cross-entropy": cross_entropy(game["S"](batch.target), batch.source.argmax(1))}

        def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, lr=1e-3, fused=True)

        game = Game(players={"S": Player(net, optimiser=adam)}, turns=[Turn("S", cost)])
        run.fit(game, Stream(pairs, budget.batch_size, seed=run.seed), budget.steps, name="segmentor")
        return game.averaged("S")

    def outcome(run: Run, images: Tensor) -> Outcome:
        """Return each image's mean Jaccard index over the tissues that its label map has."""
        found = translated(segmentor(run), images).argmax(1)[:, None]
        there = truth[:, None]
        overlap = torch.stack([jaccard(found == k, there == k) for k in range(classes)], 1)
        present = torch.stack([(there == k).flatten(1).any(1) for k in range(classes)], 1)
        return {"mIoU": (overlap * present).sum(1) / present.sum(1)}

    def arm(run: Run, game: Game) -> Outcome:
        run.fit(game, Stream(pairs, budget.batch_size, seed=run.seed), budget.steps)
        return outcome(run, translated(game.averaged("G"), maps(truth), seed=run.seed))

    def spade_arm(run: Run) -> Outcome:
        return arm(run, spade(budget.size, classes, base=budget.base, seed=run.seed))

    def pix2pix_arm(run: Run) -> Outcome:
        return arm(run, pix2pix(base=round(2.75 * budget.base), channels=(classes, 1), seed=run.seed))

    def real_arm(run: Run) -> Outcome:
        return outcome(run, test.contrast(contrast)[: budget.n_score])

    return Experiment(
        data=[train, test],
        arms={"SPADE": spade_arm, "pix2pix": pix2pix_arm, "real images": real_arm},
        claims=[
            Claim(
                "In SPADE's images a fixed segmentor finds the labels better than in pix2pix's.",
                metric="mIoU",
                variant="SPADE",
                baseline="pix2pix",
                better="higher",
                references=["real images"],
            )
        ],
    )
