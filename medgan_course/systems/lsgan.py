r"""S06, LSGAN (Mao et al. 2017).

Mao, Li, Xie, Lau, Wang & Smolley, *Least Squares Generative Adversarial Networks*, ICCV 2017.

The discriminator's output is pulled to 1 on real images and to 0 on generated ones, the generator pulls it to
1 (the paper's :math:`a = 0`, :math:`b = c = 1`):

.. math::
    L_D = \tfrac12\,\mathbb E(D(x) - 1)^2 + \tfrac12\,\mathbb E\,D(\hat x)^2, \qquad
    L_G = \tfrac12\,\mathbb E(D(\hat x) - 1)^2.

A generated image that lies far on the real side, :math:`D(\hat x)\gg 1`, still has the gradient
:math:`D(\hat x) - 1`, where that of the non-saturating loss vanishes. Here nothing but the loss differs from
S03; the paper's networks are larger, and its learning rate is its own.

.. code-block:: console

    medgan run lsgan
"""

from functools import partial

from medgan_course.budgets import Budget
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Adversarial, LeastSquares, NonSaturating
from medgan_course.systems.dcgan import budget, dcgan, sampler

__all__ = ["budget", "experiment", "lsgan"]

STAGES = 4  # at which both are scored: how the ratio develops says more than where it ends

lsgan = partial(dcgan, loss=LeastSquares)
"""Return the game: :func:`~medgan_course.systems.dcgan.dcgan` with least squares."""


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Compare least squares with the non-saturating loss, after each quarter of the steps."""
    domain = Domain(dataset, budget.size, budget.n_score)

    def arm(loss: Adversarial, run: Run) -> Outcome:
        game = dcgan(budget.size, base=budget.base, channels=domain.shape[0], loss=loss, seed=run.seed)
        batches = domain.train.batches(budget.batch_size, seed=run.seed)
        return {
            f"after {steps} steps": domain.sample(sampler(game), run.seed)
            for steps in run.stages(game, batches, budget.steps, STAGES)
        }

    def claim(key: str) -> Claim:
        return Claim(
            f"LSGAN's domain FID {key} is within 1.2 times that of the non-saturating loss.",
            metric=f"domain FID {key}",
            # A reference row has one set of images for all stages.
            score=lambda outcome: domain.distance(outcome[key if key in outcome else "features"]),
            variant="LSGAN",
            baseline="DCGAN",
            compare="ratio",
            better="lower",
            margin=1.2,
            fails=1.5,
            references=list(domain.references),
        )

    return Experiment(
        data=[domain.train, domain.held_out],
        arms={
            "LSGAN": partial(arm, LeastSquares),
            "DCGAN": partial(arm, NonSaturating),
            **domain.references,
        },
        claims=[claim(f"after {stage * budget.steps // STAGES} steps") for stage in range(1, STAGES + 1)],
    )
