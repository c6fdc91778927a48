"""MPI-INF-3DHP (Mehta et al. 2017): training subjects seen by fourteen cameras, and test sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.joint_maps import both_sides, map_joints
from flexpose_core.datasets.options import Mpi3dhpOptions
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import part_of_training
from flexpose_core.datasets.untrusted import load_mat5, mat73_array, open_mat73
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15

CAMERAS = 14
TRAINING_SIZE = (2048, 2048)
TEST_SIZES = {5: (1920, 1080), 6: (1920, 1080)}
TEST_FOLDER = "mpi_inf_3dhp_test_set"
TEST_SUBJECTS = 100
"""What is added to the number of a test subject: TS1 is another person than S1."""
TRAINING_FRAMES = {
    (1, 1): 6416, (1, 2): 12430, (2, 1): 6502, (2, 2): 6081, (3, 1): 12488, (3, 2): 12283, (4, 1): 6171, (4, 2): 6675,
    (5, 1): 12820, (5, 2): 12312, (6, 1): 6188, (6, 2): 6145, (7, 1): 6239, (7, 2): 6320, (8, 1): 6468, (8, 2): 6054,
}  # fmt: skip
"""Frames of each subject's sequence that have pictures; annotations may run on."""
MISLABELLED = (4, 2, slice(3759, 5853))
"""Subject, sequence and rows, the first counted as 0, whose left and right are exchanged in all cameras."""

TRAINING_JOINTS = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top",
    "l_clavicle", "l_sho", "l_elb", "l_wri", "l_hand", "r_clavicle", "r_sho", "r_elb", "r_wri", "r_hand",
    "l_hip", "l_kne", "l_ank", "l_foot", "l_toe", "r_hip", "r_kne", "r_ank", "r_foot", "r_toe",
)  # fmt: skip
TEST_JOINTS = (
    "head_top", "neck", "r_sho", "r_elb", "r_wri", "l_sho", "l_elb", "l_wri", "r_hip", "r_kne", "r_ank", "l_hip", "l_kne", "l_ank",
    "pelvis", "spine", "head",
)  # fmt: skip
SOURCES = {
    "neck": "neck",
    "pelvis": "pelvis",
    **both_sides(shoulder="{}_sho", elbow="{}_elb", wrist="{}_wri", hip="{}_hip", knee="{}_kne", ankle="{}_ank"),
}


class Mpi3dhpReader:
    """Reads the training annotations camera by camera, and the valid frames of the test sequences."""

    skeleton = BODY15
    is_video = True

    def __init__(self, options: Mpi3dhpOptions) -> None:
        wrong = [camera for camera in options.cameras if not 0 <= camera < CAMERAS]
        if wrong:
            raise ConfigError(f"mpi-inf-3dhp: cameras: expected numbers from 0 to {CAMERAS - 1}, found {wrong[0]}")
        self.options = options
        self.root = Path(options.root)
        self.sources = {"head": options.head, **SOURCES}

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the annotation files of a split, such as S1/Seq1/annot.mat."""
        if split == "test":
            wanted = [f"{TEST_FOLDER}/TS{subject}/annot_data.mat" for subject in self.options.subjects.test]
            return self._present(wanted, "annot_data.mat")
        subjects = self.options.subjects.train
        wanted = [f"S{subject}/Seq{sequence}/annot.mat" for subject in subjects for sequence in (1, 2)]
        return part_of_training(self._present(wanted, "annot.mat"), split, self.options.held_out)

    def _present(self, wanted: list[str], name: str) -> list[str]:
        found = [unit for unit in wanted if (self.root / unit).is_file()]
        if not found:
            raise DataError(f"{self.root}: expected {name} files such as {wanted[0] if wanted else name}, found none")
        return found

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield a sequence, one camera after the other."""
        if split == "test":
            yield self._read_test(unit)
        else:
            yield from self._read_training(unit)

    def _read_training(self, unit: str) -> Iterator[RawBatch]:
        subject, number = map(int, re.findall(r"\d+", unit)[:2])
        path = self.root / unit
        cells = load_mat5(path, "annot2")["annot2"]
        if cells.dtype != object or cells.size != CAMERAS:
            raise DataError(f"{path}: annot2: expected {CAMERAS} cells, found an array of shape {cells.shape}")
        for camera in self.options.cameras:
            stored = cells.ravel()[camera]
            width = 2 * len(TRAINING_JOINTS)
            if (
                not isinstance(stored, np.ndarray)
                or stored.ndim != 2
                or stored.shape[1] != width
                or stored.dtype.kind not in "iuf"
            ):
                raise DataError(
                    f"{path}: annot2, camera {camera}: expected numbers of shape (frames, {width}), "
                    f"found {getattr(stored, 'shape', None)}"
                )
            frames = TRAINING_FRAMES.get((subject, number), len(stored))
            raw = stored.reshape(-1, len(TRAINING_JOINTS), 2).astype(np.float64)
            joints = map_joints(raw, TRAINING_JOINTS, self.sources, BODY15)
            if (subject, number) == MISLABELLED[:2]:
                rows = joints[MISLABELLED[2]]
                joints[MISLABELLED[2]] = rows[:, BODY15.flip_permutation]
            yield self._batch(
                joints[:frames],
                np.arange(min(frames, len(stored))),
                unit,
                clip=f"S{subject}_Seq{number}",
                subject=subject,
                camera=camera,
                sequence=(subject * 10 + number) * 100 + camera,
                size=TRAINING_SIZE,
                # S6/Seq2/video_2 ends early: its last frames are dropped as unreadable.
                source=f"S{subject}/Seq{number}/imageSequence/video_{camera}.avi",
                beyond=max(0, len(stored) - frames),
            )

    def _read_test(self, unit: str) -> RawBatch:
        path = self.root / unit
        subject = int(re.findall(r"TS(\d+)", unit)[0])
        with open_mat73(path) as file:
            stored, valid = mat73_array(file, path, "annot2"), mat73_array(file, path, "valid_frame").ravel()
        wanted = (len(stored), 1, len(TEST_JOINTS), 2)
        if stored.shape != wanted or len(valid) != len(stored):
            raise DataError(
                f"{path}: annot2: expected shape {wanted} and {len(stored)} valid_frame, found {stored.shape}, {len(valid)}"
            )
        joints = map_joints(stored[:, 0].astype(np.float64), TEST_JOINTS, self.sources, BODY15)
        rows = np.flatnonzero(valid == 1)
        invalid = np.flatnonzero(valid != 1)
        dropped = (Dropped("frame not valid", len(invalid), f"{unit}: record {invalid[0]}"),) if len(invalid) else ()
        return self._batch(
            joints[rows],
            rows,
            unit,
            clip=f"TS{subject}",
            subject=TEST_SUBJECTS + subject,
            camera=0,
            sequence=subject,
            size=TEST_SIZES.get(subject, TRAINING_SIZE),
            source=[f"{TEST_FOLDER}/TS{subject}/imageSequence/img_{row + 1:06d}.jpg" for row in rows],
            dropped=dropped,
        )

    def _batch(
        self,
        joints: np.ndarray,
        frames: np.ndarray,
        unit: str,
        clip: str,
        subject: int,
        camera: int,
        sequence: int,
        size: tuple[int, int],
        source: str | list[str],
        beyond: int = 0,
        dropped: tuple[Dropped, ...] = (),
    ) -> RawBatch:
        finite = np.isfinite(joints).all(axis=(1, 2)) & (joints != 0).any(axis=(1, 2))
        if not finite.all():
            lost = np.flatnonzero(~finite)
            dropped = (*dropped, Dropped("coordinates missing", len(lost), f"{unit}: record {frames[lost[0]]}"))
        if beyond:
            dropped = (*dropped, Dropped("beyond the pictures", beyond, f"{unit}: record {len(frames)}"))
        kept = frames[finite]
        sources = source if isinstance(source, str) else [source[row] for row in np.flatnonzero(finite)]
        return raw_batch(
            joints[finite],
            kept,
            clip=clip,
            subject=subject,
            camera=camera,
            sequence=sequence,
            picture_size=size,
            source=sources,
            pictures=self._pictures(sources, kept) if self.options.images else None,
            dropped=dropped,
        )

    def _pictures(self, sources: str | list[str], frames: np.ndarray) -> tuple[Picture, ...]:
        """Return the frames of a video, or the files of single pictures."""
        if isinstance(sources, str):
            video = self.root / sources
            return tuple(Picture(video, int(frame)) for frame in frames)
        return tuple(Picture(self.root / source) for source in sources)
