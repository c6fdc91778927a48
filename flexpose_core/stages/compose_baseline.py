"""The annotation set of a baseline: unpaired poses made without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.options.baselines import BaselineOptions
from flexpose_core.poses.baselines import baseline_poses
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.guidance import with_mirror_images
from flexpose_core.poses.pool import check_enough, pooled_poses
from flexpose_core.stages.compose import room_beside, write_annotation_set


def compose_baseline(
    options: BaselineOptions,
    sources: Sequence[Path],
    shots: Path | None,
    mixup: Path | None,
    size: int,
    take_all_if_short: bool,
    seed: int,
    out: Path,
) -> None:
    """Write `size` poses; the shots get the mirror images that the guidance in `mixup` gave them.

    Parameters
    ----------
    sources
        Pooled; none for kinds that see the shots alone.
    shots, mixup
        None for the unadapted source.
    take_all_if_short
        Whether sources with fewer poses give a smaller set, as in `compose_source`.

    Raises
    ------
    DataError
        If the skeletons differ, or the sources have too few poses, without `take_all_if_short`.
    """
    random = seeds.rng(seed, f"baseline/{options.kind}")
    pooled = pooled_poses(sources) if sources else None
    if shots is not None and mixup is not None:
        drawn, guidance = load_cache(shots), load_cache(mixup)
        room_beside(guidance, mixup, size)
        skeleton = drawn.skeleton
        if pooled is not None and pooled[1].name != skeleton.name:
            raise DataError(f"{sources[0]}: expected skeleton {skeleton.name} as in {shots}, found {pooled[1].name}")
        mirrored = with_mirror_images(drawn.poses, guidance.attributes["symmetry"], skeleton)
        n_shots, mixed = len(drawn), guidance.poses
    elif pooled is not None:
        skeleton, n_shots = pooled[1], 0
        mirrored = mixed = pooled[0][:0]
    else:
        raise DataError(f"{out}: expected sources or shots to compose a baseline of, found neither")
    source = np.empty((0, len(skeleton), 2), np.float32) if pooled is None else pooled[0]
    if options.kind == "nearest":
        check_enough(source, sources, mixed)
    count = min(size, len(source) + len(mixed)) if sources and take_all_if_short else size
    poses = baseline_poses(options, source, mirrored, n_shots, mixed, count, random)
    write_annotation_set(out, [(poses, f"baseline {options.kind}")], skeleton.name, size)
