"""From a few shots to their mixup, apart from what uses it: `guide` must not run again when a fit is edited."""

from __future__ import annotations

import numpy as np

from flexpose_core import seeds
from flexpose_core.options.adaptation import GuidanceOptions, Symmetry
from flexpose_core.poses.guidance import choose_symmetry, pose_mixup, with_mirror_images
from flexpose_core.skeletons import Skeleton


def mix(
    shots: np.ndarray, skeleton: Skeleton, options: GuidanceOptions, seed: int, stage: str, *keys: int
) -> tuple[np.ndarray, Symmetry]:
    """Return E poses mixed from the shots (M, K, 2), (E, K, 2) float32, and the symmetry that they were given.

    What is drawn derives from (seed, STAGE/symmetry, keys) and (seed, STAGE/mixup, keys).
    """
    symmetry = options.symmetry
    if symmetry == "auto":
        symmetry = choose_symmetry(shots, skeleton, options, seeds.rng(seed, f"{stage}/symmetry", *keys))
    mirrored = with_mirror_images(shots, symmetry, skeleton)
    return pose_mixup(mirrored, skeleton, options, seeds.rng(seed, f"{stage}/mixup", *keys)), symmetry
