"""Thin things drawn fast: vessels, hairs, fibres, as segments that each touch only the pixels around them.

A tree of thousands of segments on a grid of ten thousands of pixels would be some 10^8 distances a subject;
only those in a small window around each segment are computed, and the largest is kept.
"""

import math

import torch
from torch import Tensor


def strokes(start: Tensor, end: Tensor, radius: Tensor, *, side: int, fov: float) -> Tensor:
    r"""Return how much of every pixel is covered by the widest-covering of some segments.

    A pixel of width :math:`h` at distance :math:`d` from the line of a segment of half width :math:`r` is
    covered by

    .. math::
        c = \frac1h\max\bigl(0,\ \min(r, d + \tfrac h2) - \max(-r, d - \tfrac h2)\bigr),

    the overlap of two intervals: exact for a long segment along an axis, and never more than
    :math:`2r/h`, so that what is thinner than a pixel fades rather than breaks up. Ends are round.

    Parameters
    ----------
    start, end : Tensor
        ``(n, s, 2)``: x and y in mm of the ends of ``s`` segments of each subject, 0 in the middle.
    radius : Tensor
        ``(n, s)``: half width in mm; 0 for none.
    side, fov : int, float
        Pixels and mm a side of the image.

    Returns
    -------
    Tensor
        float32 ``(n, side, side)`` in [0, 1].
    """
    n = len(start)
    pixel = fov / side
    owner, which = (radius > 0).nonzero(as_tuple=True)
    start, along, radius = start[owner, which], (end - start)[owner, which], radius[owner, which]
    # Pieces of about three pixels keep the windows small. How many a segment has is its own matter, so that
    # no subject's picture depends, not even by rounding, on how long the segments of the others are.
    pieces = (along.norm(dim=-1) / (3 * pixel)).ceil().clamp_min(1).long()
    along = along / pieces[:, None]
    first = pieces.cumsum(0) - pieces
    each = torch.arange(len(pieces), device=start.device).repeat_interleave(pieces)
    step = torch.arange(len(each), device=start.device) - first[each]
    owner, along, radius = owner[each], along[each], radius[each]
    start = start[each] + step[:, None] * along
    middle = ((start + along / 2) / pixel + side / 2).floor()
    near = (middle > -8).all(-1) & (middle < side + 8).all(-1)
    if not near.any():
        return start.new_zeros(n, side, side)
    owner, start, along, radius, middle = (one[near] for one in (owner, start, along, radius, middle))
    reach = math.ceil(float((along.norm(dim=-1) / 2 + radius).amax()) / pixel + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=start.device, dtype=start.dtype)
    column = middle[:, 0, None, None] + offsets
    row = middle[:, 1, None, None] + offsets[:, None]
    x = (column + 0.5 - side / 2) * pixel - start[:, 0, None, None]
    y = (row + 0.5 - side / 2) * pixel - start[:, 1, None, None]
    ax, ay = along[:, 0, None, None], along[:, 1, None, None]
    t = ((x * ax + y * ay) / (ax**2 + ay**2).clamp_min(1e-12)).clamp_(0, 1)
    distance = ((x - t * ax).square_() + (y - t * ay).square_()).sqrt_()
    half = radius[:, None, None]
    cover = torch.minimum(half, distance + pixel / 2) + torch.minimum(half, pixel / 2 - distance)
    cover = cover.clamp_min_(0).div_(pixel)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side) & (cover > 0)
    cell = (owner[:, None, None] * side + row.long()) * side + column.long()
    image = start.new_zeros(n * side * side)
    return image.scatter_reduce_(0, cell[inside], cover[inside], "amax").view(n, side, side)
