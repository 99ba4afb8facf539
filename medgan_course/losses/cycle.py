r"""What holds two generators together that translate between unpaired domains A and B (Zhu et al. 2017)."""

from collections.abc import Callable

from torch import Tensor

from medgan_course.losses.pixel import l1

Translator = Callable[[Tensor], Tensor]


def cycle(
    a_to_b: Translator, b_to_a: Translator, *, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor
) -> Tensor:
    r"""Return the cycle-consistency loss: who goes there and back again is unchanged (eq. 2).

    .. math::
        \mathbb E\,|F(G(a))-a| + \mathbb E\,|G(F(b))-b|, \qquad G: A\to B, \quad F: B\to A

    Parameters
    ----------
    a_to_b, b_to_a : callable
        The generators :math:`G` and :math:`F`.
    a, b : Tensor
        Images of either domain.
    fake_a, fake_b : Tensor
        :math:`F(b)` and :math:`G(a)`, which the adversarial terms need as well, not detached.
    """
    return l1(b_to_a(fake_b), a) + l1(a_to_b(fake_a), b)


def identity(a_to_b: Translator, b_to_a: Translator, *, a: Tensor, b: Tensor) -> Tensor:
    r"""Return the identity loss: a generator leaves images of its target domain alone (section 5.2).

    .. math:: \mathbb E\,|G(b)-b| + \mathbb E\,|F(a)-a|

    Parameters
    ----------
    a_to_b, b_to_a, a, b
        As for :func:`cycle`.
    """
    return l1(a_to_b(b), b) + l1(b_to_a(a), a)
