"""α, drawn: poses to skeleton images with OpenCV, on the CPU, without gradients.

The same lines as `flexpose_core.rendering.differentiable.draw_lines`, faster: for pictures and for large sets.
"""

from __future__ import annotations

import cv2
import numpy as np

from flexpose_core.rendering.style import LINE_HALF_WIDTH
from flexpose_core.skeletons import Skeleton

_FRACTION_BITS = 6
_CAP_CORNERS = 4
# OpenCV's anti-aliasing widens a polygon; by how much in pixels was measured against `differentiable.draw_lines`.
_WIDENING = 0.65


def draw_lines(
    poses: np.ndarray, skeleton: Skeleton, size: int, channels: int = 3, half_width: float = LINE_HALF_WIDTH
) -> np.ndarray:
    """Draw anti-aliased lines, a later bone over an earlier one.

    Parameters
    ----------
    poses
        (N, K, 2) in 0..1 over the image.
    size
        Side of the square image in pixels.
    channels
        3: each bone in its own colour; 1: all bones white.
    half_width
        Half the width of a line, as a fraction of the image's side.

    Returns
    -------
    (N, size, size, channels) uint8, background 0.
    """
    images = np.zeros((len(poses), size, size, channels), np.uint8)
    white = np.full((len(skeleton.bones), 1), 255)
    palette = np.round(skeleton.bone_colours * 255).astype(int) if channels == 3 else white
    colours = [tuple(colour) for colour in palette.tolist()]
    # A vectorised outline of every bone of every pose first: the loop below then only fills.
    outlines = bone_outlines(np.asarray(poses, np.float32), skeleton, size, half_width)
    for image, bones in zip(images, outlines, strict=True):
        for outline, colour in zip(bones, colours, strict=True):
            cv2.fillConvexPoly(image, outline, colour, cv2.LINE_AA, _FRACTION_BITS)
    return images


def bone_outlines(poses: np.ndarray, skeleton: Skeleton, size: int, half_width: float) -> np.ndarray:
    """Return the round-capped outline of each bone, (N, B, 2·corners, 2) int32 in 1/64 pixel, pixel centres at integers."""
    ends = poses[:, skeleton.bone_ends] * size - 0.5
    start, end = ends[:, :, 0], ends[:, :, 1]
    angle = np.arctan2(end[..., 1] - start[..., 1], end[..., 0] - start[..., 0])
    radius = half_width * size - _WIDENING
    turn = np.linspace(-np.pi / 2, np.pi / 2, _CAP_CORNERS)
    cap = angle[..., None] + turn
    cap_end = end[..., None, :] + radius * np.stack([np.cos(cap), np.sin(cap)], -1)
    cap_start = start[..., None, :] - radius * np.stack([np.cos(cap), np.sin(cap)], -1)
    return np.round(np.concatenate([cap_end, cap_start], axis=2) * (1 << _FRACTION_BITS)).astype(np.int32)
