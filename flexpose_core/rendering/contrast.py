"""Pictures of what stands before a known background, with features that stand out in any light and on any skin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of images in -1..1: as far from its background a pixel is 40 % of the subject.
_SILHOUETTE_CONTRAST = 0.15
# Standard deviation of the neighbourhood, as a fraction of the image's side: about half an eye of a face that fills the image.
_NEIGHBOURHOOD = 1 / 8
_GAIN = 0.45  # standard deviations become this
GROUND = -0.4
"""What surrounds the subject: no farther from its mean than its features are, or its outline would be all that is learnt."""
_LEAST_SPREAD = 0.06  # flat surfaces are not made to look rough
_FAINT = 1e-3


def silhouette(difference: Tensor) -> Tensor:
    """Return how much of each pixel is subject, (B, 1, S, S) in 0..1, of images minus their backgrounds (B, 3, S, S)."""
    return 1 - torch.exp(difference.square().sum(1, keepdim=True) / (-2 * _SILHOUETTE_CONTRAST**2))


def local_contrast(images: Tensor, backgrounds: Tensor) -> Tensor:
    """Return the subject alone on grey, each pixel against the mean and spread of the subject around it.

    x' = s clamp(g (x - m) / (d + e)) + (1 - s) GROUND, where s is a soft silhouette, and m, one a channel, and d, one for all,
    are the mean and standard deviation of x, weighted with s, in a Gaussian neighbourhood (local contrast normalisation, as in
    Jarrett et al. 2009, section 3).

    Parameters
    ----------
    images, backgrounds
        (B, 3, S, S) in -1..1.

    Returns
    -------
    (B, 3, S, S) in -1..1; where an image is its background, `GROUND`.
    """
    # Closed: single pixels that happen to be as the background is are of the subject as well.
    subject = -F.max_pool2d(-F.max_pool2d(silhouette(images - backgrounds), 3, 1, 1), 3, 1, 1)
    weight = _blurred(subject) + _FAINT
    off = images - _blurred(subject * images) / weight
    spread = (_blurred(subject * off.square().mean(1, keepdim=True)) / weight).sqrt()
    return subject * ((_GAIN * off / (spread + _LEAST_SPREAD)).clamp(-1, 1) - GROUND) + GROUND


def _blurred(images: Tensor) -> Tensor:
    """Return images (B, C, S, S) under a Gaussian; beyond the border they are taken to be mirrored."""
    side = images.shape[-1]
    sigma = _NEIGHBOURHOOD * side
    reach = min(round(3 * sigma), side - 1)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = images.reshape(-1, 1, side, side)
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), "reflect"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), "reflect"), kernel.view(1, 1, -1, 1))
    return flat.view(images.shape)
