"""Adversarial losses as named terms of logits.

Every loss is a class with two static methods. ``d_loss(real=, fake=)`` and ``g_loss(fake=)`` take logits of
any shape (a patch discriminator's map counts as so many logits) and return the named terms whose sum is the
cost. A sigmoid never appears: log-probabilities are written with softplus, finite for logits of any size.
"""

from torch import Tensor
from torch.nn.functional import softplus


class NonSaturating:
    r"""The non-saturating loss of Goodfellow et al. (2014), the one DCGAN uses.

    With logits :math:`a = D(x)`, :math:`\hat a = D(G(z))` and the logistic function :math:`\sigma`,

    .. math::
        L_D = \mathbb E[-\log\sigma(a)] + \mathbb E[-\log(1-\sigma(\hat a))], \qquad
        L_G = \mathbb E[-\log\sigma(\hat a)].

    Since :math:`-\log\sigma(a) = \mathrm{softplus}(-a)`, a confident discriminator leaves the generator the
    gradient :math:`-(1-\sigma(\hat a)) \to -1`; the minimax cost :math:`\log(1-\sigma(\hat a))` would leave
    it :math:`-\sigma(\hat a) \to 0`.
    """

    @staticmethod
    def d_loss(*, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Return ``real`` = E[-log sigma(real)] and ``fake`` = E[-log(1 - sigma(fake))], scalars."""
        return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}

    @staticmethod
    def g_loss(*, fake: Tensor) -> dict[str, Tensor]:
        """Return ``adversarial`` = E[-log sigma(fake)], a scalar."""
        return {"adversarial": softplus(-fake).mean()}
