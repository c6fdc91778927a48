"""CycleGAN's networks (Zhu et al. 2017, section 4 and appendix 7.2), compact, between skeleton images and images of people.

G paints a person in the pose of a skeleton, H (the paper's F) tells the skeleton of a person, and a discriminator each judges
patches. The background is known, as for the detector: G paints over it with an alpha channel, H sees what differs from it, and
so backgrounds need not be hidden in skeletons to come back. Images are in -1..1 and square.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from flexpose_core.options.cycle_gan import CycleGanArchitecture, Widths

_RGB = 3
_SLOPE = 0.2
_DEVIATION = 0.02
# Padding repeats what is inside, so that the border of a picture is no edge.
_PADDING: Final = "reflect"


def _normalised(layer: nn.Module, channels: int) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, _DEVIATION)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _ResidualBlock(nn.Module):
    """x + two 3 × 3 convolutions of x (R_k)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=_PADDING)
        second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=_PADDING)
        self.layers = nn.Sequential(*_normalised(first, channels), second, nn.InstanceNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResidualTranslator(nn.Module):
    """c7s1, halvings d_k, residual blocks R_k, doublings u_k, c7s1: (B, inputs, S, S) to (B, outputs, S, S), unbounded."""

    def __init__(self, inputs: int, outputs: int, widths: Widths, blocks: int) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, widths[0], 7, padding=3, padding_mode=_PADDING)
        layers = _normalised(first, widths[0])
        for fine, coarse in pairwise(widths):
            layers += _normalised(nn.Conv2d(fine, coarse, 3, 2, 1), coarse)
        layers += [_ResidualBlock(widths[-1]) for _ in range(blocks)]
        for coarse, fine in pairwise(reversed(widths)):
            layers += _normalised(nn.ConvTranspose2d(coarse, fine, 3, 2, 1, output_padding=1), fine)
        layers.append(nn.Conv2d(widths[0], outputs, 7, padding=3, padding_mode=_PADDING))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).float()


class SkeletonToPerson(nn.Module):
    """G: skeleton images (B, 1, S, S) and backgrounds (B, 3, S, S) to images (B, 3, S, S) of people before these."""

    def __init__(self, architecture: CycleGanArchitecture) -> None:
        super().__init__()
        self.net = ResidualTranslator(1 + _RGB, _RGB + 1, architecture.widths, architecture.blocks)

    def forward(self, skeletons: Tensor, backgrounds: Tensor) -> Tensor:
        painted = self.net(torch.cat([skeletons, backgrounds], 1))
        # So as to begin with the background showing through.
        colour, alpha = torch.tanh(painted[:, :_RGB]), torch.sigmoid(painted[:, _RGB:] - 1)
        return backgrounds + alpha * (colour - backgrounds)


class PersonToSkeleton(nn.Module):
    """H: images and backgrounds (B, 3, S, S) to skeleton images (B, 1, S, S)."""

    def __init__(self, architecture: CycleGanArchitecture) -> None:
        super().__init__()
        self.net = ResidualTranslator(_RGB, 1, architecture.widths, architecture.blocks)

    def forward(self, images: Tensor, backgrounds: Tensor) -> Tensor:
        return torch.tanh(self.net(images - backgrounds) - 1)  # so as to begin nearly blank


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of (B, channels, S, S); returns (B, 1, s, s)."""

    def __init__(self, channels: int, widths: Widths) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(pairwise([channels, *widths])):
            layers.append(nn.Conv2d(inputs, outputs, 4, 1 if place == len(widths) - 1 else 2, 1))
            layers += [nn.InstanceNorm2d(outputs)] if place else []
            layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).float()
