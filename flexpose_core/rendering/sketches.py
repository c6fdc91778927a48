"""Sketches: poses as subjects in random colours and light before given scenes, labelled images that cost nothing.

They look like no image that there is, but for where things are: the subject surrounds its joints, and something may be seen
along the bones. Who finds poses in all sketches looks for what stands out along a line, whatever it looks like (domain
randomisation; Tobin et al. 2017, https://arxiv.org/abs/1703.06907).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flexpose_core.rendering.differentiable import bones_of, pixel_centres, squared_distance
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom

# Standard deviations of brightness and of each colour channel besides, in units of images in -1..1.
_OUTSIDE, _INSIDE, _PARTS, _LIGHT = (0.35, 0.1), (0.3, 0.1), (0.35, 0.15), (0.2, 0.0)
"""Of the subject outside its joints' hull; and, added to what is there, inside it, along bones, and from one side to the other."""
_CLOUDS = ((4, 0.12), (10, 0.12))
"""Cells along a side, and standard deviation, of what is brighter here and darker there for no reason."""
_NOISE = 0.04
_THICKNESS = (0.012, 0.042)
"""Standard deviation of a part's cross-section, as fractions of the side, from the least to the greatest."""
_MARGIN = (0.08, 0.14)
"""How far the subject reaches beyond its joints, in fractions of the side, before it bulges."""
_BULGES = (0.12, 0.08, 0.05)
"""The greatest amplitudes of one, two and three bulges on the way around."""
_DIRECTIONS = 16
_SHARPNESS = 1.5  # of an outline: pixels⁻¹


def draw_sketches(poses: Tensor, skeleton: Skeleton, scenes: Tensor, random: StepRandom) -> Tensor:
    """Return images (B, 3, S, S) in -1..1.

    The subject fills the convex hull of its joints and some more around; what is within the hull may be of another colour than
    what is outside. Bones of one colour of the skeleton are a part, drawn with one thickness, brighter or darker than what is
    below. Light changes across the subject.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1 over the image.
    scenes
        (B, 3, S, S) in -1..1, what is behind.
    """
    draws = _Draws(random, len(poses), poses.device)
    size = scenes.shape[-1]
    x, y = pixel_centres(poses, size)
    outside = draws.paint(*_OUTSIDE)
    inside = outside + draws.paint(*_INSIDE)
    subject = outside + _hull(poses, size, 0.02 * draws.normal(1)) * (inside - outside)
    distances = [squared_distance(x, y, *bone) for bone in bones_of(poses, skeleton)]
    for part in parts_of(skeleton):
        nearest = torch.stack([distances[bone] for bone in part]).amin(0)
        thickness = draws.uniform(*_THICKNESS, 1, 1)
        cover = torch.exp(nearest / (-2 * thickness.square()))[:, None]
        subject = subject + cover * draws.paint(*_PARTS)
    for along in (x, y):
        subject = subject + draws.paint(*_LIGHT) * (along[:, None] - 0.5)
    for cells, strength in _CLOUDS:
        clouds = strength * draws.normal(1, cells, cells)
        subject = subject + F.interpolate(clouds, size=(size, size), mode="bicubic", align_corners=False)
    subject = subject + _NOISE * draws.normal(3, size, size)
    outline = _hull(poses, size, draws.uniform(*_MARGIN, 1) + _bulges(draws))
    return (scenes + outline * (subject - scenes)).clamp(-1, 1)


def parts_of(skeleton: Skeleton) -> list[list[int]]:
    """Return the places of the bones of each part: those of one colour."""
    parts: dict[tuple[float, float, float], list[int]] = {}
    for place, bone in enumerate(skeleton.bones):
        parts.setdefault(bone.colour, []).append(place)
    return list(parts.values())


@dataclass(frozen=True)
class _Draws:
    """Random numbers for each of `count` sketches, drawn on the CPU whatever the device."""

    random: StepRandom
    count: int
    device: torch.device

    def normal(self, *shape: int) -> Tensor:
        return self.random.normal(self.count, *shape).to(self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * self.random.uniform(self.count, *shape)).to(self.device)

    def paint(self, brightness: float, colour: float) -> Tensor:
        """Return (B, 3, 1, 1), how much brighter or darker than grey each channel is."""
        return brightness * self.normal(1, 1, 1) + colour * self.normal(3, 1, 1)


def _directions(device: torch.device) -> Tensor:
    return torch.arange(_DIRECTIONS, device=device) * (2 * math.pi / _DIRECTIONS)


def _bulges(draws: _Draws) -> Tensor:
    """Return by how much the margin differs in each direction, (B, directions); at most by what leaves the joints inside."""
    angles = _directions(draws.device)
    margin = torch.zeros(draws.count, _DIRECTIONS, device=draws.device)
    for number, greatest in enumerate(_BULGES, 1):
        amplitude, phase = draws.uniform(0, greatest, 1), draws.uniform(0, 2 * math.pi, 1)
        margin = margin + amplitude * torch.cos(number * angles - phase)
    return margin.clamp(min=-_MARGIN[0])


def _hull(poses: Tensor, size: int, margin: Tensor) -> Tensor:
    """Return the soft inside, (B, 1, size, size) in 0..1, of the joints' convex hull, each side moved outwards by the margin.

    The hull is that of the half planes in so many directions which hold all joints.
    """
    angles = _directions(poses.device)
    normals = torch.stack([angles.cos(), angles.sin()])
    bounds = (poses @ normals).amax(1) + margin
    x, y = pixel_centres(poses, size)
    inside = [
        bound[:, None, None] - (x * nx + y * ny) for bound, (nx, ny) in zip(bounds.unbind(1), normals.T, strict=True)
    ]
    return torch.sigmoid(torch.stack(inside).amin(0) * (size * _SHARPNESS))[:, None]
