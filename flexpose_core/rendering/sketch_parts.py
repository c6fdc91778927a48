"""What sketches are made of: random paint and light, and outlines around joints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flexpose_core.devices import sent
from flexpose_core.rendering.differentiable import pixel_centres
from flexpose_core.streams import StepRandom

_DIRECTIONS = 16
_SHARPNESS = 1.5  # of a hull's outline: pixels⁻¹


@dataclass(frozen=True)
class Draws:
    """Random numbers for each of `count` sketches of a side of `size` pixels, drawn on the CPU whatever the device."""

    random: StepRandom
    count: int
    size: int
    device: torch.device

    def normal(self, *shape: int) -> Tensor:
        return sent(self.random.normal(self.count, *shape), self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return sent(low + (high - low) * self.random.uniform(self.count, *shape), self.device)

    def paint(self, brightness: float, colour: float) -> Tensor:
        """Return (B, 3, 1, 1), how much brighter or darker than grey each channel is.

        Both are standard deviations, in units of images in -1..1: of all channels together, and of each besides.
        """
        return brightness * self.normal(1, 1, 1) + colour * self.normal(3, 1, 1)

    def light(self, along: Tensor, strength: float) -> Tensor:
        """Return how much brighter it is here than in the middle, (B, 3, 1, S) or (B, 3, S, 1), along x or y of `pixel_centres`."""
        return self.paint(strength, 0) * (along[:, None] - 0.5)

    def clouds(self, cells: int, strength: float) -> Tensor:
        """Return (B, 1, S, S), what is brighter here and darker there for no reason, in so many cells along a side."""
        clouds = strength * self.normal(1, cells, cells)
        return F.interpolate(clouds, size=(self.size, self.size), mode="bicubic", align_corners=False)

    def bulges(self, greatest: tuple[float, ...]) -> Tensor:
        """Return (B, directions), waves around a hull: one of at most the first amplitude, two of the second, and so on."""
        angles = _directions(self.device)
        waves = torch.zeros(self.count, _DIRECTIONS, device=self.device)
        for number, most in enumerate(greatest, 1):
            amplitude, phase = self.uniform(0, most, 1), self.uniform(0, 2 * math.pi, 1)
            waves = waves + amplitude * torch.cos(number * angles - phase)
        return waves


def _directions(device: torch.device) -> Tensor:
    return torch.arange(_DIRECTIONS, device=device) * (2 * math.pi / _DIRECTIONS)


def hull(poses: Tensor, size: int, margin: Tensor) -> Tensor:
    """Return the soft inside, (B, 1, size, size) in 0..1, of the joints' convex hull, each side moved outwards by the margin.

    The hull is that of the half planes in so many directions which hold all joints.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1 over the image.
    margin
        (B, 1), or (B, directions) as `Draws.bulges` has them, in fractions of the side.
    """
    angles = _directions(poses.device)
    normals = torch.stack([angles.cos(), angles.sin()])
    bounds = (poses @ normals).amax(1) + margin
    x, y = pixel_centres(poses, size)
    inside = [
        bound[:, None, None] - (x * nx + y * ny) for bound, (nx, ny) in zip(bounds.unbind(1), normals.T, strict=True)
    ]
    return torch.sigmoid(torch.stack(inside).amin(0) * (size * _SHARPNESS))[:, None]
