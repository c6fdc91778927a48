"""The pose cache: one HDF5 file a split, the form in which every later stage reads poses.

Layout (N poses, K joints, Q sequences)

    poses        (N, K, 2) float32   crop-normalised, see PoseBatch
    visibility   (N, K)    uint8
    clip         (N,)      int32     into `clip_names`
    clip_names   (C,)      text
    subject, camera, sequence, frame   (N,) int32
    images       (N, S, S, 3) uint8        only in datasets with images
    backgrounds  (Q, S, S, 3) uint8        with them: what is known of the background of each sequence
    background_sequence (Q,) int32         the sequence each background belongs to

Attributes: `format`, `skeleton`, `joints`, `count`, `checksum` (over `poses`) and, as JSON, whatever the writer states about
the origin: normalisation and its inverse, source, counts read, kept and dropped by reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from flexpose_core.errors import DataError, OutputError
from flexpose_core.files import atomic_path, digest, require_space
from flexpose_core.poses.batch import PoseBatch, rebatch
from flexpose_core.skeletons import Skeleton, skeleton_named

FORMAT = "flexpose-poses-1"
CHUNK = 1024
IMAGE_CHUNK = 64
_ROW_FIELDS = ("subject", "camera", "sequence", "frame")


@dataclass(frozen=True)
class PoseSet:
    """The content of a cache; see the module's layout. `background_index` is the row of `backgrounds` of each pose."""

    skeleton: Skeleton
    poses: np.ndarray
    visibility: np.ndarray
    clip: np.ndarray
    subject: np.ndarray
    camera: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    images: np.ndarray | None
    backgrounds: np.ndarray | None
    background_index: np.ndarray | None
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.poses)


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


def write_cache(path: str | Path, batches: Iterable[PoseBatch], skeleton: Skeleton, attributes: dict[str, Any]) -> int:
    """Write batches as they come; memory does not grow with their number.

    `attributes` is read after the last batch, so that a reader may fill in its counts while it goes.

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
    with atomic_path(path) as partial:
        try:
            with h5py.File(partial, "w") as file:
                count = _CacheWriter(file, skeleton, path).write(batches)
                file.attrs["attributes"] = json.dumps(attributes, sort_keys=True)
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{path}: could not be written: {str(error).splitlines()[0]}") from error
    return count


class _CacheWriter:
    def __init__(self, file: h5py.File, skeleton: Skeleton, path: str | Path) -> None:
        self.file, self.skeleton, self.path = file, skeleton, path
        self.clips: dict[str, int] = {}
        self.backgrounds: dict[int, np.ndarray] = {}
        self.count = 0

    def write(self, batches: Iterable[PoseBatch]) -> int:
        # Whole chunks at a time: the file's bytes then do not depend on how the reader batches.
        for batch in rebatch(batches, CHUNK):
            self._check(batch)
            self._append(batch)
        if not self.count:
            raise DataError(f"{self.path}: expected at least one pose, found none")
        self.file["clip_names"] = np.array(list(self.clips), dtype=h5py.string_dtype())
        if self.backgrounds:
            sequences = sorted(self.backgrounds)
            self.file["background_sequence"] = np.array(sequences, np.int32)
            self.file["backgrounds"] = np.stack([self.backgrounds[sequence] for sequence in sequences])
        poses = self.file["poses"]
        self.file.attrs.update(
            format=FORMAT,
            skeleton=self.skeleton.name,
            joints=json.dumps(self.skeleton.joints),
            count=self.count,
            checksum=_poses_checksum(poses),
        )
        return self.count

    def _check(self, batch: PoseBatch) -> None:
        if batch.poses.shape[1] != len(self.skeleton):
            raise DataError(
                f"{self.path}: expected {len(self.skeleton)} joints of {self.skeleton.name}, found {batch.poses.shape[1]}"
            )
        finite = np.isfinite(batch.poses).all(axis=(1, 2))
        if not finite.all():
            raise DataError(f"{self.path}: pose {self.count + int(np.argmin(finite))}: expected finite coordinates")

    def _append(self, batch: PoseBatch) -> None:
        codes = np.array([self.clips.setdefault(str(name), len(self.clips)) for name in batch.clip], np.int32)
        self._extend("poses", np.asarray(batch.poses, np.float32), CHUNK)
        self._extend("visibility", np.asarray(batch.visibility, np.uint8), CHUNK)
        self._extend("clip", codes, CHUNK)
        for name in _ROW_FIELDS:
            self._extend(name, np.asarray(getattr(batch, name), np.int32), CHUNK)
        if batch.images is not None:
            self._extend("images", batch.images, IMAGE_CHUNK)
            self.backgrounds.update(batch.backgrounds or {})
        self.count += len(batch)

    def _extend(self, name: str, rows: np.ndarray, chunk: int) -> None:
        if name not in self.file:
            shape = (0, *rows.shape[1:])
            self.file.create_dataset(name, shape, rows.dtype, maxshape=(None, *shape[1:]), chunks=(chunk, *shape[1:]))
        dataset = self.file[name]
        if dataset.shape[0] != self.count or dataset.shape[1:] != rows.shape[1:]:
            raise DataError(f"{self.path}: {name}: expected rows of shape {dataset.shape[1:]}, found {rows.shape[1:]}")
        require_space(self.path, rows.nbytes)
        dataset.resize(self.count + len(rows), axis=0)
        dataset[self.count :] = rows


def load_cache(path: str | Path, images: bool = False) -> PoseSet:
    """Load a cache whole (a million body poses are 120 MB), with its images if asked.

    Raises
    ------
    DataError
        If the file is missing, damaged, not a pose cache, or has no images where they are asked for.
    """
    with open_cache(path) as file:
        attributes = describe_cache(file, path)
        skeleton = skeleton_named(file.attrs["skeleton"])
        if images and "images" not in file:
            raise DataError(f"{path}: expected a cache with images, found poses alone")
        try:
            names = file["clip_names"].asstr()[:]
            rows = {name: file[name][:] for name in _ROW_FIELDS}
            backgrounds = file["backgrounds"][:] if images else None
            index = None
            if images:
                index = np.searchsorted(file["background_sequence"][:], rows["sequence"])
            return PoseSet(
                skeleton=skeleton,
                poses=file["poses"][:],
                visibility=file["visibility"][:],
                clip=names[file["clip"][:]],
                images=file["images"][:] if images else None,
                backgrounds=backgrounds,
                background_index=index,
                attributes=attributes,
                **rows,
            )
        except (KeyError, OSError, IndexError, ValueError) as error:
            raise DataError(f"{path}: damaged pose cache: {error}") from error


def open_cache(path: str | Path) -> h5py.File:
    """Open a cache for reading in pieces, its checksum verified; close it after use."""
    if not Path(path).exists():
        raise DataError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: expected an HDF5 pose cache, found {str(error).splitlines()[0]}") from error
    try:
        if file.attrs.get("format") != FORMAT:
            raise DataError(f"{path}: expected format {FORMAT!r}, found {file.attrs.get('format')!r}")
        _verify(file, path)
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


def _verify(file: h5py.File, path: str | Path) -> None:
    skeleton = skeleton_named(file.attrs["skeleton"])
    try:
        poses = file["poses"]
        expected = (int(file.attrs["count"]), len(skeleton), 2)
        if poses.shape != expected or poses.dtype != np.float32:
            raise DataError(f"{path}: expected poses of shape {expected} float32, found {poses.shape} {poses.dtype}")
        found = _poses_checksum(poses)
    except (KeyError, OSError) as error:
        raise DataError(f"{path}: damaged pose cache: {error}") from error
    if found != file.attrs["checksum"]:
        raise DataError(f"{path}: damaged pose cache: expected checksum {file.attrs['checksum']}, found {found}")


def _poses_checksum(poses: h5py.Dataset, rows: int = 64 * CHUNK) -> str:
    chunks = (poses[start : start + rows] for start in range(0, poses.shape[0], rows))
    return digest(*(digest(np.ascontiguousarray(chunk).data).encode() for chunk in chunks))
