"""Human3.6M as the .npz files of mesh recovery projects: `part` (N, 17, 3) and `imgname` (N,)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.human36m_joints import CAMERA_SIZES, JOINTS_17, SOURCES, action_of, camera_of
from flexpose_core.datasets.joint_maps import map_joints
from flexpose_core.datasets.options import Human36mNpzOptions
from flexpose_core.datasets.raw import NO_CAMERA, NO_SUBJECT, Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import part_of_training
from flexpose_core.datasets.untrusted import inside, load_npz
from flexpose_core.errors import DataError
from flexpose_core.skeletons import BODY15

_FRAME = re.compile(r"[_/.]?(\d+)\.\w+$")


class Human36mNpzReader:
    """Reads a file's rows sequence by sequence: those that `imgname` says are of one video follow one another."""

    skeleton = BODY15
    is_video = True

    def __init__(self, options: Human36mNpzOptions) -> None:
        self.options = options
        self.root = Path(options.root)

    def splits(self) -> tuple[str, ...]:
        """Return train and val, and test where there is a file for it."""
        return ("train", "val") if self.options.test is None else ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the one file of a split."""
        name = self.options.test if split == "test" and self.options.test else self.options.train
        if not inside(self.root, name, split).is_file():
            raise DataError(f"{self.root / name}: no such file")
        return [name]

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield a sequence at a time."""
        path = inside(self.root, unit, split)
        stored = load_npz(path, "part", "imgname")
        part, names = stored["part"], stored["imgname"]
        if part.ndim != 3 or part.shape[1:] != (len(JOINTS_17), 3) or part.dtype.kind not in "iuf":
            raise DataError(
                f"{path}: part: expected numbers of shape (N, {len(JOINTS_17)}, 3), found {part.shape} {part.dtype}"
            )
        if names.shape != (len(part),) or names.dtype.kind not in "US":
            raise DataError(f"{path}: imgname: expected {len(part)} names, found {names.shape} {names.dtype}")
        try:
            texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: imgname: expected UTF-8 names, found {error.object[:40]!r}") from error
        numbers: dict[str, int] = {}
        of_row = np.array([numbers.setdefault(_sequence_of(text), len(numbers)) for text in texts], int)
        chosen = list(numbers) if split == "test" else part_of_training(list(numbers), split, self.options.held_out)
        for name in chosen:
            yield self._sequence(part, texts, np.flatnonzero(of_row == numbers[name]), name, numbers[name], path)

    def _sequence(
        self, part: np.ndarray, texts: list[str], rows: np.ndarray, name: str, number: int, path: Path
    ) -> RawBatch:
        raw = part[rows].astype(np.float64)
        annotated = np.where(raw[..., 2:] > 0, raw[..., :2], np.nan)
        lost = rows[~np.isfinite(raw).all(axis=(1, 2))]
        kept = np.isfinite(raw).all(axis=(1, 2))
        frames = np.array([_frame_of(texts[row], row) for row in rows[kept]], int)
        order = np.argsort(frames, kind="stable")
        camera = camera_of(name)
        subject = re.search(r"S(\d+)", name)
        pictures = None
        if self.options.images:
            pictures = tuple(Picture(inside(self.root, texts[row], f"{path}: imgname")) for row in rows[kept][order])
        return raw_batch(
            map_joints(annotated[kept][order], JOINTS_17, SOURCES, BODY15),
            frames[order],
            clip=action_of(re.sub(r"^.*S\d+[_/]", "", name)),
            subject=int(subject[1]) if subject else NO_SUBJECT,
            camera=NO_CAMERA if camera is None else camera,
            sequence=number,
            picture_size=CAMERA_SIZES.get(camera or 0, (0, 0)),
            pictures=pictures,
            dropped=(Dropped("coordinates missing", len(lost), f"{path.name}: record {lost[0]}"),) if len(lost) else (),
        )


def _sequence_of(name: str) -> str:
    """Return an image's name without its frame: what is left names the video."""
    return _FRAME.sub("", name)


def _frame_of(name: str, row: int) -> int:
    found = _FRAME.search(name)
    return int(found[1]) if found and len(found[1]) < 10 else int(row)
