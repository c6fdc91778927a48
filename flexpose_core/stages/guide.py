"""From a target's training poses to a few shots and their pose-mixup: all that an adaptation learns of the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import PoseSet, load_cache, plain_batch, write_cache
from flexpose_core.poses.guidance import choose_shots
from flexpose_core.stages.mixing import mix


def guide(options: GuidanceOptions, target: Path, shots: int, seed: int, out_shots: Path, out_mixup: Path) -> None:
    """Write `shots` annotations of the target and E poses mixed from them.

    The shots depend on the target, their number and the seed alone, so that methods with other options see the same
    ones.

    Raises
    ------
    ConfigError
        If there are fewer whole poses than shots.
    """
    poses = load_cache(target)
    skeleton = poses.skeleton
    chosen = choose_shots(poses, shots, seeds.rng(seed, "guide/shots"))
    mixed, symmetry = mix(poses.poses[chosen], skeleton, options, seed, "guide")
    write_cache(out_shots, [_rows(poses, chosen)], skeleton, {"target": poses.attributes, "shots": shots, "seed": seed})
    write_cache(
        out_mixup, [plain_batch(mixed, "mixup")], skeleton, {"shots": shots, "seed": seed, "symmetry": symmetry}
    )


def _rows(poses: PoseSet, chosen: np.ndarray) -> PoseBatch:
    return PoseBatch(
        poses=poses.poses[chosen],
        visibility=poses.visibility[chosen],
        clip=poses.clip[chosen],
        subject=poses.subject[chosen],
        camera=poses.camera[chosen],
        sequence=poses.sequence[chosen],
        frame=poses.frame[chosen],
    )
