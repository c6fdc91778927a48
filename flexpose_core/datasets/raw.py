"""What the reader of an annotated dataset yields: joints in pixels of the original pictures, and where the pictures are.

A raw reader knows a dataset's files and joint order, and nothing of crops, caches or networks; `AnnotatedReader` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.skeletons import Skeleton

NO_CAMERA = -1
NO_SUBJECT = -1
LARGEST_NUMBER = 2**31 - 1
"""Ids, frames and sizes are kept in 32 bits."""


@dataclass(frozen=True)
class Picture:
    """Where the picture of a pose is: an image file, or a frame of a video counted from 0.

    `mask` is an image file that is above 0 on the person, where the dataset has such masks.
    """

    path: Path
    frame: int | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Dropped:
    """Records that a reader met and did not yield: why, how many, and the first of them."""

    reason: str
    count: int
    first: str


@dataclass(frozen=True)
class RawBatch:
    """Poses of one unit (a file or a sequence) as annotated; a batch holds whole sequences.

    Parameters
    ----------
    joints
        (n, K, 2) float64, x right and y down in pixels of the original picture, whose first pixel has its centre at (0, 0);
        NaN where a joint is not annotated.
    clip
        (n,) names of the action or class.
    subject, camera
        (n,) int32, -1 where the dataset has none.
    sequence
        (n,) int32, unique within the split and the same however the split is read: frames of one sequence share subject,
        camera and background.
    frame
        (n,) int32, the frame counted from 0, or the record's number or id in the file.
    source
        (n,) text objects, the picture's file or the video below the dataset's root, "" where not stated; None where there is
        none. In a video the picture is its frame `frame`. Nothing was opened under these names.
    picture_size
        (n, 2) int32 width and height of the original picture in pixels, 0 where unknown.
    pictures
        n of them, or None where they are not asked for.
    dropped
        What was met beside the poses that are here.
    footage
        By sequence, the pictures whose median is its background, where these are not its own alone.
    box
        (n, 4) float64, the annotated boxes x0, y0, x1, y1 in the same pixels, NaN where there is none; None where the dataset's
        are not read.
    """

    joints: np.ndarray
    clip: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    picture_size: np.ndarray
    source: np.ndarray | None = None
    pictures: tuple[Picture, ...] | None = None
    dropped: tuple[Dropped, ...] = ()
    footage: Mapping[int, tuple[Picture, ...]] | None = None
    box: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.joints)
        if self.joints.ndim != 3 or self.joints.shape[2] != 2:
            raise DataError(f"raw batch: expected joints of shape (n, K, 2), found {self.joints.shape}")
        for name in ("clip", "subject", "camera", "sequence", "frame", "picture_size"):
            expected = (n, 2) if name == "picture_size" else (n,)
            if getattr(self, name).shape != expected:
                raise DataError(f"raw batch: expected {name} of shape {expected}, found {getattr(self, name).shape}")
        if self.source is not None and self.source.shape != (n,):
            raise DataError(f"raw batch: expected source of shape {(n,)}, found {self.source.shape}")
        if self.box is not None and self.box.shape != (n, 4):
            raise DataError(f"raw batch: expected box of shape {(n, 4)}, found {self.box.shape}")
        if self.pictures is not None and len(self.pictures) != n:
            raise DataError(f"raw batch: expected {n} pictures, found {len(self.pictures)}")

    def __len__(self) -> int:
        return len(self.joints)

    def take(self, rows: np.ndarray) -> RawBatch:
        """Return the poses at these places, (m,) int, without the records dropped."""
        pictures = None if self.pictures is None else tuple(self.pictures[row] for row in rows)
        source = None if self.source is None else self.source[rows]
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        box = None if self.box is None else self.box[rows]
        return RawBatch(**columns, source=source, pictures=pictures, footage=self.footage, box=box)


_LONGEST_CLIP = 80
_COLUMNS = ("joints", "clip", "subject", "camera", "sequence", "frame", "picture_size")


def joined(batches: Sequence[RawBatch]) -> RawBatch:
    """Return batches of one kind, at least one, as one."""
    sources = [batch.source for batch in batches if batch.source is not None]
    pictures = [batch.pictures for batch in batches if batch.pictures is not None]
    boxes = [batch.box for batch in batches if batch.box is not None]
    return RawBatch(
        **{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in _COLUMNS},
        source=np.concatenate(sources) if sources else None,
        pictures=tuple(picture for own in pictures for picture in own) if pictures else None,
        dropped=tuple(dropped for batch in batches for dropped in batch.dropped),
        footage=None,
        box=np.concatenate(boxes) if boxes else None,
    )


def raw_batch(
    joints: np.ndarray,
    frame: np.ndarray,
    clip: str | np.ndarray = "",
    subject: int | np.ndarray = NO_SUBJECT,
    camera: int | np.ndarray = NO_CAMERA,
    sequence: int | np.ndarray = 0,
    picture_size: tuple[int, int] | np.ndarray = (0, 0),
    source: str | Sequence[str] | None = None,
    pictures: tuple[Picture, ...] | None = None,
    dropped: tuple[Dropped, ...] = (),
    box: np.ndarray | None = None,
) -> RawBatch:
    """Make a RawBatch in which a single value stands for all of its poses."""
    n = len(joints)
    if isinstance(clip, str):
        # Any text of an untrusted file; a long one would be kept once a row.
        clip = np.full(n, clip[:_LONGEST_CLIP].replace("\0", "").encode("utf-8", "replace").decode())
    names = None
    if source is not None:
        names = np.empty(n, object)
        names[:] = source

    def each(value: int | np.ndarray, shape: tuple[int, ...] = (n,)) -> np.ndarray:
        numbers = np.asarray(value)
        if numbers.size and (numbers.min() < -1 or numbers.max() > LARGEST_NUMBER):
            found = numbers.max() if numbers.min() >= -1 else numbers.min()
            raise DataError(f"raw batch: expected numbers from -1 to {LARGEST_NUMBER}, found {found}")
        return np.broadcast_to(numbers.astype(np.int32), shape)

    return RawBatch(
        joints=np.asarray(joints, np.float64),
        clip=clip,
        subject=each(subject),
        camera=each(camera),
        sequence=each(sequence),
        frame=each(frame),
        picture_size=each(np.asarray(picture_size), (n, 2)),
        source=names,
        pictures=pictures,
        dropped=dropped,
        box=box,
    )


class RawReader(Protocol):
    """One dataset's files."""

    skeleton: Skeleton
    is_video: bool
    """Whether frames follow one another in time: only then can a stride thin them out and a median show the background."""

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits, among train, val and test."""

    def units(self, split: str) -> list[str]:
        """Return the names of the files or sequences of a split, in the order in which they are read.

        Raises
        ------
        DataError
            If the root or what the layout requires is missing, naming the path.
        """

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield the poses of a unit, whole sequences at a time.

        A record that is damaged by itself is dropped and counted; a file that cannot be understood raises.

        Raises
        ------
        DataError
            Naming the file, the record, what was expected and what was found.
        """
