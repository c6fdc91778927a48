"""How far an annotation set is from the target's poses, in parts that several jobs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import read_json, write_json
from flexpose_core.measures.sharded import draw_samples, gather, measure

KEYS = ("distribution", "distribution_floor")


def measured(
    pose_set: Path, train: Path, val: Path, shots: Path | None = None, shard: int = 0, shards: int = 1
) -> dict[str, Any]:
    """Return the figures of a shard's tasks: of the annotation set against the target's validation poses under `distribution`,
    and of its own training poses against these, the floor, under `distribution_floor`.

    Raises
    ------
    ConfigError
        If the shard is not among the shards.
    DataError
        If a cache is damaged or the skeletons differ.
    """
    if not 0 <= shard < shards:
        raise ConfigError(f"measures: expected 0 <= shard < shards, found {shard} and {shards}")
    sets = dict(zip(KEYS, (pose_set, train), strict=True))
    return {key: measure(draw_samples(val, path, shots), shard, shards) for key, path in sets.items()}


def measure_poses(
    pose_set: Path, train: Path, val: Path, out: Path, shots: Path | None = None, shard: int = 0, shards: int = 1
) -> None:
    """Write what `measured` returns."""
    write_json(out, measured(pose_set, train, val, shots, shard, shards))


def gathered(parts: Sequence[dict[str, Any]], what: str) -> dict[str, dict[str, float]]:
    """Return the figures of all parts by `KEYS`; raises DataError naming `what` if they are not whole."""
    return {key: gather([part[key] for part in parts], f"{what}: {key}") for key in KEYS}


def read_parts(paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Return the figures of all parts by `KEYS`; raises DataError naming a file if it is no part, or they are not whole."""
    parts = [read_json(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        lacking = [key for key in KEYS if not isinstance(part, dict) or not isinstance(part.get(key), dict)]
        if lacking:
            raise DataError(f"{path}: expected a part of the distances between poses, found no {lacking[0]!r}")
    return gathered(parts, f"{paths[0]} and what it is a part of")
