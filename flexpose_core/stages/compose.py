"""The annotation set of a cell: the unpaired poses that its detector sees. All of their joints are visible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import PoseSet, load_cache, plain_batch, write_cache
from flexpose_core.poses.pool import complete_poses
from flexpose_core.skeletons import skeleton_named

_ROWS = 4096


def compose_source(
    sources: Sequence[Path], mixup: Path, size: int, take_all_if_short: bool, seed: int, out: Path
) -> None:
    """Write `size` poses: all of `mixup`, the rest drawn from the sources without replacement, evenly from each (method Direct).

    What one source lacks of its share is taken from the others. Where all together hold fewer, with `take_all_if_short`, write
    all there are, and say so.

    Raises
    ------
    DataError
        If the skeletons differ, the set has no room for the mixup, or the sources have too few poses, without `take_all_if_short`.
    """
    enrichment = load_cache(mixup)
    wanted = room_beside(enrichment, mixup, size)
    sets = [load_cache(source) for source in sources]
    for source, of_source in zip(sources, sets, strict=True):
        check_same_skeleton(of_source, source, enrichment, mixup)
    held = [complete_poses(of_source, source) for source, of_source in zip(sources, sets, strict=True)]
    found = sum(len(poses) for poses in held)
    if found < wanted and not take_all_if_short:
        raise DataError(
            f"{', '.join(map(str, sources))}: expected at least {wanted} poses for an annotation set of {size}, found {found} "
            f"(a cell with take_all_if_short takes these)"
        )
    parts: list[np.ndarray] = []
    for poses, share in zip(held, draw_evenly(wanted, [len(poses) for poses in held]), strict=True):
        chosen = seeds.rng(seed, "compose", len(parts)).permutation(len(poses))[:share]
        parts.append(poses[np.sort(chosen)])
    named = [(part, "source") for part in parts] + [(enrichment.poses, "mixup")]
    write_annotation_set(out, named, enrichment.skeleton.name, size)


def compose_adapted(samples: Path, mixup: Path, size: int, sources: Sequence[Path] | None, out: Path) -> None:
    """Write `size` poses: all of `mixup`, the rest from the head of `samples` (method FlexPose).

    If `sources` are given, no more samples than these hold poses: as many as `compose_source` takes with `take_all_if_short`.

    Raises
    ------
    DataError
        If the skeletons differ, the set has no room for the mixup, or there are too few samples.
    """
    generated, enrichment = load_cache(samples), load_cache(mixup)
    check_same_skeleton(generated, samples, enrichment, mixup)
    wanted = room_beside(enrichment, mixup, size)
    if sources is not None:
        wanted = min(wanted, sum(len(complete_poses(load_cache(source), source)) for source in sources))
    if wanted > len(generated):
        raise DataError(
            f"{samples}: expected at least {wanted} poses for an annotation set of {size}, found {len(generated)}"
        )
    named = [(generated.poses[:wanted], "generated"), (enrichment.poses, "mixup")]
    write_annotation_set(out, named, generated.skeleton.name, size)


def compose_target(target: Path, size: int | None, take_all_if_short: bool, seed: int, out: Path) -> None:
    """Write the target's own training poses, `size` of them if given (method Aligned).

    Raises
    ------
    DataError
        If there are fewer than `size`, without `take_all_if_short`.
    """
    held = load_cache(target)
    own = complete_poses(held, target)
    if size is not None and size > len(own) and not take_all_if_short:
        raise DataError(f"{target}: expected at least {size} poses for the annotation set, found {len(own)}")
    chosen = np.sort(seeds.rng(seed, "compose").permutation(len(own))[: size or len(own)])
    write_annotation_set(out, [(own[chosen], "target")], held.skeleton.name, size)


def room_beside(enrichment: PoseSet, mixup: Path, size: int) -> int:
    """Return how many poses of a set are not mixed ones; raises DataError if it cannot hold all of these."""
    if len(enrichment) > size:
        raise DataError(f"{mixup}: expected at most the {size} poses of the annotation set, found {len(enrichment)}")
    return size - len(enrichment)


def check_same_skeleton(poses: PoseSet, path: Path, others: PoseSet, other_path: Path) -> None:
    """Raise DataError, naming both files, if two pose sets are of different skeletons."""
    if poses.skeleton.name != others.skeleton.name:
        raise DataError(
            f"{path}: expected skeleton {others.skeleton.name} as in {other_path}, found {poses.skeleton.name}"
        )


def draw_evenly(wanted: int, held: Sequence[int]) -> list[int]:
    """Return how many to draw from each of several piles of these sizes: evenly, and from the others once one is used up.

    They add up to `wanted`, or to all there are if that is less.
    """
    shares = [0] * len(held)
    left = [place for place in range(len(held)) if held[place]]
    while left and sum(shares) < wanted:
        missing = wanted - sum(shares)
        for k, place in enumerate(left):
            shares[place] += min(held[place] - shares[place], missing // len(left) + (k < missing % len(left)))
        left = [place for place in left if shares[place] < held[place]]
    return shares


def write_annotation_set(out: Path, parts: list[tuple[np.ndarray, str]], skeleton: str, wanted: int | None) -> None:
    """Write the poses of all parts, (n, K, 2) each with what it is, and how many fewer they are than wanted."""
    count = sum(len(poses) for poses, _ in parts)
    missing = max(0, (wanted or 0) - count)
    if missing:
        print(f"annotation set: {count} poses, {missing} fewer than the {wanted} asked for: all there are")
    attributes = {
        "source": {name: sum(len(poses) for poses, of in parts if of == name) for _, name in parts},
        "missing": missing,
    }
    write_cache(out, _batches(parts), skeleton_named(skeleton), attributes)


def _batches(parts: list[tuple[np.ndarray, str]]) -> Iterator[PoseBatch]:
    first = 0
    for poses, name in parts:
        for start in range(0, len(poses), _ROWS):
            batch = plain_batch(poses[start : start + _ROWS], name, first)
            first += len(batch)
            yield batch
