"""A rectangle of the original picture around each pose, as the unit square in which poses are kept, and the way back.

A crop is (x, y, width, height): its left upper corner and its sides, in pixels measured from the left upper corner of the
picture, so that the centre of the first pixel lies at 0.5.
"""

from __future__ import annotations

import numpy as np

from flexpose_core.datasets.options import SquareOptions


def boxes_of(joints: np.ndarray) -> np.ndarray:
    """Return the smallest boxes (n, 4) as x0, y0, x1, y1 around joints (n, K, 2); NaN joints do not count.

    A pose without any joint has a box of NaN.
    """
    known = np.isfinite(joints).all(axis=2)[..., None]
    low = np.where(known, joints, np.inf).min(axis=1)
    high = np.where(known, joints, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high], axis=1)
    return np.where(np.isfinite(boxes), boxes, np.nan)


def longer_sides(boxes: np.ndarray) -> np.ndarray:
    """Return the longer side of each box (n, 4)."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def crops_around(boxes: np.ndarray, options: SquareOptions) -> np.ndarray:
    """Return the smallest crops (n, 4) of the stated aspect that hold the boxes (n, 4) and the margin, centred on them."""
    room = 2 * options.margin * longer_sides(boxes)
    width, height = boxes[:, 2] - boxes[:, 0] + room, boxes[:, 3] - boxes[:, 1] + room
    height = np.maximum(height, width / options.aspect)
    sides = np.stack([height * options.aspect, height], axis=1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + 0.5
    return np.concatenate([centre - sides / 2, sides], axis=1)


def common_box(boxes: np.ndarray) -> np.ndarray:
    """Return the box (1, 4) around all boxes (n, 4)."""
    return np.concatenate([np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)])[None]


def to_crop(joints: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Return joints (n, K, 2) in pixels as fractions of their crops (n, 4)."""
    return (joints + 0.5 - crops[:, None, :2]) / crops[:, None, 2:]


def from_crop(poses: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Return crop-normalised poses (n, K, 2) in pixels of the original pictures, the inverse of `to_crop`."""
    return poses * crops[:, None, 2:] + crops[:, None, :2] - 0.5
