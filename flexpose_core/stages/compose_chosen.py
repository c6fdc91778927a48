"""The annotation set of poses that are chosen from another's by what its detector finds in the target's images."""

from __future__ import annotations

from pathlib import Path

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.choice import choose_like
from flexpose_core.stages.compose import check_same_skeleton, write_annotation_set


def compose_chosen(pool: Path, found: Path, mixup: Path, size: int, seed: int, out: Path) -> None:
    """Write as many poses as the pool has: all of `mixup`, the rest chosen from the pool (`poses.choice.choose_like`).

    Parameters
    ----------
    size
        What was asked for; a pool that is smaller says by how many it is.

    Raises
    ------
    DataError
        If the skeletons differ, or the pool holds no more poses than the mixup.
    """
    held, seen, enrichment = load_cache(pool), load_cache(found), load_cache(mixup)
    for path, other in {found: seen, mixup: enrichment}.items():
        check_same_skeleton(other, path, held, pool)
    count = min(size, len(held)) - len(enrichment)
    if count < 1:
        raise DataError(f"{pool}: expected more than the {len(enrichment)} mixup poses, found {len(held)}")
    chosen = choose_like(seen.poses, held.poses, count, seeds.rng(seed, "compose_chosen"))
    write_annotation_set(out, [(chosen, "chosen"), (enrichment.poses, "mixup")], held.skeleton.name, size)
