"""What two sets of poses differ in: proportions, joint angles; and whether one memorises the shots or collapses.

Distances between poses are the mean over joints of the joints' distances, in px on the 128-px scale.
"""

from __future__ import annotations

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.geometry import SHORTEST_BONE, bone_lengths, to_polar
from flexpose_core.measures import PIXELS
from flexpose_core.skeletons import Skeleton

SHAPE_SAMPLE, PAIR_SAMPLE = 5000, 1000
# Distances computed at a time: so many rows, and of large sets as many as these numbers make.
_ROWS, _COORDINATES = 64, 2**24


def length_ratio_distance(first: np.ndarray, second: np.ndarray, skeleton: Skeleton) -> float:
    """Return how far the bones' shares of the total length of a pose's bones are apart, in percentage points.

    The 1-Wasserstein distance between the two sets' distributions of a bone's share, mean over bones. It does not
    depend on the poses' places and sizes.

    Parameters
    ----------
    first, second
        (N, K, 2) and (M, K, 2).
    """
    shares = []
    for poses in (first, second):
        lengths = bone_lengths(poses.astype(np.float64), skeleton)
        shares.append(lengths / np.maximum(lengths.sum(axis=1, keepdims=True), SHORTEST_BONE))
    # Imported where it is used, see `measures.distributions`.
    from scipy.stats import wasserstein_distance

    return 100 * float(np.mean([wasserstein_distance(a, b) for a, b in zip(shares[0].T, shares[1].T, strict=True)]))


def joint_angles(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the angle from bone to bone at each joint that has one before and one after it, (N, A) in turns, 0..1."""
    angle = to_polar(poses.astype(np.float64), skeleton).angle
    ends = [tuple(edge) for edge in skeleton.tree_ends]
    before = {child: place for place, (_, child) in enumerate(ends)}
    pairs = [(before[parent], place) for place, (parent, _) in enumerate(ends) if parent in before]
    first, second = np.array(pairs).T
    return (angle[:, second] - angle[:, first]) / (2 * np.pi) % 1


def joint_angle_distance(first: np.ndarray, second: np.ndarray, skeleton: Skeleton) -> float:
    """Return the 1-Wasserstein distance on the circle of the two sets' joint angles, mean over angles, in degrees.

    Computed by POT (Delon et al. 2010; Hundrieser et al. 2021). It does not depend on the poses' places, sizes and
    rotations.

    Parameters
    ----------
    first, second
        (N, K, 2) and (M, K, 2).
    """
    # Imported where it is used, see `measures.distributions`.
    from ot import wasserstein_circle

    distances = wasserstein_circle(joint_angles(first, skeleton), joint_angles(second, skeleton), p=1)
    return 360 * float(np.mean(distances))


def pose_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distance of each pose (N, K, 2) from each of (M, K, 2), the mean over joints, (N, M) in px at 128."""
    at_once = max(1, min(_ROWS, _COORDINATES // max(second.size, 1)))
    rows = [
        np.linalg.norm(chunk[:, None] - second[None], axis=-1).mean(axis=-1)
        for chunk in np.split(first, range(at_once, len(first), at_once))
    ]
    return PIXELS * np.concatenate(rows)


def nearest_distance(poses: np.ndarray, shots: np.ndarray) -> float:
    """Return the mean distance of poses (N, K, 2) from the nearest shot (M, K, 2) in px at 128; 0 if all are shots."""
    return float(pose_distances(poses, shots).min(axis=1).mean())


def mean_pairwise_distance(poses: np.ndarray) -> float:
    """Return the mean distance between two different poses of (N, K, 2) in px at 128; 0 if all are one.

    Raises
    ------
    DataError
        If there are not two poses.
    """
    if len(poses) < 2:
        raise DataError(f"pairwise distance: expected at least two poses, found {len(poses)}")
    return float(pose_distances(poses, poses).sum() / (len(poses) * (len(poses) - 1)))
