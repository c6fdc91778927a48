"""The image discriminator of the adversarial training (after Karras et al. 2020: residual, with minibatch standard deviation)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_COARSEST = 4
_GROUP = 8
_SLOPE = 0.2
_TINY = 1e-6


def minibatch_deviation(x: Tensor, group: int = _GROUP) -> Tensor:
    """Append one channel: the mean standard deviation over groups of images (Karras et al. 2018, section 3).

    Parameters
    ----------
    x
        (B, C, H, W); B is one group if `group` does not divide it.
    """
    count = len(x)
    group = group if count % group == 0 else count
    deviation = x.float().reshape(count // group, group, -1).var(1, unbiased=False).add(_TINY).sqrt().mean(1)
    plane = deviation.repeat_interleave(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, plane.to(x.dtype)], dim=1)


class _ResidualBlock(nn.Module):
    """Halve the side: (average pool of a 3 × 3 convolution + 1 × 1 skip) / √2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        main = F.avg_pool2d(F.leaky_relu(self.convolution(x), _SLOPE), 2)
        return (main + self.skip(F.avg_pool2d(x, 2))) / math.sqrt(2)


class ImageDiscriminator(nn.Module):
    """Judge skeleton images (B, channels, S, S) in -1..1; returns logits (B,).

    Parameters
    ----------
    channels
        Of the image.
    resolution
        Side of the image in pixels, a power of two above 4.
    width
        Channels of the first level; later ones have 3/2 as many.
    """

    def __init__(self, channels: int, resolution: int, width: int = 40) -> None:
        super().__init__()
        # Space to depth, so that no convolution runs at full resolution.
        wide = width * 3 // 2
        self.stem = nn.Conv2d(channels * 4, width, 3, padding=1)
        blocks = int(math.log2(resolution // 2 // _COARSEST))
        self.blocks = nn.ModuleList(_ResidualBlock(a, b) for a, b in pairwise([width, *[wide] * blocks]))
        last = wide if blocks else width
        self.final = nn.Conv2d(last + 1, wide, 3, padding=1)
        self.hidden = nn.Linear(wide * _COARSEST**2, wide)
        self.logit = nn.Linear(wide, 1)

    @property
    def lower_layers(self) -> list[nn.Module]:
        """All layers but those that see the whole image at once, from the input on."""
        return [self.stem, *self.blocks, self.final]

    def forward(self, images: Tensor) -> Tensor:
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(images, 2)), _SLOPE)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.final(minibatch_deviation(x)), _SLOPE)
        return self.logit(F.leaky_relu(self.hidden(x.flatten(1)), _SLOPE)).squeeze(1).float()
