r"""What is claimed, how it is compared, and when it counts as shown.

A claim compares the score :math:`m` of a variant with that of a baseline, seed by seed, as a difference or a
ratio, or holds the variant's score itself against a number:

.. math::
    q_s = m^\text{variant}_s - m^\text{baseline}_s, \qquad
    q_s = m^\text{variant}_s / m^\text{baseline}_s, \qquad
    q_s = m^\text{variant}_s, \qquad
    \bar q = \tfrac1S\textstyle\sum_{s=1}^S q_s .

The interval of :math:`\bar q` is a percentile bootstrap that resamples seeds **and** items (Efron 1979).
Items are resampled with the same positions in both arms and in all seeds, so that images of one test set stay
paired. Sets that have a score only together, as for FID, are resampled whole in the same way. A set drawn
with replacement repeats images, which biases FID upwards: the mean shift that resampling items causes is
taken off.

What this interval cannot do. With three seeds and a spread between seeds that outweighs the one between
images, it is the range from the smallest to the largest of the three values (all three draws are the smallest
one in 1 of 27 cases, which is more than 2.5 %). A range of three covers the centre of a symmetric
distribution in :math:`1 - 2\cdot 2^{-3}` = 75 % of experiments, not in 95 %; simulated with normally
distributed seeds, five give about 83 %, ten about 90 %. So "supported" with three seeds says: in all three,
clearly beyond the noise of the test images. This happens by chance in one of eight experiments whose true
value sits exactly on the margin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from medgan_course.errors import CourseError

Outcome = Mapping[str, Tensor]
"""Tensors that an arm leaves behind for one seed; their first axis counts the scored items."""

MIN_SEEDS = 3
RESAMPLES = 400  # of the items, each with SEED_DRAWS resamples of the seeds
SEED_DRAWS = 64


@dataclass(frozen=True)
class Claim:
    """A claim with the threshold that decides it, declared before anything is trained.

    Parameters
    ----------
    statement : str
        The claim as a sentence.
    metric : str
        What is measured, with its unit where it has one. Without ``score``, the name of the tensor in the
        outcome whose mean is the score.
    variant : str
        The arm that the claim is about.
    better : {"lower", "higher"}
        Which direction supports the claim.
    baseline : str, optional
        The arm it is compared with. Without one, the variant's score itself is held against ``margin``.
    compare : {"difference", "ratio"}
        Variant minus baseline, or variant divided by baseline.
    margin : float
        What the comparison must clear: for a difference the least improvement, 0 or more; else the ratio or
        the score itself that the interval must lie beyond, on the better side.
    fails : float, optional
        What contradicts the claim, on the same scale: the interval lies beyond it on the worse side. Default:
        ``margin`` itself, for all three kinds. "Better by 1 dB" is then contradicted by an interval of
        [0.1, 0.3] dB, and not shown by one that holds 1 dB.
    score : callable, optional
        ``score(outcome) -> float``, for what is no mean: a distance of feature sets, a correlation.
    references : sequence of str
        Arms whose scores stand beside: the trivial baseline, the oracle.

    Examples
    --------
    >>> Claim("DCGAN comes closer to the real images than an MLP-GAN.", metric="domain FID",
    ...       score=lambda outcome: frechet_distance(real, outcome["features"]),
    ...       variant="DCGAN", baseline="MLP-GAN", better="lower", references=["held-out real images"])
    >>> Claim("LSGAN's FID is within 1.2 times that of the non-saturating loss.", metric="domain FID",
    ...       score=fid, variant="LSGAN", baseline="NS", compare="ratio", better="lower",
    ...       margin=1.2, fails=1.5)
    >>> Claim("The accuracy is at least 0.7.", metric="accuracy", variant="SSGAN", better="higher",
    ...       margin=0.7, fails=0.5)
    """

    statement: str
    metric: str
    variant: str
    better: Literal["lower", "higher"]
    baseline: str | None = None
    compare: Literal["difference", "ratio"] = "difference"
    margin: float = 0.0
    fails: float | None = None
    score: Callable[[Outcome], float] | None = None
    references: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise CourseError(f"{self.better!r} is no direction of {self.metric}: say 'lower' or 'higher'.")
        if self.compare not in ("difference", "ratio"):
            raise CourseError(
                f"{self.metric} cannot be compared by {self.compare!r}: say 'difference' or 'ratio'."
            )
        if self.kind == "difference" and self.margin < 0:
            raise CourseError(
                f"The margin of {self.metric} is {self.margin}: a difference's is the least improvement, "
                "0 or more, whichever direction is better."
            )
        supported, contradicted = self.thresholds
        if (contradicted - supported if self.better == "higher" else supported - contradicted) > 0:
            raise CourseError(
                f"fails={self.fails} of {self.metric} lies on the better side of margin={self.margin}: "
                "one interval could support and contradict the claim."
            )

    @property
    def kind(self) -> str:
        """``"difference"``, ``"ratio"`` or, without a baseline, ``"value"``."""
        return "value" if self.baseline is None else self.compare

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms whose scores are reported, the variant first."""
        return (self.variant, *([] if self.baseline is None else [self.baseline]), *self.references)

    @property
    def thresholds(self) -> tuple[float, float]:
        """What the compared quantity must lie beyond to support and to contradict the claim."""
        return thresholds(self.kind, self.better, self.margin, self.fails)

    def of(self, outcome: Outcome) -> float:
        """Return the score of one arm and seed.

        Raises
        ------
        CourseError
            If the outcome lacks the metric, or the score is not finite.
        """
        if self.score is not None:
            value = float(self.score(outcome))
        elif self.metric in outcome:
            value = float(outcome[self.metric].double().mean())
        else:
            raise CourseError(
                f"An outcome has no {self.metric!r}, only {', '.join(outcome)}: "
                "name one of these, or give a score."
            )
        if not torch.isfinite(torch.tensor(value)):
            raise CourseError(
                f"The score {self.metric} is {value}: look at the outcome it was computed from."
            )
        return value

    def quantities(self, outcomes: Mapping[str, Sequence[Outcome]]) -> Tensor:
        """Return the compared quantity ``(S,)`` of every seed; the arms' outcomes have one order of seeds."""
        variant = torch.tensor([self.of(each) for each in outcomes[self.variant]], dtype=torch.float64)
        if self.baseline is None:
            return variant
        baseline = torch.tensor([self.of(each) for each in outcomes[self.baseline]], dtype=torch.float64)
        if self.kind == "difference":
            return variant - baseline
        if (baseline == 0).any():
            raise CourseError(
                f"{self.metric} of {self.baseline} is 0, and no ratio to 0 exists: compare by difference, or "
                "score more images."
            )
        return variant / baseline


def thresholds(kind: str, better: str, margin: float, fails: float | None) -> tuple[float, float]:
    """Return what a quantity must lie beyond to support and to contradict a claim; see :class:`Claim`."""
    sign = -1 if kind == "difference" and better == "lower" else 1
    return sign * margin, sign * (margin if fails is None else fails)


def verdict(
    kind: str,
    better: str,
    margin: float,
    fails: float | None,
    interval: Sequence[float],
    *,
    seeds: int,
    profile: str,
) -> str:
    """Return what an interval says about a claim.

    "supported" if the whole interval lies beyond the margin on the better side, "contradicted" if the whole
    of it lies beyond ``fails`` (by default the margin, too) on the worse side; else "not shown at this
    scale". Fewer than three seeds say nothing about the spread between trainings, and the ``smoke`` profile
    trains nothing worth judging: both give "not shown at this scale".
    """
    low, high = interval
    supports, contradicts = thresholds(kind, better, margin, fails)
    if seeds < MIN_SEEDS or profile == "smoke":
        return "not shown at this scale"
    if low > supports if better == "higher" else high < supports:
        return "supported"
    if high < contradicts if better == "higher" else low > contradicts:
        return "contradicted"
    return "not shown at this scale"


def interval(
    claim: Claim, outcomes: Mapping[str, Sequence[Outcome]], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a claim's mean quantity; see the module's text for what it covers.

    Parameters
    ----------
    claim : Claim
        What is compared.
    outcomes : mapping of str to sequence of Outcome
        For each arm of the claim one outcome a seed, in the same order of seeds.
    seed : int
        Seed of the resampling.
    """
    draw = torch.Generator().manual_seed(seed)
    arms = {name: outcomes[name] for name in claim.arms[: 1 if claim.baseline is None else 2]}
    lengths = sorted(
        {len(tensor) for each in arms.values() for outcome in each for tensor in outcome.values()}
    )
    estimate = claim.quantities(arms)
    if lengths == [1]:  # nothing but one number a seed: only seeds can be resampled
        rows = estimate.expand(RESAMPLES, -1)
    else:
        drawn = []
        for _ in range(RESAMPLES):
            picks = {n: torch.randint(n, (n,), generator=draw) for n in lengths}
            drawn.append(
                claim.quantities(
                    {
                        name: [{key: t[picks[len(t)]] for key, t in outcome.items()} for outcome in each]
                        for name, each in arms.items()
                    }
                )
            )
        rows = torch.stack(drawn)
        rows = rows - (rows.mean() - estimate.mean())
    return _percentiles(rows, draw)


def _percentiles(rows: Tensor, draw: torch.Generator) -> tuple[float, float]:
    """Resample the seeds of every row ``(R, S)`` and return the central 95 % of the means."""
    seeds = rows.shape[1]
    picks = torch.randint(seeds, (len(rows), SEED_DRAWS * seeds), generator=draw)
    means = rows.gather(1, picks).view(len(rows), SEED_DRAWS, seeds).mean(2).flatten()
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high
