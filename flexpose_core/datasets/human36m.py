"""Human3.6M (Ionescu et al. 2014): D2_Positions/*.cdf, a video and a file for each sequence and camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.cdf import load_cdf
from flexpose_core.datasets.human36m_joints import CAMERA_SIZES, JOINTS_32, SOURCES, action_of, camera_of
from flexpose_core.datasets.joint_maps import map_joints
from flexpose_core.datasets.options import Human36mOptions
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import UnitNumbers, part_of_training
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15

PLACES = ("MyPoseFeatures/D2_Positions", "Poses_D2_Positions")
"""Where the 2D poses lie, as unpacked by hand and as the archives are named."""


class Human36mReader:
    """Reads a file of one sequence and camera; files that join all actions (`_ALL`) are passed over."""

    skeleton = BODY15
    is_video = True

    def __init__(self, options: Human36mOptions) -> None:
        unknown = sorted(set(options.cameras) - set(CAMERA_SIZES))
        if unknown:
            known = ", ".join(map(str, CAMERA_SIZES))
            raise ConfigError(f"human36m: cameras: expected some of {known}, found {unknown[0]}")
        self.options = options
        self.root = Path(options.root)
        self._numbers = UnitNumbers()

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the files of a split, such as S1/MyPoseFeatures/D2_Positions/Walking 1.54138969.cdf."""
        subjects = self.options.subjects.test if split == "test" else self.options.subjects.train
        if not subjects:
            raise DataError(f"{self.root}: expected subjects.{split}, found none")
        names = [name for subject in subjects for name in self._of_subject(subject)]
        stems = [] if names else [path.stem for subject in subjects for path in self._files_of(subject)]
        known = sorted({str(action_of(stem)) for stem in stems if not stem.startswith("_ALL")})
        if known:
            unknown = ", ".join(action for action in self.options.actions if action not in known)
            wanted = unknown or f"none of cameras {', '.join(map(str, self.options.cameras))}"
            raise ConfigError(f"human36m: actions: expected some of {', '.join(known[:20])}, found {wanted}")
        if not names:
            raise DataError(f"{self.root}: expected files such as S{subjects[0]}/{PLACES[0]}/*.cdf, found none")
        if split == "test":
            return names
        # All cameras of a sequence are held out together.
        kept = set(part_of_training([_sequence(name) for name in names], split, self.options.held_out))
        return [name for name in names if _sequence(name) in kept]

    def _of_subject(self, subject: int) -> list[str]:
        paths = self._files_of(subject)
        return [path.relative_to(self.root).as_posix() for path in paths if self._is_wanted(path.stem)]

    def _files_of(self, subject: int) -> list[Path]:
        folders = [self.root / f"S{subject}" / place for place in PLACES]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        return sorted(folder.glob("*.cdf")) if folder else []

    def _is_wanted(self, name: str) -> bool:
        action = action_of(name)
        if name.startswith("_ALL") or camera_of(name) not in self.options.cameras:
            return False
        return not self.options.actions or action in self.options.actions

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield one sequence as one camera sees it."""
        path = self.root / unit
        stored = load_cdf(path, "Pose")
        width = 2 * len(JOINTS_32)
        if stored.ndim < 2 or stored.shape[-1] != width or stored.size % width:
            raise DataError(f"{path}: Pose: expected shape (1, frames, {width}), found {stored.shape}")
        raw = stored.reshape(-1, len(JOINTS_32), 2).astype(np.float64)
        missing = ~np.isfinite(raw).all(axis=(1, 2)) | (raw == 0).all(axis=(1, 2))
        rows, lost = np.flatnonzero(~missing), np.flatnonzero(missing)
        camera = camera_of(path.stem) or 0
        subject = int(unit.partition("/")[0].removeprefix("S"))
        source = f"S{subject}/Videos/{path.stem}.mp4"
        video = self.root / source
        pictures = tuple(Picture(video, int(row)) for row in rows) if self.options.images else None
        yield raw_batch(
            map_joints(raw[rows], JOINTS_32, SOURCES, BODY15),
            rows,
            clip=action_of(path.stem),
            subject=subject,
            camera=camera,
            sequence=self._numbers.of(split, unit, self.units),
            picture_size=CAMERA_SIZES[camera],
            source=source,
            pictures=pictures,
            dropped=(Dropped("coordinates missing", len(lost), f"{unit}: record {lost[0]}"),) if len(lost) else (),
        )


def _sequence(unit: str) -> str:
    """Return a unit's name without its camera."""
    return unit.rsplit(".", 2)[0]
