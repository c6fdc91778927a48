"""What a dataset reader is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from flexpose_core.poses.batch import PoseBatch
from flexpose_core.skeletons import Skeleton


class Reader(Protocol):
    """One dataset: its splits, and the poses of each in batches."""

    skeleton: Skeleton

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits, such as train, val, test."""

    def read(self, split: str) -> Iterator[PoseBatch]:
        """Yield the poses of a split in batches of bounded size."""

    def counts(self, split: str) -> dict[str, Any]:
        """Return, after `read`, how many poses were kept, and how many were dropped for which reason."""
