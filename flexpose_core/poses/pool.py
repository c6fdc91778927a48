"""Whole poses of several caches as one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.poses.cache import load_cache
from flexpose_core.skeletons import Skeleton


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
    complete = np.concatenate([poses.poses[poses.visibility.all(axis=1)] for poses in sets])
    if not len(complete):
        raise DataError(f"{paths[0]}: expected poses with all joints visible, found none")
    return np.ascontiguousarray(complete), sets[0].skeleton
