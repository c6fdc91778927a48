"""The pose cache: one HDF5 file a split, the form in which every later stage reads poses.

Layout (N poses, K joints, Q backgrounds)

    poses        (N, K, 2) float32   crop-normalised, see PoseBatch
    visibility   (N, K)    uint8
    clip         (N,)      int32     into `clip_names`
    clip_names   (C,)      text
    subject, camera, sequence, frame   (N,) int32
    crop         (N, 4)    float32   where poses were cut out of larger pictures
    source       (N,)      int32     there too, the original picture or video, into names of which the
    source_names (B",)     uint8     UTF-8 text stands one after the other; one that follows itself is kept once
    source_ends  (C',)     int64     where each ends
    images       (B,)      uint8     only in datasets with images: encoded, one after the other
    image_ends   (N,)      int64     where each ends
    backgrounds  (B',)     uint8     with them, what is known of the background, also encoded
    background_ends (Q,)   int64
    background   (N,)      int32     the background of each pose

Attributes: `format`, `skeleton`, `joints`, `count`, `image_size`, `image_checksum` (which images and backgrounds these are) and, as
JSON, whatever the writer states about the origin: normalisation and its inverse, source, counts read, kept and dropped by reason.
Every byte is under a checksum, see `flexpose_core.poses.seal`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from flexpose_core.errors import DataError, OutputError
from flexpose_core.files import atomic_path, digest, require_space
from flexpose_core.poses.batch import PoseBatch, rebatch
from flexpose_core.poses.images import EncodedImages, decode_image
from flexpose_core.poses.seal import check_seal, write_seal
from flexpose_core.poses.sources import Sources
from flexpose_core.skeletons import Skeleton, skeleton_named

FORMAT = "flexpose-poses-3"
CHUNK = 1024
BYTES_CHUNK = 1 << 16
IN_MEMORY = 512_000_000
"""Encoded images of fewer bytes than this are loaded whole; more are read from the file when they are asked for."""
_INT32 = np.iinfo(np.int32)
_ROW_FIELDS = ("subject", "camera", "sequence", "frame")
_REPETITIVE = (*_ROW_FIELDS, "clip", "visibility", "background", "source", "source_names", "source_ends")


@dataclass(frozen=True)
class PoseSet:
    """The content of a cache; see the module's layout."""

    skeleton: Skeleton
    poses: np.ndarray
    visibility: np.ndarray
    clip: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    crop: np.ndarray | None
    source: Sources | None
    images: EncodedImages | None
    backgrounds: EncodedImages | None
    background: np.ndarray | None
    image_checksum: str
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def pictures_checksum(self) -> str:
        """Which images and backgrounds these are, which of them belong together, and which are of one sequence."""
        places = () if self.background is None else (self.background.tobytes(),)
        return digest(self.image_checksum.encode(), self.sequence.tobytes(), *places)


def plain_batch(poses: np.ndarray, clip: str | np.ndarray = "", first: int = 0) -> PoseBatch:
    """Wrap poses without a camera, such as generated ones, all joints visible and numbered from `first`."""
    n = len(poses)
    none = np.zeros(n, np.int32)
    return PoseBatch(
        poses=np.asarray(poses, np.float32),
        visibility=np.ones(poses.shape[:2], np.uint8),
        clip=np.full(n, clip) if isinstance(clip, str) else clip,
        subject=none,
        camera=none,
        sequence=none,
        frame=np.arange(first, first + n, dtype=np.int32),
    )


def write_cache(
    path: str | Path,
    batches: Iterable[PoseBatch],
    skeleton: Skeleton,
    attributes: dict[str, Any],
    may_be_empty: bool = False,
) -> int:
    """Write batches as they come; memory does not grow with their number.

    `attributes` is read after the last batch, so that a reader may fill in its counts while it goes. Without `may_be_empty`,
    which is for parts of a set, there must be a pose.

    Returns
    -------
    The number of poses written.

    Raises
    ------
    DataError
        If a batch does not fit the skeleton, holds a number that is not finite, or there is no pose at all.
    OutputError
        If the file could not be written whole; nothing is left behind then.
    """
    try:
        with atomic_path(path) as partial:
            try:
                with h5py.File(partial, "w") as file:
                    count = _CacheWriter(file, skeleton, path).write(_produced(batches), may_be_empty)
                    file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
                write_seal(partial)
            except (OSError, RuntimeError) as error:
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise OutputError(f"{path}: could not be written: {reason}") from error
    except _ProducerError as error:
        raise error.error from None
    return count


class _ProducerError(Exception):
    """What a reader or a network raised, which is not about writing."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _produced(batches: Iterable[PoseBatch]) -> Iterator[PoseBatch]:
    try:
        yield from batches
    except (OSError, RuntimeError) as error:
        raise _ProducerError(error) from error


class _CacheWriter:
    def __init__(self, file: h5py.File, skeleton: Skeleton, path: str | Path) -> None:
        self.file, self.skeleton, self.path = file, skeleton, path
        self.clips: dict[str, int] = {}
        self.count = 0
        self.sources = _BytesWriter(self, "source_names", "source_ends")
        self.images = _BytesWriter(self, "images", "image_ends")
        self.backgrounds = _BytesWriter(self, "backgrounds", "background_ends")

    def write(self, batches: Iterable[PoseBatch], may_be_empty: bool) -> int:
        # Whole chunks at a time: the file's bytes then do not depend on how the reader batches.
        for batch in rebatch(batches, CHUNK):
            self._check(batch)
            self._append(batch)
        if not self.count and not may_be_empty:
            raise DataError(f"{self.path}: expected at least one pose, found none")
        self.dataset("poses", np.float32, (len(self.skeleton), 2), CHUNK)
        self.file["clip_names"] = np.array(list(self.clips), dtype=h5py.string_dtype())
        self.file.attrs.update(
            format=FORMAT,
            skeleton=self.skeleton.name,
            joints=json.dumps(self.skeleton.joints),
            count=self.count,
        )
        if self.images.count:
            first = EncodedImages(self.file["images"], self.file["image_ends"][:1], 0, str(self.path)).encoded(0)
            held = digest(self.images.state.digest(), self.backgrounds.state.digest())
            self.file.attrs.update(image_size=_side(first, self.path), image_checksum=held)
        return self.count

    def _check(self, batch: PoseBatch) -> None:
        if batch.poses.shape[1] != len(self.skeleton):
            raise DataError(
                f"{self.path}: expected {len(self.skeleton)} joints of {self.skeleton.name}, found {batch.poses.shape[1]}"
            )
        finite = np.isfinite(batch.poses).all(axis=(1, 2))
        if not finite.all():
            raise DataError(f"{self.path}: pose {self.count + int(np.argmin(finite))}: expected finite coordinates")
        for name in _ROW_FIELDS:
            values = np.asarray(getattr(batch, name))
            beyond = np.flatnonzero((values < _INT32.min) | (values > _INT32.max))
            if len(beyond):
                place = int(beyond[0])
                raise DataError(
                    f"{self.path}: pose {self.count + place}: {name}: expected a number of 32 bits, found {values[place]}"
                )

    def _append(self, batch: PoseBatch) -> None:
        codes = np.array([self.clips.setdefault(str(name), len(self.clips)) for name in batch.clip], np.int32)
        self._extend("poses", np.asarray(batch.poses, np.float32))
        self._extend("visibility", np.asarray(batch.visibility, np.uint8))
        self._extend("clip", codes)
        for name in _ROW_FIELDS:
            self._extend(name, np.asarray(getattr(batch, name), np.int32))
        if batch.crop is not None:
            self._extend("crop", np.asarray(batch.crop, np.float32))
        if batch.source is not None:
            # Not looked up among all: a dataset of stills has as many names as poses.
            names = [str(name).encode("utf-8", "surrogateescape") for name in batch.source]
            self._extend("source", self.sources.append_runs(names))
        if batch.images is not None and batch.backgrounds is not None:
            self.images.append(list(batch.images))
            self._extend("background", self.backgrounds.append_runs(list(batch.backgrounds)))
        self.count += len(batch)

    def _extend(self, name: str, rows: np.ndarray) -> None:
        dataset = self.dataset(name, rows.dtype, rows.shape[1:], CHUNK)
        if dataset.shape[0] != self.count or dataset.shape[1:] != rows.shape[1:]:
            raise DataError(f"{self.path}: {name}: expected rows of shape {dataset.shape[1:]}, found {rows.shape[1:]}")
        self.append(dataset, rows)

    def dataset(self, name: str, dtype: np.dtype | type, shape: tuple[int, ...], chunk: int) -> h5py.Dataset:
        """Return a dataset that grows, made empty if it is not there."""
        if name not in self.file:
            # Ids and flags repeat; coordinates and encoded images do not, and are read back faster as they are.
            small = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if name in _REPETITIVE else {}
            self.file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape), **small)
        return self.file[name]

    def append(self, dataset: h5py.Dataset, rows: np.ndarray) -> None:
        """Write rows behind the dataset's last one."""
        require_space(self.path, rows.nbytes)
        count = len(dataset)
        dataset.resize(count + len(rows), axis=0)
        dataset[count:] = rows


class _BytesWriter:
    """Encoded images or names, one after the other, and where each ends."""

    def __init__(self, cache: _CacheWriter, data: str, ends: str) -> None:
        self.cache, self.data, self.ends = cache, data, ends
        self.count = self.size = 0
        self.last: bytes | None = None
        self.state = hashlib.blake2b(digest_size=16)

    def append_runs(self, encoded: list[bytes]) -> np.ndarray:
        """Write each entry that differs from the one before it, and return the numbers (n,) int32 of all."""
        fresh, numbers = [], []
        for data in encoded:
            if data != self.last:
                fresh.append(data)
                self.last = data
            numbers.append(self.count + len(fresh) - 1)
        self.append(fresh)
        return np.array(numbers, np.int32)

    def append(self, encoded: list[bytes]) -> None:
        if not encoded:
            return
        ends = self.size + np.cumsum([len(data) for data in encoded], dtype=np.int64)
        joined = b"".join(encoded)
        for data in encoded:
            self.state.update(len(data).to_bytes(8, "little"))
        self.state.update(joined)
        self.cache.append(self.cache.dataset(self.ends, np.int64, (), CHUNK), ends)
        self.cache.append(self.cache.dataset(self.data, np.uint8, (), BYTES_CHUNK), np.frombuffer(joined, np.uint8))
        self.count, self.size = self.count + len(encoded), int(ends[-1])


def _side(encoded: bytes, path: str | Path) -> int:
    image = decode_image(encoded)
    if image is None or image.shape[0] != image.shape[1]:
        raise DataError(f"{path}: expected square images, found {None if image is None else image.shape}")
    return int(image.shape[0])


def load_cache(path: str | Path, images: bool = False) -> PoseSet:
    """Load a cache whole (a million body poses are 120 MB), with its images if asked: those stay encoded.

    Raises
    ------
    DataError
        If the file is missing, damaged, not a pose cache, or has no images where they are asked for.
    """
    file = open_cache(path, images)
    try:
        attributes = describe_cache(file, path)
        names = file["clip_names"].asstr()[:]
        return PoseSet(
            skeleton=skeleton_named(file.attrs["skeleton"]),
            poses=file["poses"][:],
            visibility=file["visibility"][:],
            clip=names[file["clip"][:]],
            crop=file["crop"][:] if "crop" in file else None,
            source=_sources(file, path, slice(None), whole=True),
            images=cached_images(file, path) if images else None,
            backgrounds=cached_images(file, path, "background") if images else None,
            background=file["background"][:] if images else None,
            image_checksum=file.attrs["image_checksum"] if images else "",
            attributes=attributes,
            **{name: file[name][:] for name in _ROW_FIELDS},
        )
    except (KeyError, OSError, IndexError, ValueError) as error:
        raise DataError(f"{path}: damaged pose cache: {error}") from error
    finally:
        if not images or file["images"].size < IN_MEMORY:
            file.close()


def _sources(file: h5py.File, path: str | Path, rows: slice, whole: bool = False) -> Sources | None:
    """Return the originals of these poses of an open cache, or None; if not `whole`, as long as it stays open."""
    if "source" not in file:
        return None
    text, ends = file["source_names"], file["source_ends"]
    held = (text[:], ends[:]) if whole else (text, ends)
    return Sources(file["source"][rows], *held, f"{path}: damaged pose cache")


def cached_images(file: h5py.File, path: str | Path, kind: Literal["image", "background"] = "image") -> EncodedImages:
    """Return the images, or the backgrounds, of an open cache: in memory, or, if they are many, as long as it stays open."""
    data = file[f"{kind}s"]
    # Both or neither, so that who closes the file need only look at one.
    held = data if file["images"].size >= IN_MEMORY else data[:]
    return EncodedImages(held, file[f"{kind}_ends"][:], int(file.attrs["image_size"]), f"{path}: {kind}")


def open_cache(path: str | Path, images: bool | Literal["if any"] = False) -> h5py.File:
    """Open a cache for reading in pieces, checked to be whole, its images only if asked for; close it after use."""
    check_seal(path, bool(images))
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: expected an HDF5 pose cache, found {str(error).splitlines()[0]}") from error
    try:
        if file.attrs.get("format") != FORMAT:
            raise DataError(f"{path}: expected format {FORMAT!r}, found {file.attrs.get('format')!r}")
        skeleton, poses = skeleton_named(file.attrs["skeleton"]), file["poses"]
        expected = (int(file.attrs["count"]), len(skeleton), 2)
        if poses.shape != expected or poses.dtype != np.float32:
            raise DataError(f"{path}: expected poses of shape {expected} float32, found {poses.shape} {poses.dtype}")
        if images is True and "images" not in file:
            raise DataError(f"{path}: expected a cache with images, found poses alone")
    except (KeyError, OSError) as error:
        file.close()
        raise DataError(f"{path}: damaged pose cache: {error}") from error
    except BaseException:
        file.close()
        raise
    return file


def describe_cache(file: h5py.File, path: str | Path) -> dict[str, Any]:
    """Return what the writer stated about the origin of an open cache."""
    try:
        return json.loads(file.attrs["attributes"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: damaged pose cache: {error}") from error


def read_rows(
    file: h5py.File,
    path: str | Path,
    rows: np.ndarray,
    images: EncodedImages | None = None,
    backgrounds: EncodedImages | None = None,
) -> PoseBatch:
    """Return some poses (rising row numbers) of an open cache, with their images as they are encoded if these are given."""
    # A span at a time: HDF5 is slow at picking single rows.
    low, high = int(rows[0]), int(rows[-1]) + 1

    def column(name: str) -> np.ndarray:
        return file[name][low:high][rows - low]

    try:
        names = file["clip_names"].asstr()[:]
        sources = _sources(file, path, slice(low, high))
        return PoseBatch(
            poses=column("poses"),
            visibility=column("visibility"),
            clip=names[column("clip")],
            crop=column("crop") if "crop" in file else None,
            source=None if sources is None else sources[rows - low],
            images=None if images is None else _encoded(images, rows),
            backgrounds=None if backgrounds is None else _encoded(backgrounds, column("background")),
            **{name: column(name) for name in _ROW_FIELDS},
        )
    except (KeyError, OSError, IndexError, ValueError) as error:
        raise DataError(f"{path}: damaged pose cache: {error}") from error


def _encoded(images: EncodedImages, rows: np.ndarray) -> np.ndarray:
    held = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        held[place] = held[place - 1] if place and row == rows[place - 1] else images.encoded(int(row))
    return held
