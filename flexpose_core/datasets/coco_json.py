"""The keypoint format of COCO: one JSON file of images, annotations and categories.

The file's 240 MB are held as they are, and each annotation is decoded when it is come to: as Python objects they would take
ten times as much.
"""

from __future__ import annotations

import codecs
import math
import sys
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from flexpose_core.datasets.raw import Dropped
from flexpose_core.datasets.untrusted import read_bytes
from flexpose_core.errors import DataError

BATCH = 4096
LARGEST_FILE = 600_000_000
BYTES_AN_ENTRY = 500
MOST_MEMORY = 720_000_000
"""A file and its entries, counted as so many bytes each: COCO's train file, 240 MB and 390,000 entries, counts as 440 MB."""
LARGEST_ENTRY = 1_000_000
MOST_NAMES = 100_000_000
"""Bytes of all pictures' names and ids."""
MOST_KEYPOINTS = 1000
_NUMBERS_A_BATCH = BATCH * 17
_PEOPLE = ("person", "face")
_BOX = ("x", "y", "width", "height")
Key = int | Annotated[str, Meta(max_length=300)]


class _Object(msgspec.Struct, gc=False):
    """Any object: nothing of it is kept."""


class _Form(msgspec.Struct):
    images: list[_Object]
    annotations: list[_Object]
    categories: list[_Object]


class _File(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]


class JsonImage(msgspec.Struct):
    """An entry of `images`; sizes in pixels, 0 where not stated, or null."""

    id: Key
    file_name: Annotated[str, Meta(max_length=1000)] = ""
    width: float | None = 0
    height: float | None = 0

    def __post_init__(self) -> None:
        self.width, self.height = self.width or 0, self.height or 0


class _Category(msgspec.Struct):
    id: Key
    name: str | None = None
    keypoints: list[str] = []


class _Annotation(msgspec.Struct):
    image_id: Key
    id: Key | None = None
    category_id: Key | None = None
    keypoints: list[float | None] | None = None
    num_keypoints: float | None = None
    bbox: list[float | None] | None = None
    iscrowd: float | bool | None = 0


@dataclass(frozen=True)
class JsonRows:
    """Annotations one after the other with the same joint names.

    `index` (n,) is the place in the file, `keypoints` (n, J, 3) are x, y, v, and `boxes` (n, 4) x0, y0, x1, y1 as COCO counts
    pixels in boxes, from the corner of the first one; what is not stated is NaN.
    """

    names: tuple[str, ...]
    index: np.ndarray
    images: list[JsonImage]
    keypoints: np.ndarray
    boxes: np.ndarray
    dropped: tuple[Dropped, ...]


class CocoJson:
    """An annotation file.

    Parameters
    ----------
    boxes_suffice
        Whether annotations with a box and without joints are read as well.
    joints
        What the joints of people are called, where no category names any: then there are boxes alone, of the only category or of
        one called person or face.

    Raises
    ------
    DataError
        If it is no such file, no category of it names its keypoints, or it would take more memory than any original.
    """

    def __init__(self, path: Path, boxes_suffice: bool = False, joints: tuple[str, ...] = ()) -> None:
        self.path, self.boxes_suffice = path, boxes_suffice
        # Editors of Windows put a mark before the text.
        data = read_bytes(path, LARGEST_FILE).removeprefix(codecs.BOM_UTF8)
        memory = len(data) + BYTES_AN_ENTRY * data.count(b"{")
        if memory > MOST_MEMORY:
            raise DataError(
                f"{path}: expected entries that fit {MOST_MEMORY / 1e6:.0f} MB, found {data.count(b'{')} in {len(data)} bytes"
            )
        try:
            # Entries that are no objects are refused before a list is made of them.
            msgspec.json.decode(data, type=_Form)
            self._file = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            numbers = " (NaN and Infinity are no JSON: write null)" if b"NaN" in data or b"Infinity" in data else ""
            raise DataError(
                f"{path}: expected COCO's images, annotations and categories, found: {error}{numbers}"
            ) from error
        self._lost_images: dict[str, tuple[int, int]] = {}
        self.images: dict[Key, JsonImage] = {}
        names = 0
        for index, image in enumerate(_decoded(self._file.images, JsonImage)):
            # Sizes go into int32, and NaN is no size.
            if image is None or not all(0 <= (side or 0) < 2**31 for side in (image.width, image.height)):
                _count(self._lost_images, "damaged entry of a picture", index)
            elif image.id in self.images:
                _count(self._lost_images, "repeated id of a picture", index)
            else:
                self.images[image.id] = image
                names += sys.getsizeof(image.file_name) + sys.getsizeof(image.id)
            if names > MOST_NAMES:
                raise DataError(f"{path}: images: expected names of at most {MOST_NAMES / 1e6:.0f} MB, found more")
        self._file.images.clear()
        categories = [category for category in _decoded(self._file.categories, _Category) if category is not None]
        self.names = {category.id: tuple(category.keypoints) for category in categories if category.keypoints}
        longest = max(map(len, self.names.values()), default=0)
        if longest > MOST_KEYPOINTS:
            raise DataError(f"{path}: categories: expected at most {MOST_KEYPOINTS} keypoints in each, found {longest}")
        if not self.names and boxes_suffice:
            people = [one.id for one in categories if len(categories) == 1 or (one.name or "").lower() in _PEOPLE]
            self.names = dict.fromkeys(people, joints)
        if not self.names:
            raise DataError(f"{path}: categories: expected one that names its keypoints, found none")

    def rows(self, images: Container[Key], unclaimed: bool = True) -> Iterator[JsonRows]:
        """Yield the annotations of these images, up to 4,096 at a time, and what was dropped on the way.

        Crowds, annotations without a keypoint, and damaged or repeated ones are dropped. What is dropped and belongs to no image
        is counted only if `unclaimed`, so that it is counted once of a file that two splits share.
        """
        waiting = _Waiting(self)
        if unclaimed:
            waiting.dropped.update(self._lost_images)
        seen: set[Key] = set()
        for index, annotation in enumerate(_decoded(self._file.annotations, _Annotation)):
            reason = self._refusal(annotation, seen)
            claimed = annotation is not None and annotation.image_id in self.images
            if (annotation.image_id not in images) if claimed else not unclaimed:
                continue
            if reason is not None or annotation is None:
                waiting.drop(reason or "damaged annotation", index)
                continue
            names = self._names_of(annotation)
            if names != waiting.names or len(waiting.index) >= max(1, min(BATCH, _NUMBERS_A_BATCH // len(names))):
                if waiting.index:
                    yield waiting.flush()
                waiting.names = names
            waiting.add(index, annotation)
        if waiting.index or waiting.dropped:
            yield waiting.flush()

    def annotated(self) -> list[Key]:
        """Return the ids of the images that an annotation with joints, which can be used, is of, in the order of these."""
        seen: set[Key] = set()
        of = {
            annotation.image_id
            for annotation in _decoded(self._file.annotations, _Annotation)
            if annotation is not None and self._refusal(annotation, seen) is None and _has_joints(annotation)
        }
        return [key for key in self.images if key in of]

    def leave_out(self, categories: Iterable[Key]) -> None:
        """Read no annotation of these categories."""
        for key in list(categories):
            del self.names[key]

    def without_annotation(self) -> list[Key]:
        """Return the ids of the images that no annotation is of, in the order of these."""
        of = {one.image_id for one in _decoded(self._file.annotations, _Annotation) if one is not None}
        return [key for key in self.images if key not in of]

    def _names_of(self, annotation: _Annotation) -> tuple[str, ...]:
        if annotation.category_id is None and len(self.names) == 1:
            return next(iter(self.names.values()))
        return self.names.get(annotation.category_id, ()) if annotation.category_id is not None else ()

    def _refusal(self, annotation: _Annotation | None, seen: set[Key]) -> str | None:
        """Return why an annotation cannot be used, or None."""
        if annotation is None:
            return "damaged annotation"
        if annotation.id is not None:
            if annotation.id in seen:
                return "repeated id"
            seen.add(annotation.id)
        if annotation.image_id not in self.images:
            return "image not listed"
        if annotation.iscrowd:
            return "crowd"
        names = self._names_of(annotation)
        if not names:
            return "category without these keypoints"
        if annotation.keypoints and annotation.num_keypoints != 0 and len(annotation.keypoints) != 3 * len(names):
            return "wrong number of keypoints"
        if _has_joints(annotation) or (self.boxes_suffice and annotation.bbox is not None):
            return None
        return "no joint annotated"


def _has_joints(annotation: _Annotation) -> bool:
    # Some tools write all joints of everybody, with a flag of 0 where none is marked.
    return bool(annotation.keypoints) and annotation.num_keypoints != 0 and any((annotation.keypoints or [])[2::3])


def _corners(box: list[float | None] | None) -> list[float]:
    """Return x0, y0, x1, y1 of COCO's x, y, width, height, NaN if these are no box."""
    sides = [math.nan if side is None else side for side in box or []]
    if len(sides) != len(_BOX) or not all(map(math.isfinite, sides)) or min(sides[2:]) <= 0:
        return [math.nan] * len(_BOX)
    x, y, width, height = sides
    return [x, y, x + width, y + height]


class _Waiting:
    """Annotations gathered for the next JsonRows."""

    def __init__(self, file: CocoJson) -> None:
        self.file = file
        self.names: tuple[str, ...] = ()
        self.index: list[int] = []
        self.images: list[JsonImage] = []
        self.keypoints: list[list[float]] = []
        self.boxes: list[list[float]] = []
        self.dropped: dict[str, tuple[int, int]] = {}

    def add(self, index: int, annotation: _Annotation) -> None:
        self.index.append(index)
        self.images.append(self.file.images[annotation.image_id])
        # null stands for what was not marked.
        stated = annotation.keypoints if _has_joints(annotation) else None
        numbers = [math.nan] * (3 * len(self.names)) if stated is None else stated
        self.keypoints.append([math.nan if number is None else number for number in numbers])
        self.boxes.append(_corners(annotation.bbox))

    def drop(self, reason: str, index: int) -> None:
        _count(self.dropped, reason, index)

    def flush(self) -> JsonRows:
        keypoints = np.array(self.keypoints, np.float64).reshape(len(self.index), len(self.names), 3)
        dropped = tuple(
            Dropped(reason, count, f"{self.file.path.name}: {'image' if 'picture' in reason else 'annotation'} {first}")
            for reason, (count, first) in self.dropped.items()
        )
        boxes = np.array(self.boxes, np.float64).reshape(len(self.index), len(_BOX))
        rows = JsonRows(self.names, np.array(self.index, np.int64), self.images, keypoints, boxes, dropped)
        self.index, self.images, self.keypoints, self.boxes, self.dropped = [], [], [], [], {}
        return rows


def _count(counts: dict[str, tuple[int, int]], reason: str, index: int) -> None:
    """Count one more, keeping the first."""
    count, first = counts.get(reason, (0, index))
    counts[reason] = count + 1, first


def _decoded(entries: list[msgspec.Raw], kind: type[Any]) -> Iterator[Any]:
    """Yield each entry decoded, None for one that is not of this kind or is larger than any original."""
    decoder = msgspec.json.Decoder(kind)
    for entry in entries:
        try:
            yield None if memoryview(entry).nbytes > LARGEST_ENTRY else decoder.decode(entry)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield None
