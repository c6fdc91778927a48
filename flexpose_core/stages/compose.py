"""The annotation set of a cell: the unpaired poses that its detector sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import skeleton_named

_ROWS = 4096


def compose_source(sources: Sequence[Path], mixup: Path, size: int, seed: int, out: Path) -> None:
    """Write `size` poses: all of `mixup`, the rest drawn from the sources without replacement, evenly from each (method Direct).

    Raises
    ------
    DataError
        If a source has too few poses.
    """
    enrichment = load_cache(mixup)
    wanted = size - len(enrichment)
    shares = [wanted // len(sources) + (k < wanted % len(sources)) for k in range(len(sources))]
    parts: list[np.ndarray] = []
    for source, share in zip(sources, shares, strict=True):
        poses = load_cache(source).poses
        if share > len(poses):
            raise DataError(
                f"{source}: expected at least {share} poses for an annotation set of {size}, found {len(poses)}"
            )
        chosen = seeds.rng(seed, "compose", len(parts)).permutation(len(poses))[:share]
        parts.append(poses[np.sort(chosen)])
    _write(out, [(part, "source") for part in parts] + [(enrichment.poses, "mixup")], enrichment.skeleton.name)


def compose_adapted(samples: Path, mixup: Path, size: int, out: Path) -> None:
    """Write `size` poses: all of `mixup`, the rest from the head of `samples` (method FlexPose)."""
    generated, enrichment = load_cache(samples), load_cache(mixup)
    wanted = size - len(enrichment)
    if wanted > len(generated):
        raise DataError(
            f"{samples}: expected at least {wanted} poses for an annotation set of {size}, found {len(generated)}"
        )
    _write(out, [(generated.poses[:wanted], "generated"), (enrichment.poses, "mixup")], generated.skeleton.name)


def compose_target(target: Path, size: int | None, seed: int, out: Path) -> None:
    """Write the target's own training poses, `size` of them if given (method Aligned)."""
    own = load_cache(target)
    if size is not None and size > len(own):
        raise DataError(f"{target}: expected at least {size} poses for the annotation set, found {len(own)}")
    chosen = np.sort(seeds.rng(seed, "compose").permutation(len(own))[: size or len(own)])
    _write(out, [(own.poses[chosen], "target")], own.skeleton.name)


def _write(out: Path, parts: list[tuple[np.ndarray, str]], skeleton: str) -> None:
    attributes = {"source": {name: sum(len(poses) for poses, of in parts if of == name) for _, name in parts}}
    write_cache(out, _batches(parts), skeleton_named(skeleton), attributes)


def _batches(parts: list[tuple[np.ndarray, str]]) -> Iterator[PoseBatch]:
    first = 0
    for poses, name in parts:
        for start in range(0, len(poses), _ROWS):
            batch = plain_batch(poses[start : start + _ROWS], name, first)
            first += len(batch)
            yield batch
