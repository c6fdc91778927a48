"""Takes: which head makes which expressions before which camera, and where its landmarks are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.camera import CROP_MARGIN, Crop, draw_cameras, perspective, view_matrices
from flexpose_core.datasets.drawing.reader import SPLITS
from flexpose_core.datasets.faces.expressions import draw_expressions
from flexpose_core.datasets.faces.head import NECK, load_heads
from flexpose_core.datasets.faces.options import FacesOptions

SWAYS = 3  # sine waves that make up the movement of the head
SLOWEST, FASTEST = 0.1, 0.7  # Hz
BODY_SHARE = 0.6  # how much of the head's yaw the shoulders share


@dataclass(frozen=True)
class Take:
    """One sequence: a head before a camera that stands still. Angles in radians, the distance in metres."""

    split: str
    sequence: int
    head: int
    frames: int
    yaw: float
    pitch: float
    roll: float
    distance: float


def plan_takes(options: FacesOptions, split: str, seed: int) -> list[Take]:
    """Return the takes of a split, numbered apart from those of the other splits; heads take turns in random order."""
    heads = getattr(options.subjects, split)
    wanted = getattr(options.frames, split)
    if not heads or not wanted:
        return []
    count = -(-wanted // options.sequence)
    rng = seeds.rng(seed, "faces/takes", SPLITS.index(split))
    turns = np.concatenate([rng.permutation(heads) for _ in range(-(-count // len(heads)))])[:count]
    lengths = [options.sequence] * (count - 1) + [wanted - options.sequence * (count - 1)]
    cameras = np.stack(draw_cameras(options.cameras, count, rng), axis=1).tolist()
    first = sum(-(-getattr(options.frames, name) // options.sequence) for name in SPLITS[: SPLITS.index(split)])
    return [
        Take(split, first + number, int(head), length, *camera)
        for number, (head, length, camera) in enumerate(zip(turns, lengths, cameras, strict=True))
    ]


@dataclass(frozen=True)
class Performance:
    """F frames of a take as the camera sees them: x right, y down, z away.

    A point p of the head is seen at (p - NECK) @ turns[f].T + neck, one of the shoulders at (p - NECK) @ body.T + neck.
    """

    actions: np.ndarray  # (F, A) strengths
    turns: np.ndarray  # (F, 3, 3)
    body: np.ndarray  # (3, 3)
    neck: np.ndarray  # (3,)
    crop: Crop
    poses: np.ndarray  # (F, 68, 2) float32 in crop coordinates

    def seen(self, points: np.ndarray, follow: np.ndarray) -> np.ndarray:
        """Return points (F, P, 3) as the camera sees them; they follow the head by `follow` (P,), the shoulders by the rest."""
        off = points - NECK.astype(points.dtype)
        head, body = (off @ np.swapaxes(turn, -1, -2).astype(points.dtype) for turn in (self.turns, self.body))
        return body + follow[:, None] * (head - body) + self.neck.astype(points.dtype)


def perform(take: Take, options: FacesOptions, seed: int) -> Performance:
    """Draw the expressions and the movement of a take, and frame its landmarks."""
    rng = seeds.rng(seed, "faces/performance", SPLITS.index(take.split), take.sequence)
    model = load_heads()
    actions = draw_expressions(take.frames, options.fps, options.expression, rng)
    sway = np.deg2rad(options.sway) * np.array([1, 0.5, 0.5]) * _waves(take.frames, options.fps, rng)
    turns = view_matrices(*(np.array([take.yaw, take.pitch, take.roll]) + sway).T)
    middle, body = view_matrices(
        *np.array([[take.yaw, take.pitch, take.roll], [BODY_SHARE * take.yaw, 0.3 * take.pitch, 0.2 * take.roll]]).T
    )
    neck = middle @ NECK + np.array([0, 0, take.distance])
    points = model.landmarks_of(take.head) + np.tensordot(actions, model.landmark_actions.astype(np.float64), 1)
    plane = perspective((points - NECK) @ np.swapaxes(turns, -1, -2) + neck)
    crop = _draw_crop(plane.reshape(-1, 2), options, rng)
    return Performance(actions, turns, body, neck, crop, crop.apply(plane).astype(np.float32))


def _waves(frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Return three sums of sine waves over time, (frames, 3), of variance 1 over draws of their phases."""
    times = np.arange(frames)[:, None, None] / fps
    pace = np.exp(rng.uniform(np.log(SLOWEST), np.log(FASTEST), (SWAYS, 3)))
    phase = rng.uniform(0, 2 * np.pi, (SWAYS, 3))
    return np.sqrt(2 / SWAYS) * np.sin(2 * np.pi * pace * times + phase).sum(axis=1)


def _draw_crop(plane: np.ndarray, options: FacesOptions, rng: np.random.Generator) -> Crop:
    """Return one crop for all points (P, 2) on the image plane, which it holds: see `CropOptions`."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    focal = rng.uniform(*options.crop.scale) / (high - low).max()
    room = np.maximum(0.5 - CROP_MARGIN - focal * (high - low) / 2, 0)
    shift = np.clip(rng.uniform(-options.crop.offset, options.crop.offset, 2), -room, room)
    return Crop(float(focal), 0.5 + shift - focal * (low + high) / 2)
