"""How far the sources' poses are from the targets'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from flexpose_core.files import write_text
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import whole_poses


def compare_datasets(
    sources: Sequence[Path], targets: Sequence[Path], target_floors: Sequence[Path], out: Path
) -> None:
    """Write a CSV of distribution distances (`distribution_metrics`) from every set's training poses to every target's.

    `target_floors` are the targets' validation poses, in the targets' order: other people in the same motions. Where they are fewer
    than a source's poses (`fake_sample`), their Wasserstein distances are the larger for it. Sets of different skeletons are not
    compared, nor is any without a whole pose.
    """
    rows = []
    for target, floor in zip(targets, target_floors, strict=True):
        real = load_cache(target)
        wanted = whole_poses(real, target)
        for cache in (floor, *sources):
            # A target may be the source of another.
            if cache == target:
                continue
            other = load_cache(cache)
            if other.skeleton != real.skeleton:
                continue
            held = whole_poses(other, cache)
            if not len(wanted) or not len(held):
                continue
            name = f"{other.attributes['dataset']} ({other.attributes['split']})"
            rows.append({"poses": name, "target": real.attributes["dataset"]} | distribution_metrics(wanted, held))
    write_text(out, pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"))
