"""α, differentiable: poses to skeleton images in torch, batched on any device.

The paper draws straight lines between keypoints (section 3.4, Eq. 8); KeypointGAN (Jakab et al. 2020, section 3.2) draws a
decreasing function of the distance to the nearest bone. Both start from the distance of each pixel centre to each bone;
bones are visited one after another, so that memory is O(B·H·W) and never O(B·bones·H·W·2).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from flexpose_core.rendering.style import LINE_HALF_WIDTH, LINE_SOFTNESS
from flexpose_core.skeletons import Skeleton

_TINY = 1e-9


def draw_lines(
    poses: Tensor, skeleton: Skeleton, size: int, channels: int = 3, half_width: float = LINE_HALF_WIDTH
) -> Tensor:
    """Draw anti-aliased lines, a later bone over an earlier one.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1 over the image.
    size
        Side of the square image in pixels.
    channels
        3: each bone in its own colour; 1: all bones white.
    half_width
        Half the width of a line, as a fraction of the image's side.

    Returns
    -------
    (B, channels, size, size) in -1..1, background -1. Gradients flow to `poses` through the edges of the lines.
    """
    colours = constant(skeleton, "bone_colours", poses.device).to(poses.dtype)
    if channels == 1:
        colours = colours.new_ones(len(colours), 1)
    x, y = pixel_centres(poses, size)
    image = poses.new_zeros(len(poses), channels, size, size)
    for bone, colour in zip(bones_of(poses, skeleton), colours, strict=True):
        distance = squared_distance(x, y, *bone).add(_TINY).sqrt()
        coverage = ((half_width - distance) * (size / LINE_SOFTNESS) + 0.5).clamp(0, 1)[:, None]
        image = image + coverage * (colour.view(1, -1, 1, 1) - image)
    return image * 2 - 1


def draw_distances(poses: Tensor, skeleton: Skeleton, size: int, decay: float) -> Tensor:
    """Draw exp(-d / decay), d the distance to the nearest bone (Jakab et al. 2020, section 3.2).

    The nearest bone of each pixel is found without a graph; the distance to that bone alone is then differentiated, which
    equals the gradient of the minimum wherever it is unique and saves the graph of the other bones.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1 over the image.
    decay
        Distance at which the brightness falls to 1/e, as a fraction of the image's side.

    Returns
    -------
    (B, 1, size, size) in -1..1.
    """
    x, y = pixel_centres(poses, size)
    differentiated = poses.requires_grad and torch.is_grad_enabled()
    with torch.no_grad():
        squared = poses.new_full((len(poses), size, size), torch.inf)
        nearest = torch.zeros(len(poses), size, size, dtype=torch.long, device=poses.device)
        for place, bone in enumerate(bones_of(poses, skeleton)):
            to_bone = squared_distance(x, y, *bone)
            if differentiated:
                nearest.masked_fill_(to_bone < squared, place)
            squared = torch.minimum(squared, to_bone)
    if differentiated:
        ends = constant(skeleton, "bone_ends", poses.device)
        batch = torch.arange(len(poses), device=poses.device)[:, None]
        # A bone's two ends beside each other: one gather instead of four.
        bones = torch.cat([poses[:, ends[:, 0]], poses[:, ends[:, 1]]], dim=2)
        ax, ay, bx, by = bones[batch, nearest.flatten(1)].view(len(poses), size, size, 4).unbind(-1)
        dx, dy = bx - ax, by - ay
        squared = squared_distance(x, y, ax, ay, dx, dy, _squared_length(dx, dy))
    return (torch.exp(-(squared + _TINY).sqrt() / decay) * 2 - 1)[:, None]


@lru_cache(maxsize=64)
def constant(
    skeleton: Skeleton,
    name: Literal["bone_ends", "bone_colours", "flip_permutation", "tree_ends"],
    device: torch.device,
) -> Tensor:
    """Return an array of a skeleton on a device, sent there once: each step asks for some, and a GPU would wait for each."""
    # Whoever asks first: what inference mode makes cannot be saved for a gradient.
    with torch.inference_mode(False):
        return torch.as_tensor(getattr(skeleton, name), device=device)


def pixel_centres(poses: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return x (1, 1, size) and y (1, size, 1) of the pixels' centres, in 0..1 over the image, like the poses' numbers."""
    grid = (torch.arange(size, dtype=poses.dtype, device=poses.device) + 0.5) / size
    return grid.view(1, 1, size), grid.view(1, size, 1)


def bones_of(poses: Tensor, skeleton: Skeleton) -> Iterator[tuple[Tensor, ...]]:
    """Yield of each bone what `squared_distance` asks for beside x and y, each (B, 1, 1)."""
    return segments(poses, constant(skeleton, "bone_ends", poses.device))


def segments(poses: Tensor, ends: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield what `bones_of` does of lines between joints, (n, 2) places of these; computed for all of them at once."""
    start = poses[:, ends[:, 0]]
    ax, ay = start.unbind(2)
    dx, dy = (poses[:, ends[:, 1]] - start).unbind(2)
    of_bones = (one.T[:, :, None, None].unbind(0) for one in (ax, ay, dx, dy, _squared_length(dx, dy)))
    return zip(*of_bones, strict=True)


def _squared_length(dx: Tensor, dy: Tensor) -> Tensor:
    return dx * dx + dy * dy + _TINY


def squared_distance(
    x: Tensor, y: Tensor, ax: Tensor, ay: Tensor, dx: Tensor, dy: Tensor, squared_length: Tensor
) -> Tensor:
    """Return the squared distance (B, H, W) of the pixel centres to segments that begin at a and go on by d."""
    px, py = x - ax, y - ay
    along = ((px * dx + py * dy) / squared_length).clamp(0, 1)
    # Direct distances: the expanded |m|² - |s|² form cancels near the line.
    return (px - along * dx) ** 2 + (py - along * dy) ** 2
