r"""Losses of GANs that learn to classify from few labels and many unlabelled images.

The supervised term of both is the cross-entropy of the labelled images' class logits, torch's
``cross_entropy``.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.checks import full, same_shape


def source_logit(class_logits: Tensor) -> Tensor:
    r"""Return the logit of "real" that K class logits imply (SSGAN; Salimans et al. 2016, section 5).

    A classifier of K classes and the class "fake", whose logit is fixed at 0, gives

    .. math::
        P(\text{real}\mid x)=\frac{Z}{Z+1}=\sigma(\log Z), \qquad Z=\sum_{k=1}^K e^{l_k}.

    So the K+1 classifier is a discriminator with the logit :math:`\log Z`, and its unsupervised cost
    :math:`-\log\frac{Z(x)}{Z(x)+1}-\log\frac1{Z(\hat x)+1}` is the non-saturating loss of that logit,
    ``NonSaturating.d_loss(real=source_logit(l), fake=source_logit(l_fake))``. Given that an image is real,
    its class has the probability :math:`\mathrm{softmax}(l)`.

    Parameters
    ----------
    class_logits : Tensor
        :math:`l`, ``(N, K)``.

    Returns
    -------
    Tensor
        :math:`\log Z`, ``(N,)``.
    """
    return full(class_logits).logsumexp(1)


class TripleGAN:
    r"""The three costs of Triple-GAN (Li et al. 2017), with the expectation over C's classes.

    The discriminator judges pairs. With its logits :math:`a=D(x,y)` of labelled pairs, :math:`a_k=D(x,k)` of
    an unlabelled image with each class :math:`k`, :math:`\hat a=D(G(y,z),y)` of generated pairs, and the
    classifier's :math:`C(k\mid x)=\mathrm{softmax}_k(c)`,

    .. math::
        L_D &= \mathbb E[-\log\sigma(a)]
        + \alpha\,\mathbb E\sum_k C(k\mid x)\,[-\log(1-\sigma(a_k))]
        + (1-\alpha)\,\mathbb E[-\log(1-\sigma(\hat a))]\\
        L_C &= \alpha\,\mathbb E\sum_k C(k\mid x)\log(1-\sigma(a_k)) \qquad
        L_G = (1-\alpha)\,\mathbb E[-\log\sigma(\hat a)].

    :math:`L_C` lacks the supervised term, which is the plain cross-entropy. We implement the following
    readings. A class drawn from C has no gradient; instead of REINFORCE, the sum over all classes is taken,
    in :math:`L_D` as well. And G's cost is the non-saturating one, where the paper has
    :math:`(1-\alpha)\,\mathbb E\log(1-\sigma(\hat a))`.
    """

    @staticmethod
    def d_loss(
        *, real: Tensor, classified: Tensor, class_logits: Tensor, fake: Tensor, alpha: float = 0.5
    ) -> dict[str, Tensor]:
        r"""Return the terms ``real``, ``classified`` and ``fake`` of the discriminator's cost, scalars.

        Parameters
        ----------
        real, fake : Tensor
            Logits :math:`a` and :math:`\hat a`, of any shape.
        classified : Tensor
            Logits :math:`a_k`, ``(N, K)``.
        class_logits : Tensor
            The classifier's :math:`c`, ``(N, K)``, of the same images.
        alpha : float
            Share of the classifier's pairs among those that D must reject.
        """
        terms = NonSaturating.d_loss(real=real, fake=fake)
        return {
            "real": terms["real"],
            "classified": alpha * _expected_rejection(classified, class_logits),
            "fake": (1 - alpha) * terms["fake"],
        }

    @staticmethod
    def c_loss(*, classified: Tensor, class_logits: Tensor, alpha: float = 0.5) -> dict[str, Tensor]:
        """Return the term ``adversarial`` of the classifier's cost, a scalar, never positive."""
        return {"adversarial": -alpha * _expected_rejection(classified, class_logits)}

    @staticmethod
    def g_loss(*, fake: Tensor, alpha: float = 0.5) -> dict[str, Tensor]:
        """Return the term ``adversarial`` of the generator's cost, a scalar."""
        return {"adversarial": (1 - alpha) * NonSaturating.g_loss(fake=fake)["adversarial"]}


def _expected_rejection(pair_logits: Tensor, class_logits: Tensor) -> Tensor:
    """Return E sum_k softmax_k(class_logits) * -log(1 - sigma(pair_logits_k))."""
    same_shape("TripleGAN", classified=pair_logits, class_logits=class_logits)
    return (torch.softmax(full(class_logits), 1) * softplus(full(pair_logits))).sum(1).mean()
