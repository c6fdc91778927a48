"""Leeds Sports Poses (Johnson and Everingham 2010) and its extension (2011): 14 joints of people scaled to one size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.joint_maps import both_sides, map_joints
from flexpose_core.datasets.options import LspExtendedOptions, LspOptions
from flexpose_core.datasets.raw import Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import held_out
from flexpose_core.datasets.untrusted import load_mat5
from flexpose_core.errors import DataError
from flexpose_core.skeletons import BODY15

FILE = "joints.mat"
TRAINING_POSES = 1000
JOINTS = (
    "r_ank", "r_kne", "r_hip", "l_hip", "l_kne", "l_ank", "r_wri", "r_elb", "r_sho", "l_sho", "l_elb", "l_wri", "neck", "head_top",
)  # fmt: skip
SOURCES = {
    "head": "head_top",
    "neck": "neck",
    "pelvis": ("r_hip", "l_hip"),
    **both_sides(shoulder="{}_sho", elbow="{}_elb", wrist="{}_wri", hip="{}_hip", knee="{}_kne", ankle="{}_ank"),
}


class _LspReader:
    skeleton = BODY15
    is_video = False
    digits = 4

    def __init__(self, options: LspOptions | LspExtendedOptions) -> None:
        self.options = options
        self.root = Path(options.root)

    def units(self, split: str) -> list[str]:
        """Return the one file."""
        if not (self.root / FILE).is_file():
            raise DataError(f"{self.root / FILE}: no such file")
        return [FILE]

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield the poses of a split at once: there are at most 10,000."""
        path = self.root / unit
        stored = np.asarray(load_mat5(path, "joints")["joints"])
        if stored.ndim != 3 or stored.dtype.kind not in "iuf":
            raise DataError(f"{path}: joints: expected numbers of 3 dimensions, found shape {stored.shape}")
        coordinates, annotated = self._unpack(stored, path)
        # MATLAB counts pixels from 1.
        raw = np.where(annotated[..., None] & np.isfinite(coordinates), coordinates - 1, np.nan)
        rows = self._rows(split, len(raw))
        sources = [f"images/im{row + 1:0{self.digits}d}.jpg" for row in rows]
        pictures = tuple(Picture(self.root / source) for source in sources) if self.options.images else None
        joints = map_joints(raw[rows], JOINTS, SOURCES, BODY15)
        yield raw_batch(joints, rows, sequence=rows, source=sources, pictures=pictures)

    def _unpack(self, stored: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _rows(self, split: str, count: int) -> np.ndarray:
        raise NotImplementedError

    def _of_training(self, split: str, count: int) -> np.ndarray:
        chosen = held_out([f"{row:06d}" for row in range(count)], self.options.held_out)
        return np.array([row for row in range(count) if (f"{row:06d}" in chosen) == (split == "val")], int)


class LspReader(_LspReader):
    """The original 2,000 poses: the first half trains, the second tests.

    The third number of a joint is 1 where it is occluded; its place is annotated all the same.
    """

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def _unpack(self, stored: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
        if stored.shape[:2] != (3, len(JOINTS)):
            raise DataError(f"{path}: joints: expected shape (3, {len(JOINTS)}, poses), found {stored.shape}")
        return stored[:2].transpose(2, 1, 0), np.ones((stored.shape[2], len(JOINTS)), bool)

    def _rows(self, split: str, count: int) -> np.ndarray:
        if split == "test":
            return np.arange(min(TRAINING_POSES, count), count)
        return self._of_training(split, min(TRAINING_POSES, count))


class LspExtendedReader(_LspReader):
    """The 10,000 further training poses; a joint whose third number is 0 is not annotated, its place holds junk."""

    digits = 5

    def splits(self) -> tuple[str, ...]:
        """Return train and val."""
        return ("train", "val")

    def _unpack(self, stored: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
        if stored.shape[:2] != (len(JOINTS), 3):
            raise DataError(f"{path}: joints: expected shape ({len(JOINTS)}, 3, poses), found {stored.shape}")
        return stored[:, :2].transpose(2, 0, 1), stored[:, 2].T > 0

    def _rows(self, split: str, count: int) -> np.ndarray:
        return self._of_training(split, count)
