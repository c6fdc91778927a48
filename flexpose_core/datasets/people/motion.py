"""Motion: clips in the DeepMimic form, and their forward kinematics.

World axes: y up; a person at rest faces +x, with the right side at +z. Lengths are metres, quaternions are (w, x, y, z) and
relative to the parent link. Source: the humanoid of pybullet_data, whose model file is at four times life size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

import numpy as np

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15

JOINTS = BODY15.joints
FRAME_WIDTH = 43
MODEL_SCALE = 0.25
ROOT_POSITION = slice(0, 3)


@dataclass(frozen=True)
class Link:
    """A rigid link: where it hangs on its parent (model units, parent's axes) and which columns of a frame turn it.

    Four columns are a quaternion, one is an angle about +z, none means the link keeps its parent's orientation.
    """

    name: str
    parent: str | None
    offset: tuple[float, float, float]
    columns: slice


_FIXED = slice(0, 0)
LINKS = (
    Link("pelvis", None, (0, 0, 0), slice(3, 7)),
    Link("chest", "pelvis", (0, 0.944604, 0), slice(7, 11)),
    Link("neck", "chest", (0, 0.895576, 0), slice(11, 15)),
    Link("r_hip", "pelvis", (0, 0, 0.339548), slice(15, 19)),
    Link("r_knee", "r_hip", (0, -1.686184, 0), slice(19, 20)),
    Link("r_ankle", "r_knee", (0, -1.639480, 0), slice(20, 24)),
    Link("r_shoulder", "chest", (-0.0962, 0.974, 0.73244), slice(24, 28)),
    Link("r_elbow", "r_shoulder", (0, -1.099152, 0), slice(28, 29)),
    Link("r_wrist", "r_elbow", (0, -1.035788, 0), _FIXED),
    Link("l_hip", "pelvis", (0, 0, -0.339548), slice(29, 33)),
    Link("l_knee", "l_hip", (0, -1.686184, 0), slice(33, 34)),
    Link("l_ankle", "l_knee", (0, -1.639480, 0), slice(34, 38)),
    Link("l_shoulder", "chest", (-0.0962, 0.974, -0.73244), slice(38, 42)),
    Link("l_elbow", "l_shoulder", (0, -1.099152, 0), slice(42, 43)),
    Link("l_wrist", "l_elbow", (0, -1.035788, 0), _FIXED),
    Link("head", "neck", (0, 0.70, 0), _FIXED),  # the middle of the head: the model has no joint there
)
THIGH_AND_SHANK = (1.686184 + 1.639480) * MODEL_SCALE


@dataclass(frozen=True)
class Clip:
    """One recording: `frames` (F, 43) float64 at `fps` frames a second."""

    name: str
    fps: float
    frames: np.ndarray


@dataclass(frozen=True)
class Posture:
    """Positions (F, 3) in metres and world rotations (F, 3, 3) of every link, by name."""

    positions: Mapping[str, np.ndarray]
    rotations: Mapping[str, np.ndarray]


@lru_cache(maxsize=1)
def load_clips() -> Mapping[str, Clip]:
    """Return the embedded clips by name; do not write to their arrays.

    Raises
    ------
    DataError
        The file of frames is not what this version expects.
    """
    with resources.as_file(resources.files(__package__) / "data" / "motion.npz") as path, np.load(path) as arrays:
        names, starts, fps, frames = (arrays[key] for key in ("names", "starts", "fps", "frames"))
    if frames.ndim != 2 or frames.shape[1] != FRAME_WIDTH:
        raise DataError(f"people/motion.npz: expected frames of shape (F, {FRAME_WIDTH}), found {frames.shape}")
    frames = frames.astype(np.float64)
    frames.flags.writeable = False
    parts = np.split(frames, starts[1:-1])
    return MappingProxyType(
        {str(name): Clip(str(name), float(rate), part) for name, rate, part in zip(names, fps, parts, strict=True)}
    )


def clip_named(name: str) -> Clip:
    """Return an embedded clip; raises ConfigError for another name."""
    clips = load_clips()
    if name not in clips:
        raise ConfigError(f"people: expected a clip among {', '.join(sorted(clips))}, found {name!r}")
    return clips[name]


def rotations_from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Return rotation matrices (..., 3, 3) of quaternions (..., 4), which need not be of unit length."""
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotations_about_z(angles: np.ndarray) -> np.ndarray:
    """Return rotation matrices (..., 3, 3) of angles (...) in radians about +z."""
    cos, sin = np.cos(angles), np.sin(angles)
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    return np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], axis=-1).reshape(*angles.shape, 3, 3)


def _local_rotations(frames: np.ndarray, columns: slice) -> np.ndarray:
    part = frames[:, columns]
    if part.shape[1] == 4:
        return rotations_from_quaternions(part)
    if part.shape[1] == 1:
        return rotations_about_z(part[:, 0])
    return np.broadcast_to(np.eye(3), (len(frames), 3, 3))


def forward_kinematics(frames: np.ndarray) -> Posture:
    """Return the posture of frames (F, 43): p_child = p_parent + R_parent o, R_child = R_parent L."""
    positions: dict[str, np.ndarray] = {}
    rotations: dict[str, np.ndarray] = {}
    for link in LINKS:
        local = _local_rotations(frames, link.columns)
        if link.parent is None:
            positions[link.name] = frames[:, ROOT_POSITION]
            rotations[link.name] = local
        else:
            offset = MODEL_SCALE * np.array(link.offset)
            positions[link.name] = positions[link.parent] + rotations[link.parent] @ offset
            rotations[link.name] = rotations[link.parent] @ local
    return Posture(positions, rotations)


def joint_positions(posture: Posture) -> np.ndarray:
    """Return the joints of BODY15, (F, 15, 3) in metres."""
    return np.stack([posture.positions[name] for name in JOINTS], axis=1)


def facing(posture: Posture) -> np.ndarray:
    """Return which way pelvis and chest face, projected on the ground: (F, 2) along (x, z), shorter when lying."""
    forward = posture.rotations["pelvis"][:, :, 0] + posture.rotations["chest"][:, :, 0]
    return forward[:, [0, 2]] / 2


def mean_heading(posture: Posture) -> float:
    """Return the angle in radians, from +x towards +z, that the person faces on average over a clip."""
    x, z = facing(posture).mean(axis=0)
    return float(np.arctan2(z, x))


def densify(frames: np.ndarray, factor: int) -> np.ndarray:
    """Return ((F - 1) * factor + 1, 43) frames, interpolated linearly and, for quaternions, by the short arc.

    Normalised linear interpolation is enough at 16-60 frames a second: neighbours differ by a few degrees.
    """
    times = np.arange((len(frames) - 1) * factor + 1) / factor
    before = np.minimum(times.astype(int), len(frames) - 2)
    weight = (times - before)[:, None]
    first, second = frames[before], frames[before + 1].copy()
    for link in LINKS:
        if link.columns.stop - link.columns.start == 4:
            opposite = (first[:, link.columns] * second[:, link.columns]).sum(axis=1) < 0
            second[opposite, link.columns] *= -1
    return first * (1 - weight) + second * weight
