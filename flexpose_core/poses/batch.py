"""What every reader yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

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
    crop
        (n, 4) float32, the crop (x, y, width, height) in pixels of the original picture, or None where there is none; see
        `flexpose_core.datasets.crops` for the way back.
    source
        (n,) text objects, the path of the original picture or video below the dataset's root, "" where it is not stated; None
        where there are no originals. In a video it is the frame `frame`.
    images, backgrounds
        (n,) objects, the encoded image of each pose and of what is known of its background, or None; see `encode_images`.
    """

    poses: np.ndarray
    visibility: np.ndarray
    clip: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    crop: np.ndarray | None = None
    source: np.ndarray | None = None
    images: np.ndarray | None = None
    backgrounds: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.poses)
        if self.poses.ndim != 3 or self.poses.shape[2] != 2:
            raise DataError(f"pose batch: expected poses of shape (n, K, 2), found {self.poses.shape}")
        for name in ("visibility", "clip", "subject", "camera", "sequence", "frame"):
            found = getattr(self, name).shape
            expected = self.poses.shape[:2] if name == "visibility" else (n,)
            if found != expected:
                raise DataError(f"pose batch: expected {name} of shape {expected}, found {found}")
        for name, shape in {"crop": (n, 4), "source": (n,), "images": (n,), "backgrounds": (n,)}.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise DataError(f"pose batch: expected {name} of shape {shape}, found {value.shape}")
        if (self.images is None) != (self.backgrounds is None):
            raise DataError("pose batch: expected images and backgrounds together, found one of them")

    def __len__(self) -> int:
        return len(self.poses)

    def rows(self, start: int, stop: int) -> PoseBatch:
        """Return the poses from `start` to `stop`."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {name: None if value is None else value[start:stop] for name, value in columns.items()}
        return PoseBatch(**cut)


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
    if len(batches) == 1:
        return batches[0]
    columns = {f.name: [getattr(batch, f.name) for batch in batches] for f in fields(PoseBatch)}
    lacking = [name for name, parts in columns.items() if 0 < sum(part is None for part in parts) < len(parts)]
    if lacking:
        raise DataError(f"pose batches: expected {lacking[0]} in all of them or in none, found it in some")
    joined: dict[str, Any] = {
        name: None if parts[0] is None else np.concatenate(parts) for name, parts in columns.items()
    }
    return PoseBatch(**joined)
