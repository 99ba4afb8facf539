r"""What a reconstruction must not do: contradict its measurement, shift values, add or drop lesions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap


def measurement_consistency(images: Tensor, measured: Tensor, operator: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Return how far each image, measured again, lies from what was measured.

    .. math:: \sqrt{\frac1n\sum_{i=1}^n|(\mathcal A\hat x)_i-y_i|^2}

    in the unit of the n measured numbers, ``(N,)`` float64. Without noise the true image gives 0; with
    noise of standard deviation :math:`\sigma` it gives about :math:`\sigma`: report that as the floor. An
    image far *below* it has fitted the noise.

    Parameters
    ----------
    images : Tensor
        :math:`\hat x`, ``(N, C, ...)``.
    measured : Tensor
        :math:`y`, ``(N, ...)``, real or complex.
    operator : callable
        :math:`\mathcal A`, from images to measurements: down-sampling, masked Fourier transform, projection.
    """
    again = operator(images)
    if again.shape != measured.shape:
        raise CourseError(
            f"The operator turns images {tuple(images.shape)} into {tuple(again.shape)}, but what was "
            f"measured is {tuple(measured.shape)}."
        )
    return (again - measured).abs().double().square().flatten(1).mean(1).sqrt()


@dataclass(frozen=True)
class LesionErrors:
    """Lesions that a reconstruction added or dropped, according to a fixed detector.

    Attributes
    ----------
    hallucinated : Score
        Detections for each image that touch no true lesion. Its floor: the same on the true images, the
        detector's own false alarms.
    omitted : Score or None
        Share of true lesions that no detection touches; None if there are none. Its floor: what the detector
        misses on the true images.
    """

    hallucinated: Score
    omitted: Score | None


def lesion_errors(
    detector: Callable[[Tensor], Tensor],
    images: Tensor,
    truth: Tensor,
    lesions: Tensor,
    *,
    subjects: Tensor | None = None,
    seed: int = 0,
) -> LesionErrors:
    r"""Count lesions added and dropped between the true images and the results (M15).

    Detections and true lesions are connected components (pixels touching at sides or corners). A detection
    without a common pixel with any true lesion is hallucinated, a true lesion without a common pixel with any
    detection omitted. With :math:`h_i` and :math:`m_i` of them in image i and :math:`l_i` true lesions,

    .. math:: \text{hallucinated}=\frac1N\sum_ih_i, \qquad \text{omitted}=\frac{\sum_im_i}{\sum_il_i}.

    Only the difference from the floor is the reconstruction's doing. On images of lesion-free subjects every
    detection is hallucinated.

    Parameters
    ----------
    detector : callable
        From images to boolean masks ``(N, 1, ...)``; trained on true images and then fixed.
    images, truth : Tensor
        Results and true images ``(N, C, ...)``.
    lesions : Tensor
        Boolean masks ``(N, 1, ...)`` of the true lesions, known in a phantom.
    subjects : Tensor, optional
        ``(N,)``, whose image each is.
    """
    scores: list[tuple[Score, Score | None]] = []
    for shown in (truth, images):
        found = detector(shown)
        if found.shape != lesions.shape or found.dtype != torch.bool or lesions.dtype != torch.bool:
            raise CourseError(
                f"Detector and lesions are boolean masks (N, 1, ...) of one shape, not {found.dtype} "
                f"{tuple(found.shape)} and {lesions.dtype} {tuple(lesions.shape)}."
            )
        masks = zip(found[:, 0].cpu().numpy(), lesions[:, 0].cpu().numpy(), strict=True)
        counts = [(_untouched(mask, by=true), _untouched(true, by=mask)) for mask, true in masks]
        added, missed, total = torch.tensor([(h, m, n) for (h, _), (m, n) in counts]).double().unbind(1)
        floors: tuple[Score | None, Score | None] = scores[0] if scores else (None, None)
        omitted = None
        if total.any():
            omitted = bootstrap(
                torch.stack((missed, total), 1), _ratio, subjects=subjects, seed=seed, floor=floors[1]
            )
        scores.append((bootstrap(added, subjects=subjects, seed=seed, floor=floors[0]), omitted))
    return LesionErrors(*scores[1])


def _ratio(samples: Tensor) -> Tensor:
    missed, total = samples.sum(1).unbind(1)
    return missed / total.clamp_min(1)


def _untouched(mask: np.ndarray, *, by: np.ndarray) -> tuple[int, int]:
    """Return how many components of ``mask`` have no pixel in ``by``, and how many there are."""
    components, n = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    touched = np.unique(components[by & mask])
    return n - len(touched), n
