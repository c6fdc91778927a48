"""What a dataset reader is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from flexpose_core.poses.batch import PoseBatch
from flexpose_core.skeletons import Skeleton


class Reader(Protocol):
    """One dataset: its splits, and the poses of each in batches."""

    skeleton: Skeleton

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits, such as train, val, test."""

    def units(self, split: str) -> list[str]:
        """Return the parts of a split, such as files or sequences, that can be read apart from one another, in order."""

    def read(self, split: str, units: Sequence[str]) -> Iterator[PoseBatch]:
        """Yield the poses of these units in batches of bounded size; a pose does not depend on which others are read."""

    def counts(self, split: str) -> dict[str, Any]:
        """Return, after `read`, the numbers `read`, `kept` and `dropped` by reason, and the `first_dropped` of each."""
