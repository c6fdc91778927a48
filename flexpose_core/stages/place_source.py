"""Source poses in the target's proportions, places and sizes (ours).

What is made like a few shots has few of the postures that these lack. Here a source keeps all of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.poses.alignment import placed
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import check_extent, pooled_poses
from flexpose_core.stages.compose import write_annotation_set

COUNT = 4000
"""Poses written, if the source has as many: a training with the usual options draws each about twice."""
_STAGE = "place"


def place_source(
    options: AlignmentOptions, sources: Sequence[Path], shots: Path, mixup: Path, out: Path, seed: int
) -> None:
    """Write poses drawn from all sources together, placed where mixed shots are.

    Raises
    ------
    DataError
        If the skeletons differ, or a pose has all joints in one point.
    """
    pooled, skeleton = pooled_poses(sources)
    drawn = pooled[np.sort(seeds.rng(seed, f"{_STAGE}/source").permutation(len(pooled))[:COUNT])]
    write_placed(options, drawn, skeleton.name, sources[0], shots, mixup, out, seed)


def write_placed(
    options: AlignmentOptions,
    source: np.ndarray,
    skeleton: str,
    path: Path,
    shots: Path,
    mixup: Path,
    out: Path,
    seed: int,
) -> None:
    """Write poses (N, K, 2) placed where mixed shots are; raises DataError naming `path`, where they are from."""
    guidance = load_cache(mixup)
    if guidance.skeleton.name != skeleton:
        raise DataError(f"{path}: expected skeleton {guidance.skeleton.name} as in {mixup}, found {skeleton}")
    check_extent(source, guidance.skeleton, [path])
    n_shots = len(load_cache(shots))
    poses = placed(source, guidance.poses, n_shots, guidance.skeleton, options, seeds.rng(seed, _STAGE))
    write_annotation_set(out, [(poses, "placed")], skeleton, None)
