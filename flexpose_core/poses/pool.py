"""Whole poses of caches: those without a joint that is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.geometry import SHORTEST_BONE, bone_lengths
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.skeletons import Skeleton


def complete_poses(poses: PoseSet, path: Path) -> np.ndarray:
    """Return the poses of a cache whose joints are all visible, (n, K, 2) in 0..1: a missing joint has no place.

    How many others there are is said.

    Raises
    ------
    DataError
        If no such pose is there.
    """
    complete = whole_poses(poses, path)
    if not len(complete):
        raise DataError(f"{path}: expected poses with all joints visible, found none among {len(poses)}")
    return complete


def whole_poses(poses: PoseSet, path: Path) -> np.ndarray:
    """Return what `complete_poses` does, or no pose where there is none."""
    complete = poses.poses[poses.visibility.all(axis=1)]
    if len(complete) < len(poses):
        print(f"{path}: {len(poses) - len(complete)} of {len(poses)} poses lack a joint and are left out")
    return complete


def check_enough(poses: np.ndarray, paths: Sequence[Path], guidance: np.ndarray) -> None:
    """Raise DataError, naming the sources, unless there is one of their poses for each of the guidance."""
    if len(poses) < len(guidance):
        raise DataError(
            f"{', '.join(map(str, paths))}: expected at least {len(guidance)} poses with all joints visible, one for each of "
            f"pose-mixup (mixup_size), found {len(poses)}"
        )


def check_extent(poses: np.ndarray, skeleton: Skeleton, paths: Sequence[Path]) -> None:
    """Raise DataError, naming the files, if one of the poses has all joints in one point: it cannot be brought to a size."""
    flat = np.flatnonzero(bone_lengths(poses, skeleton).sum(axis=1) < SHORTEST_BONE)
    if len(flat):
        raise DataError(
            f"{', '.join(map(str, paths))}: expected poses with bones of some length, found {len(flat)} without among "
            f"{len(poses)}, the first at {poses[flat[0], 0].tolist()}"
        )


def pooled_poses(paths: Sequence[Path]) -> tuple[np.ndarray, Skeleton]:
    """Return the poses of all caches whose joints are all visible, (N, K, 2) in 0..1, and their skeleton.

    Raises
    ------
    DataError
        If the caches' skeletons differ, or no such pose is left.
    """
    sets = [load_cache(path) for path in paths]
    names = {poses.skeleton.name: path for poses, path in zip(sets, paths, strict=True)}
    if len(names) != 1:
        raise DataError(
            f"{paths[0]}: expected caches of one skeleton to pool, found {', '.join(sorted(names)) or 'none'}"
        )
    complete = np.concatenate([whole_poses(poses, path) for poses, path in zip(sets, paths, strict=True)])
    if not len(complete):
        raise DataError(f"{paths[0]}: expected poses with all joints visible, found none")
    return np.ascontiguousarray(complete), sets[0].skeleton
