"""SURREAL (Varol et al. 2017): synthetic people, `<run>/<sequence>/<sequence>_c%04d_info.mat` a clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.joint_maps import map_joints
from flexpose_core.datasets.numbering import number_in
from flexpose_core.datasets.options import SurrealOptions
from flexpose_core.datasets.raw import NO_SUBJECT, Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import UnitNumbers
from flexpose_core.datasets.untrusted import load_mat5
from flexpose_core.errors import DataError
from flexpose_core.skeletons import BODY15

FOLDER = "data/cmu"
SIZE = (320, 240)
CLIPS_A_SEQUENCE = 10_000  # clip numbers have four digits
NOT_RENDERED = (0, 238)
"""Where all joints of a clip lie whose person was not rendered."""
JOINTS = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_kne", "r_kne", "spine2", "l_ank", "r_ank", "spine3", "l_toe", "r_toe",
    "neck", "l_collar", "r_collar", "head", "l_sho", "r_sho", "l_elb", "r_elb", "l_wri", "r_wri", "l_hand", "r_hand",
)  # fmt: skip
OTHER_SIDE = {"l": "r", "r": "l"}
# SURREAL's projection mirrors the person: what its labels call left is the right of the person in the picture.
SOURCES: dict[str, str | tuple[str, ...]] = {
    "neck": "neck",
    # SMPL's own pelvis lies above the hips.
    "pelvis": ("l_hip", "r_hip"),
    **{
        f"{side}_{joint}": f"{other}_{short}"
        for side, other in OTHER_SIDE.items()
        for joint, short in {
            "shoulder": "sho", "elbow": "elb", "wrist": "wri", "hip": "hip", "knee": "kne", "ankle": "ank"
        }.items()
    },
}  # fmt: skip


class SurrealReader:
    """Reads a sequence's clips; the head is SMPL's base of the skull, moved on along the neck."""

    skeleton = BODY15
    is_video = True

    def __init__(self, options: SurrealOptions) -> None:
        self.options = options
        self.root = Path(options.root)
        self._numbers = UnitNumbers()

    def splits(self) -> tuple[str, ...]:
        """Return SURREAL's own train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the sequence folders of a split, such as data/cmu/train/run0/01_01."""
        folders = []
        for run in self.options.runs:
            base = self.root / FOLDER / split / f"run{run}"
            folders += sorted(path for path in base.glob("*") if path.is_dir())
        if not folders:
            raise DataError(f"{self.root / FOLDER / split}: expected folders such as run0/01_01, found none")
        return [path.relative_to(self.root).as_posix() for path in folders]

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield a sequence, one clip after the other."""
        folder = self.root / unit
        place = self._numbers.of(split, unit, self.units)
        paths = sorted(folder.glob("*_info.mat"))
        if not paths:
            raise DataError(f"{folder}: expected files such as {folder.name}_c0001_info.mat, found none")
        if len(paths) > CLIPS_A_SEQUENCE:
            raise DataError(f"{folder}: expected at most {CLIPS_A_SEQUENCE} clips, found {len(paths)}")
        for number, path in enumerate(paths):
            yield self._clip(path, unit, place * CLIPS_A_SEQUENCE + number)

    def _clip(self, path: Path, unit: str, sequence: int) -> RawBatch:
        stored = np.asarray(load_mat5(path, "joints2D")["joints2D"])
        # A clip of one frame has lost its last dimension.
        if stored.shape[:2] != (2, len(JOINTS)) or stored.ndim > 3 or stored.dtype.kind not in "iuf":
            raise DataError(
                f"{path}: joints2D: expected numbers of shape (2, {len(JOINTS)}, frames), found {stored.shape}"
            )
        raw = stored.reshape(2, len(JOINTS), -1).transpose(2, 1, 0).astype(np.float64)
        joints = map_joints(raw, JOINTS, SOURCES, BODY15)
        base, neck = raw[:, JOINTS.index("head")], raw[:, JOINTS.index("neck")]
        with np.errstate(invalid="ignore"):
            joints[:, BODY15.joints.index("head")] = base + self.options.head_top * (base - neck)
        missing = (
            ~np.isfinite(raw).all(axis=(1, 2)) | (raw == NOT_RENDERED).all(axis=(1, 2)) | (raw == 0).all(axis=(1, 2))
        )
        rows, lost = np.flatnonzero(~missing), np.flatnonzero(missing)
        name = path.name.removesuffix("_info.mat")
        video = path.with_name(f"{name}.mp4")
        pictures = tuple(Picture(video, int(row)) for row in rows) if self.options.images else None
        return raw_batch(
            joints[rows],
            rows,
            clip=path.parent.name,
            subject=_subject(path.parent.name),
            sequence=sequence,
            picture_size=SIZE,
            source=f"{unit}/{video.name}",
            pictures=pictures,
            dropped=(Dropped("person not rendered", len(lost), f"{unit}/{path.name}: record {lost[0]}"),)
            if len(lost)
            else (),
        )


def _subject(sequence: str) -> int:
    """Return the subject's number in the CMU database of a sequence such as 01_02 or ung_104_05."""
    words = sequence.split("_")
    number = number_in(words[-2]) if len(words) > 1 else None
    return NO_SUBJECT if number is None else number
