"""Cameras: view matrices, perspective, and the crop of a sequence.

World axes: z up; a person at rest faces -y with their left at +x. Camera axes: x right, y down, z away from the camera.
Crop coordinates: 0..1, x then y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flexpose_core.datasets.drawing.options import CameraOptions

CROP_MARGIN = 0.04  # joints keep this far from the border
BODY_OVERHANG = 0.03  # hands and feet, beyond the last joints, may leave the crop by this much


def view_matrices(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Return matrices (n, 3, 3) from world to camera axes, for angles (n,) in radians.

    At zero the camera looks along +y, at the face of a body at rest. Positive yaw moves it towards the person's right,
    positive pitch up, and positive roll turns the picture clockwise.
    """
    zero = np.zeros_like(yaw)
    ahead = np.stack([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)], axis=-1)
    level = np.stack([np.cos(yaw), -np.sin(yaw), zero], axis=-1)
    plumb = np.cross(ahead, level)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * level - sin * plumb, sin * level + cos * plumb, ahead], axis=1)


def to_camera(points: np.ndarray, views: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return camera coordinates of points (n, P, 3) relative to what the camera looks at, `distances` (n,) metres away."""
    seen = points @ np.swapaxes(views, -1, -2).astype(points.dtype)
    seen[..., 2] += distances[:, None].astype(points.dtype)
    return seen


def perspective(seen: np.ndarray) -> np.ndarray:
    """Return (..., 2) = (x / z, y / z) of camera coordinates (..., 3)."""
    return seen[..., :2] / seen[..., 2:]


def draw_cameras(
    kinds: tuple[CameraOptions, ...], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return yaw, pitch, roll in radians and distance in metres, (count,) each, of cameras drawn from a mixture of kinds.

    Yaws are stratified: `count` cameras look from all round even where `count` is small.
    """
    shares = np.array([kind.share for kind in kinds])
    which = rng.choice(len(kinds), count, p=shares / shares.sum())

    def within(name: str, unit: np.ndarray) -> np.ndarray:
        low, high = np.array([getattr(kind, name) for kind in kinds])[which].T
        return low + (high - low) * unit

    strata = (rng.permutation(count) + rng.random(count)) / count
    units = {"yaw": strata, **{name: rng.random(count) for name in ("pitch", "roll", "distance")}}
    drawn = {name: within(name, unit) for name, unit in units.items()}
    return np.deg2rad(drawn["yaw"]), np.deg2rad(drawn["pitch"]), np.deg2rad(drawn["roll"]), drawn["distance"]


@dataclass(frozen=True)
class Crop:
    """A square window on the image plane: crop = focal * (x / z, y / z) + centre."""

    focal: float
    centre: np.ndarray  # (2,)

    def apply(self, plane: np.ndarray) -> np.ndarray:
        """Return crop coordinates of image plane coordinates (..., 2)."""
        return self.focal * plane + self.centre


def fit_crop(outline: np.ndarray, joints: np.ndarray, fill: float) -> Crop:
    """Return one crop for a sequence, from image plane coordinates of vertices (F, V, 2) and joints (F, K, 2).

    The person's box fills `fill` of it in the median frame, less if a joint would otherwise leave it in any frame.
    """
    sides = np.ptp(outline, axis=1).max(axis=1)
    low = np.minimum(outline.min(axis=(0, 1)), joints.min(axis=(0, 1)))
    high = np.maximum(outline.max(axis=(0, 1)), joints.max(axis=(0, 1)))
    middle = (low + high) / 2
    reach = np.abs(joints - middle).max()
    focal = min(fill / np.median(sides), (1 + 2 * BODY_OVERHANG) / (high - low).max(), (0.5 - CROP_MARGIN) / reach)
    return Crop(float(focal), 0.5 - focal * middle)


def frame_in_square(
    plane: np.ndarray, scale: tuple[float, float], offset: float, rng: np.random.Generator
) -> np.ndarray:
    """Return crop coordinates (n, K, 2) of poses (n, K, 2) on the image plane, each scaled and placed at random.

    The longer side of a pose's box becomes a draw from `scale`; its centre moves by up to `offset`, all joints inside.
    """
    low, high = plane.min(axis=1), plane.max(axis=1)
    factor = rng.uniform(*scale, len(plane)) / (high - low).max(axis=1)
    placed = (plane - (low + high)[:, None] / 2) * factor[:, None, None] + 0.5
    half = (high - low) * factor[:, None] / 2
    room = np.maximum(0.5 - CROP_MARGIN - half, 0)
    return placed + np.clip(rng.uniform(-offset, offset, (len(plane), 2)), -room, room)[:, None]
