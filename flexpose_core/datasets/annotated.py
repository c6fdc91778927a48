"""From a raw reader's joints and pictures to what the cache holds: poses in square crops, cut out and counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flexpose_core.datasets.crops import boxes_of, common_box, crops_around, longer_sides, to_crop
from flexpose_core.datasets.footage import border_colour, cut, median_picture, read_pictures
from flexpose_core.datasets.options import AnnotatedOptions
from flexpose_core.datasets.raw import Picture, RawBatch, RawReader
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images

_PICTURES_AT_A_TIME = 256
_LONGEST_NAME = 120
_ROUNDING = 1e-6
OUTSIDE = "joints outside the picture"
MISSING = "picture missing or unreadable"
MASK_MISSING = "picture or its mask missing or unreadable"
ALL_OUTSIDE = "all joints outside the picture"
FAR_OUT = 1e6  # pixels; no picture is that wide, and beyond it float32 could not tell pixels apart


class Counts:
    """How many records were read and kept, and why the others were dropped."""

    def __init__(self) -> None:
        self.kept = 0
        self.dropped: dict[str, int] = {}
        self.first: dict[str, str] = {}

    def drop(self, reason: str, count: int, first: str) -> None:
        """Count records dropped for a reason; the first ever is remembered by name."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            self.first.setdefault(reason, first)

    def add(self, other: dict[str, Any]) -> None:
        """Add what `summary` said of another part."""
        self.kept += other["kept"]
        for reason, count in other["dropped"].items():
            self.drop(reason, count, other["first_dropped"][reason])

    def summary(self) -> dict[str, Any]:
        """Return plain values: read = kept + all dropped."""
        read = self.kept + sum(self.dropped.values())
        return {"read": read, "kept": self.kept, "dropped": dict(self.dropped), "first_dropped": dict(self.first)}

    def lines(self) -> list[str]:
        """Return what was kept and dropped, for people to read."""
        kept = f"{self.kept} of {self.kept + sum(self.dropped.values())} kept"
        return [kept, *(f"  {count} dropped: {name}, first {self.first[name]}" for name, count in self.dropped.items())]


class AnnotatedReader:
    """Reads an annotated dataset through its raw reader.

    A pose is dropped, and counted, if the stride passes over it, if it lacks joints or they lie outside the picture (unless
    incomplete poses are wanted; where people are cut out by their boxes, even without a joint), if it is smaller than
    `crop.min_side`, or if its picture cannot be read.
    """

    def __init__(self, raw: RawReader, options: AnnotatedOptions) -> None:
        if options.stride > 1 and not raw.is_video:
            raise ConfigError(f"stride: expected 1 in a dataset of single pictures, found {options.stride}")
        self.raw = raw
        self.options = options
        self.skeleton = raw.skeleton
        self._counts: dict[str, Counts] = {}
        self._last_scene: tuple[Sequence[Picture], np.ndarray | None] | None = None

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return self.raw.splits()

    def units(self, split: str) -> list[str]:
        """Return the files or sequences of a split, in reading order."""
        if split not in self.splits():
            raise ConfigError(f"expected a split among {', '.join(self.splits())}, found {split!r}")
        return self.raw.units(split)

    def read(self, split: str, units: Sequence[str]) -> Iterator[PoseBatch]:
        """Yield the poses of these units."""
        counts = self._counts[split] = Counts()
        for unit in units:
            seen = _Seen()
            for batch in self.raw.read(split, unit):
                for dropped in batch.dropped:
                    counts.drop(dropped.reason, dropped.count, dropped.first)
                rows, crops, visible = self._choose(batch, unit, counts)
                if len(rows) and self.options.images:
                    yield from self._with_pictures(batch.take(rows), crops, visible, unit, counts, seen)
                elif len(rows):
                    counts.kept += len(rows)
                    yield pose_batch(batch.take(rows), crops, visible)
            seen.require(unit)

    def counts(self, split: str) -> dict[str, Any]:
        """Return the counts of what was last read of a split."""
        if split not in self._counts:
            raise ConfigError(f"expected the split {split!r} to have been read before it is counted")
        return self._counts[split].summary()

    @property
    def _by_box(self) -> bool:
        return self.options.crop.around == "box"

    @property
    def _missing(self) -> str:
        return MASK_MISSING if self.options.masked else MISSING

    def _choose(self, batch: RawBatch, unit: str, counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows to keep, their crops (m, 4), and which of their joints are visible (m, K)."""
        kept = np.ones(len(batch), bool)

        def drop(where: np.ndarray, reason: str) -> None:
            gone = np.flatnonzero(kept & where)
            if len(gone):
                counts.drop(reason, len(gone), self._name(batch, int(gone[0]), unit))
                kept[gone] = False

        if self.options.stride > 1:
            drop(_ranks(batch) % self.options.stride != 0, "passed over by the stride")
        known = np.isfinite(batch.joints).all(axis=2)
        with np.errstate(invalid="ignore"):
            drop(known.any(axis=1) & (np.abs(np.nan_to_num(batch.joints)) > FAR_OUT).any(axis=(1, 2)), "joints far out")
        visible = known & _in_picture(batch)
        if self.options.complete:
            drop(~known.any(axis=1), "no joint annotated")
            drop(~known.all(axis=1), "joints not annotated")
            drop(~visible.all(axis=1), OUTSIDE)
        elif not self._by_box:
            drop(~known.any(axis=1), "no joint annotated")
            drop(~visible.any(axis=1), ALL_OUTSIDE)
        boxes = boxes_of(batch.joints)
        if self._by_box and len(batch):
            if batch.box is None:
                raise ConfigError("crop.around: expected 'joints', as no boxes are read of this dataset, found 'box'")
            boxes = batch.box
            drop(~np.isfinite(boxes).all(axis=1), "no box annotated")
            with np.errstate(invalid="ignore"):
                drop((np.abs(boxes) > FAR_OUT).any(axis=1), "box far out")
        with np.errstate(invalid="ignore"):
            drop(~(longer_sides(boxes) >= self.options.crop.min_side), "smaller than crop.min_side")
        rows = np.flatnonzero(kept)
        crops = self._crops(boxes[rows], batch.sequence[rows])
        if not self._by_box:
            return rows, crops, visible[rows]
        places = to_crop(batch.joints[rows], crops)
        with np.errstate(invalid="ignore"):
            visible[rows] &= ((places >= -_ROUNDING) & (places <= 1 + _ROUNDING)).all(axis=2)
        if self.options.complete:
            drop(kept & ~visible.all(axis=1), "joints outside the box and its margin")
        chosen = kept[rows]
        return rows[chosen], crops[chosen], visible[rows[chosen]]

    def _name(self, batch: RawBatch, row: int, unit: str) -> str:
        """Return what somebody finds a record by: its file and number there, and its picture where it has one of its own."""
        of_video = self.raw.is_video and batch.footage is None
        picture = "" if batch.source is None or of_video else str(batch.source[row])
        return f"{unit}: record {batch.frame[row]}" + (f" ({picture[:_LONGEST_NAME]!r})" if picture else "")

    def _crops(self, boxes: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        if self.options.crop.per == "pose":
            return crops_around(boxes, self.options.crop)
        crops = np.empty((len(boxes), 4))
        for number in np.unique(sequence):
            rows = sequence == number
            crops[rows] = crops_around(common_box(boxes[rows]), self.options.crop)
        return crops

    def _with_pictures(
        self, batch: RawBatch, crops: np.ndarray, visible: np.ndarray, unit: str, counts: Counts, seen: _Seen
    ) -> Iterator[PoseBatch]:
        if batch.pictures is None:
            raise ConfigError(f"{unit}: images: expected a dataset with pictures, found annotations alone")
        if self.options.masked and any(picture.mask is None for picture in batch.pictures):
            raise ConfigError(f"{unit}: masked: expected a dataset with masks, found pictures alone")
        looked_for = {"pictures": [picture.path for picture in batch.pictures]}
        if self.options.masked:
            looked_for["masks"] = [picture.mask for picture in batch.pictures if picture.mask is not None]
        if not all(seen.any(kind, paths) for kind, paths in looked_for.items()):
            counts.drop(self._missing, len(batch), self._name(batch, 0, unit))
            return
        for number in np.unique(batch.sequence):
            rows = np.flatnonzero(batch.sequence == number)
            yield from self._sequence_with_pictures(batch.take(rows), crops[rows], visible[rows], unit, counts)

    def _sequence_with_pictures(
        self, batch: RawBatch, crops: np.ndarray, visible: np.ndarray, unit: str, counts: Counts
    ) -> Iterator[PoseBatch]:
        pictures = batch.pictures or ()
        masked = self.options.masked
        of_folder = (batch.footage or {}).get(int(batch.sequence[0]))
        footage = pictures if of_folder is None else of_folder
        behind = self._scene(footage, unit, bool(of_folder)) if self.raw.is_video and not masked else None
        shown = pictures if masked else tuple(Picture(picture.path, picture.frame) for picture in pictures)
        # Frames in rising order; read_pictures goes through a video once for the whole sequence.
        images = read_pictures(shown)
        for start in range(0, len(batch), _PICTURES_AT_A_TIME):
            rows, cuts, backgrounds = [], [], []
            for row in range(start, min(start + _PICTURES_AT_A_TIME, len(batch))):
                image = next(images)
                if image is None:
                    counts.drop(self._missing, 1, self._name(batch, row, unit))
                    continue
                stated, size = batch.picture_size[row], np.array([image.shape[1], image.shape[0]])
                if stated.all() and (stated != size).any():
                    turned = (stated[::-1] == size).all()
                    reason = (
                        "picture turned by its EXIF orientation" if turned else "picture of another size than stated"
                    )
                    sizes = "{} × {} stated, {} × {} found".format(*stated, *size)
                    counts.drop(reason, 1, f"{self._name(batch, row, unit)}: {sizes}")
                    continue
                # Where no annotation states the size, only now is it known.
                visible[row] &= _inside(batch.joints[row], size)
                if self.options.complete and not visible[row].all():
                    counts.drop(OUTSIDE, 1, self._name(batch, row, unit))
                    continue
                if not visible[row].any() and not self._by_box:
                    counts.drop(ALL_OUTSIDE, 1, self._name(batch, row, unit))
                    continue
                rows.append(row)
                cuts.append(cut(image, crops[row], self.options.image_size))
                # A picture held upright is of no scene seen lying.
                scene = behind if behind is not None and behind.shape == image.shape else None
                backgrounds.append(self._background(scene, cuts[-1], crops[row]))
            if rows:
                counts.kept += len(rows)
                chosen = np.array(rows)
                kind = self.options.image_format
                yield pose_batch(
                    batch.take(chosen),
                    crops[chosen],
                    visible[chosen],
                    encode_images(cuts, kind),
                    encode_images(backgrounds, kind),
                )

    def _scene(self, footage: Sequence[Picture], unit: str, of_folder: bool) -> np.ndarray | None:
        """Return the median of a camera's pictures, made once for all sequences that these are behind."""
        if self._last_scene is None or self._last_scene[0] is not footage:
            self._last_scene = footage, median_picture(footage)
            # Of videos the pictures are their frames, and nobody can add some.
            if self._last_scene[1] is None and of_folder:
                print(
                    f"{unit}: {footage[0].path}: {len(footage)} pictures of its camera tell no scene: the background is taken to "
                    "be of one colour",
                    file=sys.stderr,
                )
        return self._last_scene[1]

    def _background(self, behind: np.ndarray | None, shown: np.ndarray, crop: np.ndarray) -> np.ndarray:
        if self.options.masked:
            return np.zeros_like(shown)
        return border_colour(shown) if behind is None else cut(behind, crop, self.options.image_size)


class _Seen:
    """Which of a unit's files are there: that none of a kind is means rather that a folder is missing than that all are broken."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.missing: dict[str, Path] = {}

    def any(self, kind: str, paths: Sequence[Path]) -> bool:
        """Return whether any of some files exists."""
        found = any(path.is_file() for path in dict.fromkeys(paths))
        if found:
            self.there.add(kind)
        else:
            self.missing.setdefault(kind, paths[0])
        return found

    def require(self, unit: str) -> None:
        """Raise DataError if files of a kind were looked for and none was there."""
        for kind, path in self.missing.items():
            if kind not in self.there:
                raise DataError(f"{unit}: expected {kind} such as {path}, found no such file")


def _ranks(batch: RawBatch) -> np.ndarray:
    """Return the place (n,) of each frame in its sequence: frame numbers may start anywhere and leave some out."""
    order = np.lexsort((batch.frame, batch.sequence))
    starts = np.flatnonzero(np.diff(batch.sequence[order], prepend=-2))
    lengths = np.diff(starts, append=len(order))
    ranks = np.empty(len(order), int)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return ranks


def _in_picture(batch: RawBatch) -> np.ndarray:
    """Return which joints (n, K) lie on a pixel of the picture, all of them where its size is unknown."""
    size = batch.picture_size[:, None]
    return _inside(batch.joints, size) | (size <= 0).any(axis=2)


def _inside(joints: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return which joints (..., 2) lie on a pixel of a picture of this size (..., 2)."""
    with np.errstate(invalid="ignore"):
        return np.all((joints >= -0.5) & (joints < size - 0.5), axis=-1)


def pose_batch(
    batch: RawBatch,
    crops: np.ndarray,
    visible: np.ndarray,
    images: np.ndarray | None = None,
    backgrounds: np.ndarray | None = None,
) -> PoseBatch:
    """Return raw poses in their crops, with their encoded images if there are any.

    Joints that are not annotated stand at the crop's left upper corner, invisible.
    """
    # Rounded before it is used, so that the way back starts from what is kept.
    crops = crops.astype(np.float32)
    poses = np.nan_to_num(to_crop(batch.joints, crops.astype(np.float64)), nan=0.0)
    return PoseBatch(
        poses=poses.astype(np.float32),
        visibility=visible.astype(np.uint8),
        clip=batch.clip,
        subject=batch.subject,
        camera=batch.camera,
        sequence=batch.sequence,
        frame=batch.frame,
        crop=crops,
        source=batch.source,
        images=images,
        backgrounds=backgrounds,
    )
