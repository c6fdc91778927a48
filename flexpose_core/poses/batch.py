"""What every reader yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np

from flexpose_core.errors import DataError


@dataclass(frozen=True)
class PoseBatch:
    """Poses with their origin, and images where the dataset has them.

    Parameters
    ----------
    poses
        (n, K, 2) float32, x then y, crop-normalised: 0..1 over the square crop, pixel i of S has its centre at (i + 0.5) / S.
    visibility
        (n, K) uint8: 1 where the joint is annotated and inside the picture, 0 elsewhere.
    clip
        (n,) names of the action, class or file.
    subject, camera, sequence, frame
        (n,) int32; frames of one `sequence` share subject, camera and background.
    images
        (n, S, S, 3) uint8 RGB, or None.
    backgrounds
        what is known of the background (S, S, 3) uint8 of each sequence in this batch, or None.
    """

    poses: np.ndarray
    visibility: np.ndarray
    clip: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    images: np.ndarray | None = None
    backgrounds: dict[int, np.ndarray] | None = None

    def __post_init__(self) -> None:
        n = len(self.poses)
        if self.poses.ndim != 3 or self.poses.shape[2] != 2:
            raise DataError(f"pose batch: expected poses of shape (n, K, 2), found {self.poses.shape}")
        for name in ("visibility", "clip", "subject", "camera", "sequence", "frame"):
            found = getattr(self, name).shape
            expected = self.poses.shape[:2] if name == "visibility" else (n,)
            if found != expected:
                raise DataError(f"pose batch: expected {name} of shape {expected}, found {found}")
        if self.images is not None and (self.images.shape[0] != n or self.images.dtype != np.uint8):
            raise DataError(f"pose batch: expected {n} uint8 images, found {self.images.shape} {self.images.dtype}")

    def __len__(self) -> int:
        return len(self.poses)

    def rows(self, start: int, stop: int) -> PoseBatch:
        """Return the poses from `start` to `stop`."""
        cut = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "backgrounds"}
        cut = {name: None if value is None else value[start:stop] for name, value in cut.items()}
        return PoseBatch(**cut, backgrounds=self.backgrounds)


def rebatch(batches: Iterable[PoseBatch], size: int) -> Iterator[PoseBatch]:
    """Yield the same poses in batches of `size`, the last one smaller; holds at most one batch more than it is given."""
    waiting: list[PoseBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        # Nothing may keep the batch alive while the next one is being made.
        del batch
        if count >= size:
            whole = _join(waiting)
            waiting, count = [whole.rows(count - count % size, count)], count % size
            for start in range(0, len(whole) - size + 1, size):
                yield whole.rows(start, start + size)
            del whole
    if count:
        yield _join(waiting)


def _join(batches: list[PoseBatch]) -> PoseBatch:
    names = [f.name for f in fields(PoseBatch) if f.name not in ("images", "backgrounds")]
    rows = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names}
    images = None if batches[0].images is None else np.concatenate([batch.images for batch in batches])
    backgrounds = {sequence: image for batch in batches for sequence, image in (batch.backgrounds or {}).items()}
    return PoseBatch(**rows, images=images, backgrounds=backgrounds or None)
