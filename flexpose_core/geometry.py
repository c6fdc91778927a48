"""Poses as a root and bone vectors, and the same bones as angles and log-lengths; mirrors; similarity transforms.

A pose of K joints hangs on `Skeleton.root` by the K - 1 edges of `Skeleton.tree`. Its bones are the (K, 2) array of
the root's position and one vector (child - parent) an edge, in the order of the tree. All functions keep the input's
float type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.skeletons import Skeleton

# A bone that is seen end-on has no direction; log-lengths are taken of at least this fraction of the image's side.
SHORTEST_BONE = 1e-6
_FARTHEST = 2.0


@dataclass(frozen=True)
class PolarBones:
    """Bones by direction and length.

    Parameters
    ----------
    root
        (N, 2) position of the root joint.
    angle
        (N, K - 1) direction of each edge of the tree in radians, -π..π, from the x axis towards the y axis.
    log_length
        (N, K - 1) natural logarithm of each edge's length.
    """

    root: np.ndarray
    angle: np.ndarray
    log_length: np.ndarray


def inside_image(poses: np.ndarray) -> np.ndarray:
    """Return which of the poses (N, K, 2) in 0..1 have all joints inside the image, (N,) bool."""
    return np.asarray(((poses >= 0) & (poses <= 1)).all(axis=(1, 2)))


def to_bones(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return root and bone vectors (N, K, 2) of poses (N, K, 2)."""
    _check(poses, skeleton)
    parents, children = skeleton.tree_ends.T
    root = skeleton.index(skeleton.root)
    return np.concatenate([poses[:, root], poses[:, children] - poses[:, parents]], axis=1)


def from_bones(bones: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the poses (N, K, 2) that hang on these roots by these bone vectors, the inverse of `to_bones`."""
    _check(bones, skeleton)
    poses = np.empty_like(bones)
    poses[:, skeleton.index(skeleton.root)[0]] = bones[:, 0]
    for number, (parent, child) in enumerate(skeleton.tree_ends, start=1):
        poses[:, child] = poses[:, parent] + bones[:, number]
    return poses


def to_polar(poses: np.ndarray, skeleton: Skeleton) -> PolarBones:
    """Return root, angles and log-lengths of poses (N, K, 2)."""
    bones = to_bones(poses, skeleton)
    vectors = bones[:, 1:]
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1), SHORTEST_BONE)
    return PolarBones(bones[:, 0], np.arctan2(vectors[..., 1], vectors[..., 0]), np.log(lengths))


def from_polar(polar: PolarBones, skeleton: Skeleton) -> np.ndarray:
    """Return poses (N, K, 2), the inverse of `to_polar`."""
    directions = np.stack([np.cos(polar.angle), np.sin(polar.angle)], axis=-1)
    vectors = directions * np.exp(polar.log_length)[..., None]
    return from_bones(np.concatenate([polar.root[:, None], vectors], axis=1), skeleton)


def interpolate(first: PolarBones, second: PolarBones, weight: np.ndarray | float) -> PolarBones:
    """Mix two poses bone by bone: roots linearly, lengths geometrically, angles along the shorter arc.

    Parameters
    ----------
    weight
        Share of the second pose, 0..1: one number, (N, 1), or (N, K - 1) for a weight of its own for each bone, in
        which case the root takes the row's mean.
    """
    weight = np.asarray(weight, first.angle.dtype)
    of_root = weight.mean(axis=-1, keepdims=True) if weight.ndim == 2 else weight
    turn = (second.angle - first.angle + np.pi) % (2 * np.pi) - np.pi
    return PolarBones(
        first.root + of_root * (second.root - first.root),
        first.angle + weight * turn,
        first.log_length + weight * (second.log_length - first.log_length),
    )


def loosened(
    poses: np.ndarray,
    skeleton: Skeleton,
    joints: np.ndarray,
    turn: float,
    stretch: float,
    rng: np.random.Generator,
    amount: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return poses (N, K, 2) float32 whose bones that end at these joints are turned and stretched at random, each by itself.

    What hangs on a bone moves with its end and keeps its own direction.

    Parameters
    ----------
    turn, stretch
        Standard deviations of the angle in radians and of the logarithm of the length, of normal draws that are cut off at
        `_FARTHEST` of them.
    amount
        Of both: one number, or (N,) for each pose.
    """
    polar = to_polar(poses.astype(np.float64), skeleton)
    moved = np.isin(skeleton.tree_ends[:, 1], joints)
    turns, stretches = np.clip(rng.standard_normal((2, len(poses), moved.sum())), -_FARTHEST, _FARTHEST) * np.reshape(
        amount, (-1, 1)
    )
    polar.angle[:, moved] += turn * turns
    polar.log_length[:, moved] += stretch * stretches
    return from_polar(polar, skeleton).astype(np.float32)


def bone_lengths(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the length of each edge of the tree, (N, K - 1)."""
    return np.linalg.norm(to_bones(poses, skeleton)[:, 1:], axis=-1)


def relative_to_root(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return poses (N, K, 2) with the root moved to the origin."""
    _check(poses, skeleton)
    return poses - poses[:, skeleton.index(skeleton.root)]


def mirror(poses: np.ndarray) -> np.ndarray:
    """Mirror x within the image and keep the labels: roughly, the front becomes the back."""
    mirrored = poses.copy()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return mirrored


def flip(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Mirror x within the image and swap left and right, as a mirrored photograph does."""
    _check(poses, skeleton)
    return mirror(poses)[:, skeleton.flip_permutation]


def pose_size(poses: np.ndarray) -> float:
    """Return the root mean square, over poses, of the distance of all joints from the pose's centre."""
    centred = poses - poses.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.square(centred).sum(axis=(1, 2)).mean()))


def fit_similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Return scale s and shift t so that s · source + t has the mean position and the size of the target.

    Without rotation: the camera's horizon is taken to be level in both sets, which need not correspond pose by pose.
    """
    scale = pose_size(target) / max(pose_size(source), SHORTEST_BONE)
    return scale, target.mean(axis=(0, 1)) - scale * source.mean(axis=(0, 1))


def _check(poses: np.ndarray, skeleton: Skeleton) -> None:
    if poses.ndim != 3 or poses.shape[1:] != (len(skeleton), 2):
        raise DataError(
            f"poses of skeleton {skeleton.name}: expected shape (N, {len(skeleton)}, 2), found {poses.shape}"
        )
