"""Simplified Human3.6M (Zhang et al. 2018): crops of 128 × 128 pixels, one landmark file a frame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.human36m_joints import JOINTS_32, SOURCES, camera_of
from flexpose_core.datasets.joint_maps import map_joints
from flexpose_core.datasets.numbering import numbered_files
from flexpose_core.datasets.options import SimplifiedHuman36mOptions
from flexpose_core.datasets.raw import NO_CAMERA, Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import UnitNumbers, part_of_training
from flexpose_core.datasets.untrusted import load_mat5
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15

FOLDER = "human_images"
SIDE = 128
MOST_FRAMES = 50_000
"""No sequence is nearly as long: a file of a higher number is no frame."""
MASKS = "BackgroudMask"
"""As the folder is spelt in the original."""


class SimplifiedHuman36mReader:
    """Reads a sequence folder; frames are numbered without zeros in front."""

    skeleton = BODY15
    is_video = True

    def __init__(self, options: SimplifiedHuman36mOptions) -> None:
        self.options = options
        self.root = Path(options.root)
        self._numbers = UnitNumbers()

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the landmark folders of a split, such as human_images/S1/Landmarks/Walking 1.54138969."""
        subjects = self.options.subjects.test if split == "test" else self.options.subjects.train
        if not subjects:
            raise DataError(f"{self.root}: expected subjects.{split}, found none")
        bases = [self.root / FOLDER / f"S{subject}" / "Landmarks" for subject in subjects]
        every = [path for base in bases for path in sorted(base.glob("*")) if path.is_dir()]
        # Compared whole: "Walking" also begins "WalkingDog".
        folders = [path for path in every if _activity(path) in self.options.activities]
        if every and not folders:
            known = ", ".join(sorted({_activity(path) for path in every}))
            raise ConfigError(
                f"simplified-human36m: activities: expected some of {known}, found {', '.join(self.options.activities)}"
            )
        if not folders:
            raise DataError(
                f"{self.root / FOLDER}: expected folders such as S{subjects[0]}/Landmarks/Walking, found none"
            )
        names = [path.relative_to(self.root).as_posix() for path in folders]
        if split == "test":
            return names
        # All cameras of a sequence are held out together.
        kept = set(part_of_training([_sequence(name) for name in names], split, self.options.held_out))
        return [name for name in names if _sequence(name) in kept]

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield one sequence."""
        folder = self.root / unit
        files, dropped = numbered_files(folder.glob("*.mat"), str, MOST_FRAMES, lambda path: f"{unit}/{path.name}")
        if not files:
            raise DataError(f"{folder}: expected files such as 1.mat, found none")
        faults, kept, raw = [], [], []
        for number, path in files.items():
            points = self._points(path)
            if points is None:
                faults.append(path)
            else:
                kept.append(number)
                raw.append(points)
        if faults:
            dropped.append(Dropped("coordinates missing", len(faults), f"{unit}/{faults[0].name}"))
        camera = camera_of(folder.name)
        subject = folder.parent.parent
        rows = np.array(kept, int)
        pictures = None
        if self.options.images:
            # Where frames lack masks, so do their pictures.
            masks = subject / MASKS / folder.name
            pictures = tuple(
                Picture(
                    subject / "WithBackground" / folder.name / f"{number}.jpg",
                    mask=masks / f"{number}.png" if self.options.masked else None,
                )
                for number in kept
            )
        yield raw_batch(
            map_joints(np.array(raw).reshape(-1, len(JOINTS_32), 2), JOINTS_32, SOURCES, BODY15),
            rows,
            clip=re.split(r"[\s.]", folder.name)[0],
            subject=int(subject.name.removeprefix("S")),
            camera=NO_CAMERA if camera is None else camera,
            sequence=self._numbers.of(split, unit, self.units),
            picture_size=(SIDE, SIDE),
            source=[f"{FOLDER}/{subject.name}/WithBackground/{folder.name}/{number}.jpg" for number in kept],
            pictures=pictures,
            dropped=tuple(dropped),
        )

    def _points(self, path: Path) -> np.ndarray | None:
        """Return the landmarks (32, 2) of a frame in pixels, or None if some are missing."""
        stored = np.asarray(load_mat5(path, "keypoints_2d")["keypoints_2d"])
        if stored.shape != (len(JOINTS_32), 2) or stored.dtype.kind not in "iuf":
            raise DataError(
                f"{path}: keypoints_2d: expected numbers of shape ({len(JOINTS_32)}, 2), found {stored.shape}"
            )
        if not np.isfinite(stored).all():
            return None
        # Columns are y and x, as fractions of the side.
        return stored[:, ::-1].astype(np.float64) * SIDE


def _sequence(unit: str) -> str:
    """Return a unit's name without its camera, where it names one."""
    name, dot, camera = unit.rpartition(".")
    return name if dot and camera_of(camera) is not None else unit


def _activity(folder: Path) -> str:
    return re.split(r"[\s.]", folder.name)[0]
