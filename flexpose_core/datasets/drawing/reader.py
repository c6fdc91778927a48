"""What the readers of drawn datasets share: splits, the one unit of each, counts, and checks of their options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from flexpose_core.datasets.drawing.options import SPLITS, CameraOptions, CropOptions
from flexpose_core.errors import ConfigError
from flexpose_core.poses.batch import PoseBatch

WHOLE = "all"  # drawn at once: scenes, takes and annotations follow from one another


class DrawnReader:
    """Draws a dataset: sequences of images (train, val, test), or annotations alone (train, val).

    Parameters
    ----------
    name
        The reader's name, for messages.
    has_images
        Whether images are drawn.
    """

    def __init__(self, name: str, has_images: bool) -> None:
        self.name, self.has_images = name, has_images
        self._counts: dict[str, dict[str, int]] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return SPLITS if self.has_images else SPLITS[:2]

    def units(self, split: str) -> list[str]:
        """Return the one unit of every split."""
        if split not in self.splits():
            raise ConfigError(f"{self.name}: expected a split among {', '.join(self.splits())}, found {split!r}")
        return [WHOLE]

    def read(self, split: str, units: Sequence[str] = (WHOLE,)) -> Iterator[PoseBatch]:
        """Yield the poses of a split."""
        if list(units) != self.units(split):
            raise ConfigError(f"{self.name}: expected the unit {WHOLE!r}, found {list(units)}")
        self._counts.pop(split, None)
        return self._read(split)

    def counts(self, split: str) -> dict[str, Any]:
        """Return the numbers of poses read, kept, and dropped by reason, once `read` has ended."""
        if split not in self._counts:
            raise ConfigError(
                f"{self.name}: expected the split {split!r} to have been read to its end before it is counted"
            )
        dropped = {reason: count for reason, count in self._counts[split].items() if reason != "kept"}
        kept = self._counts[split]["kept"]
        return {"read": kept + sum(dropped.values()), "kept": kept, "dropped": dropped, "first_dropped": {}}

    def _read(self, split: str) -> Iterator[PoseBatch]:
        """Yield the poses of a split and, at the end, set its counts: those "kept", and those dropped by reason."""
        raise NotImplementedError


def check_cameras(name: str, cameras: Sequence[CameraOptions], nearest: float) -> None:
    """Check that ranges are [low, high] and no camera is nearer than so many metres; raises ConfigError."""
    for camera in cameras:
        for key in ("yaw", "pitch", "roll", "distance"):
            low, high = getattr(camera, key)
            if low > high:
                raise ConfigError(f"{name}: expected cameras.{key} as [low, high], found [{low}, {high}]")
        if camera.distance[0] < nearest:
            raise ConfigError(
                f"{name}: expected cameras.distance of at least {nearest:g} m, found {camera.distance[0]}"
            )


def check_crop(name: str, crop: CropOptions) -> None:
    """Check that poses can lie in the unit square; raises ConfigError."""
    low, high = crop.scale
    if not 0 < low <= high <= 1:
        raise ConfigError(f"{name}: expected crop.scale as 0 < low <= high <= 1, found [{low}, {high}]")


def check_disjoint(name: str, what: str, subjects: object) -> None:
    """Check that nobody of `subjects.train`, `.val` and `.test` is in two of them; raises ConfigError."""
    for one, other in combinations(SPLITS, 2):
        shared = set(getattr(subjects, one)) & set(getattr(subjects, other))
        if shared:
            raise ConfigError(f"{name}: expected no {what} in both {one} and {other}, found {min(shared)}")
