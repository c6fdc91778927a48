"""The reader of the embedded faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from flexpose_core.datasets.faces.head import check_head
from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.faces.shots import shoot
from flexpose_core.datasets.faces.takes import SPLITS, Take, perform, plan_takes
from flexpose_core.errors import ConfigError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import FACE68

WHOLE = "all"  # drawn at once: takes follow from one another


class FacesReader:
    """Draws faces: sequences of images (train, val, test), or annotations alone (train, val).

    Landmarks that the head itself hides are given where they are and count as visible, as in WFLW.

    Parameters
    ----------
    options
        What to draw.
    seed
        Everything drawn is a function of `options` and `seed`.

    Raises
    ------
    ConfigError
        An unknown head, a head in two splits, or options that leave nothing to draw.
    """

    skeleton = FACE68

    def __init__(self, options: FacesOptions, seed: int) -> None:
        check_options(options)
        self.options = options
        self.seed = seed
        self._kept: dict[str, int] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return SPLITS if self.options.images else SPLITS[:2]

    def units(self, split: str) -> list[str]:
        """Return the one unit of every split."""
        if split not in self.splits():
            raise ConfigError(f"faces: expected a split among {', '.join(self.splits())}, found {split!r}")
        return [WHOLE]

    def read(self, split: str, units: Sequence[str] = (WHOLE,)) -> Iterator[PoseBatch]:
        """Yield a sequence at a time."""
        if list(units) != self.units(split):
            raise ConfigError(f"faces: expected the unit {WHOLE!r}, found {list(units)}")
        self._kept.pop(split, None)
        return self._read(split)

    def counts(self, split: str) -> dict[str, Any]:
        """Return the number of poses read, all of which are kept, once `read` has ended."""
        if split not in self._kept:
            raise ConfigError(f"faces: expected the split {split!r} to have been read to its end before it is counted")
        return {"read": self._kept[split], "kept": self._kept[split], "dropped": {}, "first_dropped": {}}

    def _read(self, split: str) -> Iterator[PoseBatch]:
        kept = 0
        for take in plan_takes(self.options, split, self.seed):
            kept += take.frames
            yield self._batch(take)
        self._kept[split] = kept

    def _batch(self, take: Take) -> PoseBatch:
        n = take.frames
        pictures: dict[str, np.ndarray] = {}
        if self.options.images:
            shot = shoot(take, self.options, self.seed)
            poses = shot.poses
            pictures["images"] = encode_images(shot.images, "png")
            pictures["backgrounds"] = np.repeat(encode_images([shot.background], "png"), n)
        else:
            poses = perform(take, self.options, self.seed).poses
        return PoseBatch(
            poses=poses,
            visibility=np.ones((n, len(FACE68)), np.uint8),
            clip=np.full(n, f"head{take.head:02d}"),
            subject=np.full(n, take.head, np.int32),
            camera=np.full(n, take.sequence, np.int32),
            sequence=np.full(n, take.sequence, np.int32),
            frame=np.arange(n, dtype=np.int32),
            **pictures,
        )


def check_options(options: FacesOptions) -> None:
    """Check what the option types cannot; raises ConfigError."""
    for camera in options.cameras:
        for key in ("yaw", "pitch", "roll", "distance"):
            low, high = getattr(camera, key)
            if low > high:
                raise ConfigError(f"faces: expected cameras.{key} as [low, high], found [{low}, {high}]")
        if camera.distance[0] < 0.5:
            raise ConfigError(f"faces: expected cameras.distance of at least 0.5 m, found {camera.distance[0]}")
    low, high = options.crop.scale
    if not 0 < low <= high <= 1:
        raise ConfigError(f"faces: expected crop.scale as 0 < low <= high <= 1, found [{low}, {high}]")
    for split in SPLITS[: 3 if options.images else 2]:
        heads = getattr(options.subjects, split)
        for head in heads:
            check_head(head)
        if not heads and getattr(options.frames, split):
            raise ConfigError(f"faces: expected a head in subjects.{split}, found none for {split}'s frames")
    if options.frames.train < 1:
        raise ConfigError("faces: expected frames.train of at least 1, found 0")
    for one, other in combinations(SPLITS, 2):
        shared = set(getattr(options.subjects, one)) & set(getattr(options.subjects, other))
        if shared:
            raise ConfigError(f"faces: expected no head in both {one} and {other}, found {min(shared)}")
