r"""Adversarial losses as named terms of logits.

Every loss is a class with two static methods, which a recipe takes as one argument (``loss=LeastSquares``);
the type of that argument is :class:`Adversarial`. ``d_loss(real=, fake=)`` and ``g_loss(fake=)`` take logits
of any shape (a patch discriminator's map counts as so many logits) and return the named terms whose sum is
the cost. A sigmoid never appears: log-probabilities are written with softplus, finite for logits of any size.

Throughout, :math:`a = D(x)` are the logits of real images, :math:`\hat a = D(G(z))` those of generated ones,
:math:`\sigma` is the logistic function, and :math:`\mathbb E` the mean over all logits given.
"""

from typing import Protocol

from torch import Tensor
from torch.nn.functional import relu, softplus

from medgan_course.errors import CourseError
from medgan_course.losses.checks import full


class Adversarial(Protocol):
    """What a recipe may ask of an adversarial loss."""

    def d_loss(self, *, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return the terms ``real`` and ``fake`` of the discriminator's cost, scalars."""

    def g_loss(self, *, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return the term ``adversarial`` of the generator's cost, a scalar; few losses look at ``real``."""


class NonSaturating:
    r"""The non-saturating loss of Goodfellow et al. (2014), the one DCGAN uses.

    .. math::
        L_D = \mathbb E[-\log\sigma(a)] + \mathbb E[-\log(1-\sigma(\hat a))], \qquad
        L_G = \mathbb E[-\log\sigma(\hat a)].

    Since :math:`-\log\sigma(a) = \mathrm{softplus}(-a)`, a confident discriminator leaves the generator the
    gradient :math:`-(1-\sigma(\hat a)) \to -1`, where :class:`Minimax` leaves it nothing.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = E[-log sigma(real)] and ``fake`` = E[-log(1 - sigma(fake))], scalars."""
        return {"real": softplus(-full(real)).mean(), "fake": softplus(full(fake)).mean()}

    @staticmethod
    def g_loss(*, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``adversarial`` = E[-log sigma(fake)], a scalar."""
        return {"adversarial": softplus(-full(fake)).mean()}


class Minimax:
    r"""The minimax game :math:`\min_G\max_D V` of Goodfellow et al. (2014, eq. 1).

    .. math::
        V = \mathbb E[\log\sigma(a)] + \mathbb E[\log(1-\sigma(\hat a))], \qquad
        L_D = -V, \qquad L_G = \mathbb E[\log(1-\sigma(\hat a))].

    :math:`V` is minus the binary cross-entropy, so :math:`L_D` is that of :class:`NonSaturating`. The
    generator's gradient is :math:`-\sigma(\hat a)`: it vanishes for every fake that the discriminator rejects
    (the loss saturates).
    """

    d_loss = staticmethod(NonSaturating.d_loss)

    @staticmethod
    def g_loss(*, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``adversarial`` = E[log(1 - sigma(fake))], a scalar, never positive."""
        return {"adversarial": -softplus(full(fake)).mean()}


class LeastSquares:
    r"""The least-squares loss of Mao et al. (2017), with labels a = 0 (fake) and b = c = 1 (real).

    .. math::
        L_D = \tfrac12\mathbb E[(a-1)^2] + \tfrac12\mathbb E[\hat a^2], \qquad
        L_G = \tfrac12\mathbb E[(\hat a-1)^2].

    The generator's gradient :math:`\hat a-1` also pulls back fakes that are "too real", to which the
    non-saturating loss is blind.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = E[(real - 1)^2] / 2 and ``fake`` = E[fake^2] / 2, scalars."""
        return {"real": (full(real) - 1).square().mean() / 2, "fake": full(fake).square().mean() / 2}

    @staticmethod
    def g_loss(*, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``adversarial`` = E[(fake - 1)^2] / 2, a scalar."""
        return {"adversarial": (full(fake) - 1).square().mean() / 2}


class Wasserstein:
    r"""The Wasserstein loss of Arjovsky, Chintala & Bottou (2017): the critic's logits themselves.

    .. math::
        L_D = \mathbb E[\hat a] - \mathbb E[a], \qquad L_G = -\mathbb E[\hat a].

    Among critics with Lipschitz constant 1, the best one's :math:`-L_D` is the distance :math:`W_1` between
    real and generated images. Nothing here keeps the critic Lipschitz: weight clipping (S04) or
    :func:`~medgan_course.losses.penalties.gradient_penalty` (S05) must.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = -E[real] and ``fake`` = E[fake], scalars of either sign."""
        return {"real": -full(real).mean(), "fake": full(fake).mean()}

    @staticmethod
    def g_loss(*, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``adversarial`` = -E[fake], a scalar of either sign."""
        return {"adversarial": -full(fake).mean()}


class Hinge:
    r"""The hinge loss (Lim & Ye 2017; Tran, Ranganath & Blei 2017), the one SPADE uses.

    With :math:`[u]_+ = \max(0, u)`,

    .. math::
        L_D = \mathbb E[1-a]_+ + \mathbb E[1+\hat a]_+, \qquad L_G = -\mathbb E[\hat a].

    The discriminator learns nothing more from images beyond the margin, :math:`a>1` or :math:`\hat a<-1`.
    Only its side is hinged.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = E[max(0, 1 - real)] and ``fake`` = E[max(0, 1 + fake)], scalars."""
        return {"real": relu(1 - full(real)).mean(), "fake": relu(1 + full(fake)).mean()}

    g_loss = staticmethod(Wasserstein.g_loss)


class RelativisticAverage:
    r"""The relativistic average loss of Jolicoeur-Martineau (2019).

    The logit of an image counts relative to the mean logit of the other kind, :math:`r = a-\mathbb E\hat a`
    and :math:`\hat r = \hat a-\mathbb E a`:

    .. math::
        L_D = \mathbb E[-\log\sigma(r)] + \mathbb E[-\log(1-\sigma(\hat r))], \qquad
        L_G = \mathbb E[-\log\sigma(\hat r)] + \mathbb E[-\log(1-\sigma(r))].

    The mean is that of the logits given: with several processes, each one's own.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = E[-log sigma(r)] and ``fake`` = E[-log(1 - sigma(r^))], scalars."""
        real, fake = full(real), full(fake)
        return {"real": softplus(fake.mean() - real).mean(), "fake": softplus(fake - real.mean()).mean()}

    @staticmethod
    def g_loss(*, fake: Tensor, real: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``adversarial``, the discriminator's cost with real and fake exchanged, a scalar."""
        if real is None:
            raise CourseError(
                "RelativisticAverage weighs generated images against real ones: "
                "give g_loss the logits of both, fake= and real=."
            )
        swapped = RelativisticAverage.d_loss(real=fake, fake=real)
        return {"adversarial": swapped["real"] + swapped["fake"]}
