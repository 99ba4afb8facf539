r"""Computed tomography: projections, filtered back-projection, and what few photons or few views do to it.

The scanner measures line integrals of the attenuation :math:`\mu` along parallel rays (Radon transform),

.. math:: p(\theta, s) = \int \mu(s\cos\theta - t\sin\theta,\; s\sin\theta + t\cos\theta)\,dt,

x to the right and y upwards from the middle of the image, at V angles :math:`\theta_v = \pi v/V` over half a
turn, and detectors as far apart as the pixels are wide. :func:`fbp` turns them into an image again.

scikit-image's ``radon`` and ``iradon`` do the same for one NumPy image at a time and serve as the reference
(for images with an odd number of pixels: for an even number they turn about a pixel, here it is about the
middle of the image). These are differentiable, work on batches, and run where the images are.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from medgan_course.data.signal import attenuation, poisson
from medgan_course.errors import CourseError

MU_WATER = 0.02059
"""Attenuation of water at 60 keV, per mm (Hubbell and Seltzer, NIST Standard Reference Database 126)."""


def detectors(side: int) -> int:
    """Return how many detectors see all of an image ``side`` pixels wide, corners included.

    As many more than ``side`` as are needed, an even number, so that the middle stays the middle.
    """
    return side + 2 * math.ceil((math.sqrt(2) - 1) * side / 2)


def radon(images: Tensor, views: int, *, spacing: float = 1.0) -> Tensor:
    r"""Return the line integrals of images, their sinogram.

    The image is turned (bilinear interpolation) and its columns are added up. Outside of it there is 0.

    Parameters
    ----------
    images : Tensor
        ``(N, C, side, side)``, 0 standing for nothing: attenuation, not Hounsfield units. The
        slices of a volume go in as images.
    views : int
        V, the number of angles.
    spacing : float
        Size of a pixel in mm; the integrals are in the images' unit times mm.

    Returns
    -------
    Tensor
        ``(N, C, views, detectors(side))``; the detectors are in the order of s.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise CourseError(f"Only square images (N, C, side, side) are projected, not {tuple(images.shape)}.")
    if views < 1:
        raise CourseError(f"views={views} angles show nothing: choose 1 or more.")
    side = images.shape[-1]
    wide = detectors(side)
    columns = []
    for angle in _angles(views):
        # grid_sample has y downwards; the grid is wide / side times the image.
        cos, sin = math.cos(angle) * wide / side, math.sin(angle) * wide / side
        turn = images.new_tensor([[[cos, sin, 0], [-sin, cos, 0]]])
        grid = affine_grid(turn, [1, 1, wide, wide], align_corners=False).expand(len(images), -1, -1, -1)
        columns.append(grid_sample(images, grid, align_corners=False).sum(dim=2))
    return torch.stack(columns, dim=2) * spacing


def _angles(views: int) -> list[float]:
    return [math.pi * view / views for view in range(views)]


def fbp(sinogram: Tensor, side: int, *, spacing: float = 1.0, hann: bool = False) -> Tensor:
    r"""Return the images of a sinogram by filtered back-projection.

    .. math::
        \mu(x, y) = \frac\pi V\sum_{v=0}^{V-1} q_v(x\cos\theta_v + y\sin\theta_v), \qquad
        q_v = p_v * h, \qquad
        h_n = \frac1\Delta\begin{cases} 1/4 & n=0\\ 0 & n\text{ even}\\ -1/(\pi n)^2 & n\text{ odd}\end{cases}

    with detectors :math:`\Delta` mm apart and linear interpolation between them (Kak and Slaney 1988,
    *Principles of Computerized Tomographic Imaging*, section 3.3.3, eq. 61). The filter h is the ramp
    :math:`|\nu|` up to the Nyquist frequency; sampled this way, and not in Fourier space, it keeps the mean.

    Parameters
    ----------
    sinogram : Tensor
        ``(N, C, views, detectors)``, angles evenly over half a turn as from :func:`radon`; every k-th view of
        one (``sinogram[:, :, ::k]``, k a divisor) is a sparse one.
    side : int
        Pixels a side of the images.
    spacing : float
        mm, of pixels and detectors.
    hann : bool
        Multiply the ramp by Hann's window :math:`(1+\cos(\pi\nu/\nu_{max}))/2`: less noise, less sharp.

    Returns
    -------
    Tensor
        ``(N, C, side, side)``.
    """
    if sinogram.ndim != 4 or sinogram.shape[-1] < side or (sinogram.shape[-1] - side) % 2:
        raise CourseError(
            f"A sinogram of side={side} is (N, C, views, {detectors(side)}), as detectors(side) says, "
            f"not {tuple(sinogram.shape)}."
        )
    *_, views, wide = sinogram.shape
    padded = 2 ** math.ceil(math.log2(2 * wide))
    n = torch.fft.fftfreq(padded, 1 / padded, dtype=sinogram.dtype, device=sinogram.device)
    ramp = torch.where(n % 2 == 1, -1 / (math.pi * n.masked_fill(n == 0, 1)) ** 2, 0.0)
    ramp[0] = 1 / 4
    response = torch.fft.rfft(ramp).real / spacing
    if hann:
        response = response * (1 + torch.cos(math.pi * torch.linspace(0, 1, len(response)).to(response))) / 2
    filtered = torch.fft.irfft(torch.fft.rfft(sinogram, padded) * response, padded)[..., :wide]

    centres = torch.arange(side, dtype=sinogram.dtype, device=sinogram.device) - (side - 1) / 2
    images = sinogram.new_zeros(*sinogram.shape[:2], side * side)
    for view, angle in enumerate(_angles(views)):
        s = (centres * math.cos(angle) - centres[:, None] * math.sin(angle)).flatten() + (wide - 1) / 2
        left = s.floor()
        share, index = s - left, left.long()
        own = filtered[:, :, view]
        inside = (index >= 0) & (index < wide - 1)
        index = index.clamp(0, wide - 2)
        line = own[..., index] * (1 - share) + own[..., index + 1] * share
        images = images + line * inside
    return images.unflatten(-1, (side, side)) * (math.pi / views)


def low_dose(
    hu: Tensor,
    noise: Tensor,
    *,
    photons: float,
    spacing: float | Tensor,
    electronic: float = 5.0,
    hann: bool = False,
) -> Tensor:
    r"""Return CT images, in Hounsfield units, as a scan with few photons would show them.

    .. math::
        N_i = \mathrm{Poisson}\bigl(I_0e^{-p_i}\bigr) + \sigma_e n_i, \qquad
        \hat p_i = -\ln\frac{\max(N_i, 1)}{I_0}, \qquad
        HU' = HU + \frac{1000}{\mu_w}\,\mathrm{FBP}(\hat p - p)

    for the line integrals p of :func:`radon`, with a 60 keV beam. Noise grows where rays pass through much
    bone, as streaks. The image given is taken for the truth: because :func:`fbp` is linear, the error of the
    measurement can be reconstructed alone and added, so the truth keeps its own noise and its sharpness, and
    few views alone leave no streaks. Gradients do not pass counted photons (:func:`~.signal.poisson`).

    Parameters
    ----------
    hu : Tensor
        ``(N, C, side, side)`` in Hounsfield units.
    noise : Tensor
        ``(2, N, C, views, detectors(side))`` from N(0, 1): for the photons (:func:`~.signal.poisson`) and for
        the electronics. Its shape says how many views are taken. Zeros give the median counts, whose image is
        nearly the truth.
    photons : float
        :math:`I_0`, above 0: photons that a detector, as wide as a pixel, counts in a view without a patient.
        In 30 cm of water, with 360 views of 2.8 mm and ``hann``, the noise is 15 HU for 1e5, a full dose (40
        HU without ``hann``). It goes as :math:`1/(\Delta\sqrt{I_0V})` for pixels of :math:`\Delta` mm and V
        views, so smaller pixels need more photons for the same noise.
    spacing : float or Tensor
        Size of a pixel in mm, above 0; also one for each image, ``(N,)``, or two that are equal, ``(N, 2)``,
        as the ``spacing`` of a :class:`~medgan_course.data.Dataset` has them.
    electronic : float
        :math:`\sigma_e`, in photons, at least 0.
    hann : bool
        See :func:`fbp`.
    """
    if not 0 < photons < math.inf or not 0 <= electronic < math.inf:
        raise CourseError(
            f"photons={photons!r} and electronic={electronic!r} measure nothing: give photons above 0, and "
            "0 or more for the electronics."
        )
    if noise.ndim != 5:
        raise CourseError(f"The noise is (2, N, C, views, detectors(side)), not {tuple(noise.shape)}.")
    side, views, mm = hu.shape[-1], noise.shape[-2], _pixel_sizes(spacing, hu)
    sinogram = radon(attenuation(hu, mu_water=MU_WATER), views) * mm
    if noise.shape != (2, *sinogram.shape):
        raise CourseError(
            f"The noise is (2, N, C, views, detectors(side)), here {(2, *sinogram.shape)}, "
            f"not {tuple(noise.shape)}."
        )
    counted = poisson(photons * torch.exp(-sinogram), noise[0]) + electronic * noise[1]
    measured = -torch.log(counted.clamp_min(1) / photons)
    return hu + 1000 / MU_WATER * fbp(measured - sinogram, side, hann=hann) / mm


def _pixel_sizes(spacing: float | Tensor, images: Tensor) -> Tensor:
    """Return the pixel size of each image, ``(N, 1, 1, 1)`` or ``(1, 1, 1, 1)``."""
    sizes = torch.as_tensor(spacing, dtype=images.dtype, device=images.device)
    if sizes.ndim == 2 and (sizes == sizes[:, :1]).all():
        sizes = sizes[:, 0]
    if (
        sizes.ndim > 1
        or (sizes.ndim and len(sizes) != len(images))
        or not ((sizes > 0) & sizes.isfinite()).all()
    ):
        raise CourseError(
            f"spacing={spacing!r} is no size of square pixels in mm: give one above 0, or one for each of "
            f"the {len(images)} images."
        )
    return sizes.reshape(-1, 1, 1, 1)
