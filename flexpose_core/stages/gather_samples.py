"""The samples of all shards as one pose set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import describe_cache, open_cache, read_rows, write_cache
from flexpose_core.skeletons import skeleton_named

_ROWS = 1000


def gather(shards: Sequence[Path], out: Path) -> int:
    """Write the samples of all shards, in order, as one cache; returns their number. Memory does not grow with it.

    Raises
    ------
    DataError
        If a shard is missing, damaged, of another run, or they are not in order and complete.
    """
    with open_cache(shards[0]) as file:
        attributes, skeleton = describe_cache(file, shards[0]), str(file.attrs["skeleton"])

    def batches() -> Iterator[PoseBatch]:
        """Yield each shard's poses, checked to follow those before."""
        expected = 0
        for path in shards:
            with open_cache(path) as file:
                if describe_cache(file, path) != attributes:
                    raise DataError(f"{path}: expected a shard of the run of {shards[0]}, found one of another")
                for start in range(0, int(file.attrs["count"]), _ROWS):
                    poses = read_rows(file, path, np.arange(start, min(start + _ROWS, int(file.attrs["count"]))))
                    if int(poses.frame[0]) != expected:
                        raise DataError(f"{path}: expected samples from number {expected}, found {int(poses.frame[0])}")
                    expected += len(poses)
                    yield poses
        if expected != attributes.get("count"):
            raise DataError(f"{shards[-1]}: expected {attributes.get('count')} samples in all shards, found {expected}")

    return write_cache(out, batches(), skeleton_named(skeleton), attributes)
