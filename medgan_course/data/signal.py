r"""What a scanner makes of tissue: signal equations of MR, CT and PET, and the faults of the measurement.

Times in ms. Proton density :math:`\rho` is relative to water. The functions take tensors of any shapes that
broadcast, and keep gradients, through all but counted photons.

Noise comes in as numbers from N(0, 1), also that of counted photons (:func:`poisson`): a phantom draws them
from a generator for each subject (:meth:`medgan_course.data.phantom.common.Subjects.normal`), so that a
subject's noise depends neither on the batch nor on the device, and a smaller dose is noisier with the same
noise.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from medgan_course.data.axes import along_axes, space_axes
from medgan_course.errors import CourseError


def spin_echo(rho: Tensor, t1: Tensor, t2: Tensor, *, tr: float, te: float) -> Tensor:
    r"""Return the spin-echo signal for repetition time ``tr`` and echo time ``te``.

    .. math:: S = \rho\,(1 - e^{-TR/T_1})\,e^{-TE/T_2}

    Parameters
    ----------
    rho, t1, t2 : Tensor
        Proton density, longitudinal and transverse relaxation time (ms).
    tr, te : float
        ms. Short TR and TE weight by :math:`T_1`, long ones by :math:`T_2`, long TR with short TE by density.
    """
    return rho * (1 - torch.exp(-tr / t1)) * torch.exp(-te / t2)


def gradient_echo(rho: Tensor, t1: Tensor, t2_star: Tensor, *, tr: float, te: float, flip: float) -> Tensor:
    r"""Return the signal of a spoiled gradient echo with flip angle ``flip`` (radians).

    .. math:: S = \rho\,\frac{\sin\alpha\,(1 - e^{-TR/T_1})}{1 - \cos\alpha\,e^{-TR/T_1}}\,e^{-TE/T_2^*}
    """
    decay = torch.exp(-tr / t1)
    return rho * math.sin(flip) * (1 - decay) / (1 - math.cos(flip) * decay) * torch.exp(-te / t2_star)


def inversion_recovery(rho: Tensor, t1: Tensor, t2: Tensor, *, tr: float, te: float, ti: float) -> Tensor:
    r"""Return the magnitude of a spin echo ``ti`` after an inversion.

    .. math:: S = \rho\,\bigl|1 - 2e^{-TI/T_1} + e^{-TR/T_1}\bigr|\,e^{-TE/T_2}

    With the :math:`TI` of :func:`null_time` for cerebrospinal fluid and a long TE this is FLAIR; with a
    shorter TI and a short TE it weights by :math:`T_1`, more strongly than :func:`spin_echo`.
    """
    return rho * (1 - 2 * torch.exp(-ti / t1) + torch.exp(-tr / t1)).abs() * torch.exp(-te / t2)


def null_time(t1: float, tr: float) -> float:
    r"""Return the inversion time (ms) at which tissue with this :math:`T_1` gives no signal.

    .. math:: TI_{null} = T_1\,\bigl[\ln 2 - \ln(1 + e^{-TR/T_1})\bigr]
    """
    return t1 * (math.log(2) - math.log1p(math.exp(-tr / t1)))


def enhanced_t1(t1: Tensor, concentration: Tensor, *, relaxivity: float) -> Tensor:
    r"""Return :math:`T_1` (ms) with ``concentration`` (mmol/l) of a contrast agent.

    .. math:: 1/T_1' = 1/T_1 + r_1 c

    ``relaxivity`` :math:`r_1` is in l / (mmol ms).
    """
    return 1 / (1 / t1 + relaxivity * concentration)


def attenuation(hu: Tensor, *, mu_water: float) -> Tensor:
    r"""Return the linear attenuation of values in Hounsfield units, :math:`\mu = \mu_w\,(1 + HU/1000)`.

    In the unit of ``mu_water``, and not below that of the vacuum, 0.
    """
    return (mu_water * (1 + hu / 1000)).clamp_min(0)


def biased(signal: Tensor, field: Tensor) -> Tensor:
    r"""Return the signal seen by a coil of uneven sensitivity, :math:`S_b = S\,e^{b(\mathbf r)}`.

    Smooth fields b come from :meth:`medgan_course.data.phantom.common.Subjects.field`.
    """
    return signal * torch.exp(field)


def rician(signal: Tensor, noise: Tensor, *, sigma: Tensor | float) -> Tensor:
    r"""Return the magnitude of a complex signal with Gaussian noise in both channels.

    .. math:: m = \sqrt{(S + \sigma n_1)^2 + (\sigma n_2)^2}

    Where there is no signal its mean is :math:`\sigma\sqrt{\pi/2}`, so air is not black.
    Where the magnitude is exactly 0 the gradient is taken to be 0.

    Parameters
    ----------
    signal : Tensor
        Any shape.
    noise : Tensor
        :math:`n_1, n_2 \sim N(0, 1)`, of the signal's shape with a first axis of 2.
    sigma : Tensor or float
        Standard deviation of the noise, in the signal's unit.
    """
    power = (signal + sigma * noise[0]) ** 2 + (sigma * noise[1]) ** 2
    nothing = power == 0  # where the root's slope is infinite
    return power.masked_fill(nothing, 1).sqrt().masked_fill(nothing, 0)


def gaussian_psf(
    images: Tensor, *, fwhm: float | Sequence[float], spacing: float | Sequence[float]
) -> Tensor:
    r"""Return images blurred by a Gaussian point spread function of full width ``fwhm`` at half maximum.

    .. math::
        \hat y_\omega = e^{-\sigma^2\omega^2/2}\,\hat x_\omega, \qquad
        \sigma = \frac{\mathrm{FWHM}}{2\sqrt{2\ln2}\,\Delta}

    along each axis, with pixels of :math:`\Delta` mm and the cosine transform :math:`\hat x` (DCT-II), that
    is with the image mirrored at its border, so its sum stays. Two blurs are exactly one whose
    :math:`\sigma^2` add up. SciPy's ``gaussian_filter`` is the same from :math:`\sigma=1` px on; a narrower
    Gaussian cannot be sampled, and what is computed here is the blur of the band-limited image, which may
    undershoot a little beside sharp edges.

    Parameters
    ----------
    images : Tensor
        Floating ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
    fwhm : float or sequence of float
        mm; one for all axes, or one for each axis of space. 0 does not blur.
    spacing : float or sequence of float
        Size of the pixels in mm, likewise.
    """
    axes = space_axes(images)
    widths, sizes = (_each(value, len(axes)) for value in (fwhm, spacing))
    if not all(0 <= width < math.inf for width in widths) or not all(0 < size < math.inf for size in sizes):
        raise CourseError(
            f"A width of {fwhm!r} mm on pixels of {spacing!r} mm is none: give positive numbers."
        )
    sigmas = (width / size / math.sqrt(8 * math.log(2)) for width, size in zip(widths, sizes, strict=True))
    return along_axes(images, map(_blur, images.shape[2:], sigmas))


def _each(value: float | Sequence[float], axes: int) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes:
        raise CourseError(f"{value!r} are {len(values)} numbers for {axes} axes: give one, or one for each.")
    return values


@lru_cache(maxsize=64)
def _blur(side: int, sigma: float) -> Tensor:
    """Return the symmetric blur of ``side`` pixels, float64: diagonal in the cosine transform's basis."""
    omega = torch.arange(side, dtype=torch.float64) * math.pi / side
    waves = torch.cos(omega[:, None] * (torch.arange(side, dtype=torch.float64) + 0.5))
    waves = waves / waves.norm(dim=1, keepdim=True)
    return (waves.T * torch.exp(-((sigma * omega) ** 2) / 2)) @ waves


FEW = 10.0
"""Mean count below which :func:`poisson` inverts the distribution exactly."""


def poisson(mean: Tensor, noise: Tensor) -> Tensor:
    r"""Return counts from Poisson's distribution, made of numbers from N(0, 1).

    .. math:: N = \min\Bigl\{k : e^{-\lambda}\sum_{j\le k}\frac{\lambda^j}{j!} \ge \Phi(z)\Bigr\}

    with mean :math:`\lambda`, noise z and the normal distribution function :math:`\Phi`. Below
    :math:`\lambda=10` that sum is computed; above, the expansion of its inverse

    .. math::
        N = \Bigl\lfloor \lambda + \sqrt\lambda\,z + \tfrac13+\tfrac{z^2}6
            - \frac{z/36+z^3/72}{\sqrt\lambda} + \frac{-8/405+7z^2/810+z^4/270}{\lambda} \Bigr\rfloor

    (Giles 2016, *Algorithm 955: approximation of the inverse Poisson cumulative distribution function*, ACM
    TOMS 42(1); the number of the equation to be confirmed), which is off by one in about 5 of 10 000 numbers
    at :math:`\lambda=10` and in 1 at :math:`\lambda=30`. The count grows with the mean and with the noise, so
    two doses with the same noise go together. No gradient passes.

    Parameters
    ----------
    mean : Tensor
        Expected counts, of any shape, at least 0.
    noise : Tensor
        :math:`z \sim N(0, 1)`, of the same shape.

    Returns
    -------
    Tensor
        Whole numbers, in the type of ``mean``.

    Raises
    ------
    CourseError
        If an expected count is negative or no number.
    """
    if mean.shape != noise.shape:
        raise CourseError(f"Counts {tuple(mean.shape)} need noise of that shape, not {tuple(noise.shape)}.")
    rate, z = mean.detach().double(), noise.double()
    if not ((rate >= 0) & rate.isfinite()).all():
        raise CourseError("Photons are counted, so their expected number must be 0 or more, and finite.")
    large, z2 = rate.clamp_min(FEW), z * z
    root = large.sqrt()
    counts = rate + root * z + 1 / 3 + z2 / 6 - z * (1 + z2 / 2) / 36 / root
    counts = (counts + ((z2 / 270 + 7 / 810) * z2 - 8 / 405) / large).floor().clamp_min(0)
    few = rate < FEW
    counts[few] = _few_counts(rate[few], z[few])
    return counts.to(mean)


def _few_counts(rate: Tensor, z: Tensor) -> Tensor:
    """Return Poisson counts by adding up the probabilities of 0, 1, 2, ..."""
    # Beyond 1 - 1e-12 (z = 7) the sum's rounding would decide.
    below = torch.special.ndtr(z).clamp_max(1 - 1e-12)
    share = torch.exp(-rate)
    reached, counts = share.clone(), torch.zeros_like(rate)
    k = 0
    while (more := reached < below).any():
        k += 1
        share *= rate / k
        reached += share
        counts += more
    return counts


def pet(
    activity: Tensor,
    noise: Tensor,
    *,
    counts: float | Tensor,
    fwhm: float | Sequence[float],
    spacing: float | Sequence[float],
) -> Tensor:
    r"""Return what positron emission tomography measures of an activity.

    .. math:: y = \frac{\mathrm{Poisson}\bigl(c\,(a * \mathrm{PSF}_{FWHM})\bigr)}c

    The noise of a pixel has variance :math:`(a * \mathrm{PSF})/c`, more where there is more. That of a
    reconstructed image is correlated besides; here every pixel counts for itself.

    Parameters
    ----------
    activity : Tensor
        :math:`a`, ``(N, C, H, W)`` or ``(N, C, D, H, W)``, at least 0, in any unit.
    noise : Tensor
        Numbers from N(0, 1), of the same shape; see :func:`poisson`.
    counts : float or Tensor
        :math:`c`, counts in a pixel of activity 1; a tensor ``(N, 1, ...)`` for a dose of each subject's own.
    fwhm : float or sequence of float
        mm: 4 to 6 for a clinical scanner. See :func:`gaussian_psf`.
    spacing : float or sequence of float
        Size of the pixels in mm.
    """
    if not (torch.as_tensor(counts) > 0).all():
        raise CourseError(f"counts={counts} shows nothing: give a positive number of counts.")
    blurred = gaussian_psf(activity, fwhm=fwhm, spacing=spacing).clamp_min(0)
    return poisson(counts * blurred, noise) / counts
