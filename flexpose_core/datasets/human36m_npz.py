"""Human3.6M as the .npz files of mesh recovery projects: `part` (N, 17, 3) and `imgname` (N,).

Such a file of all frames at 50 Hz has 1.56 million rows: 640 MB of `part`, and 300 MB of names that would be 200 MB more as
text objects. So both are read in pieces. Of `part` the joints that are ours stay, and of a name its parts: what names the video
is kept once, and the frame as a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flexpose_core.datasets.human36m_joints import CAMERA_SIZES, JOINTS_17, SOURCES, action_of, camera_of
from flexpose_core.datasets.joint_maps import map_joints
from flexpose_core.datasets.npz import Npz, open_npz
from flexpose_core.datasets.numbering import number_in
from flexpose_core.datasets.options import Human36mNpzOptions
from flexpose_core.datasets.raw import NO_CAMERA, NO_SUBJECT, Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import part_of_training
from flexpose_core.datasets.untrusted import inside, name_inside
from flexpose_core.errors import DataError
from flexpose_core.skeletons import BODY15

MOST_ROWS = 1_800_000
MOST_VIDEOS = 100_000
MOST_FRAMES = 250_000
"""Rows of a file, videos in it and frames of one of them: the original has 1.56 million, 840 and 6,400 at most."""
_LONGEST_NAME = 200
_FRAME = re.compile(r"[_/.]?([0-9]+)\.\w+$")


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
        with open_npz(path) as file:
            names = _read_names(file)
            joints, whole = _read_joints(file, len(names.frame))
        # All cameras of a sequence are held out together.
        groups = [_group_of(video) for video in names.videos]
        chosen = set(groups if split == "test" else part_of_training(groups, split, self.options.held_out))
        order = np.lexsort((names.frame, names.video))
        starts = np.searchsorted(names.video[order], np.arange(len(names.videos) + 1))
        for number, video in enumerate(names.videos):
            rows = order[starts[number] : starts[number + 1]]
            if len(rows) > MOST_FRAMES:
                raise DataError(
                    f"{path}: imgname: expected at most {MOST_FRAMES} frames of {video[:80]!r}, found {len(rows)}"
                )
            if groups[number] in chosen:
                yield self._sequence(names, joints, whole, rows, number, path)

    def _sequence(
        self, names: _Names, joints: np.ndarray, whole: np.ndarray, rows: np.ndarray, number: int, path: Path
    ) -> RawBatch:
        video = names.videos[number]
        camera = camera_of(video)
        subject = _subject_of(video)
        lost, kept = rows[~whole[rows]], rows[whole[rows]]
        dropped = [Dropped("coordinates missing", len(lost), f"{path.name}: record {lost.min()}")] if len(lost) else []
        if subject is None and len(kept):
            dropped.append(Dropped("subject's number too large", len(kept), f"{path.name}: record {kept.min()}"))
            kept = kept[:0]
        stated = f"{path}: imgname"
        sources = [name_inside(names.text(row), stated) for row in kept]
        return raw_batch(
            joints[kept],
            names.frame[kept],
            clip=action_of(re.sub(r"^.*S\d+[_/]", "", video)),
            subject=NO_SUBJECT if subject is None else subject,
            camera=NO_CAMERA if camera is None else camera,
            sequence=number,
            picture_size=CAMERA_SIZES.get(camera or 0, (0, 0)),
            source=sources,
            pictures=tuple(Picture(inside(self.root, source, stated)) for source in sources)
            if self.options.images
            else None,
            dropped=tuple(dropped),
        )


@dataclass(frozen=True)
class _Form:
    """A name but for its frame: what stands before it, its digits (0 where a name states no frame), and what stands behind."""

    before: str
    digits: int
    behind: str


@dataclass(frozen=True)
class _Names:
    """The rows' names: `videos` and `forms` once each, and of each row (N,) int32 its video, its form and its frame."""

    videos: list[str]
    forms: list[_Form]
    video: np.ndarray
    form: np.ndarray
    frame: np.ndarray

    def text(self, row: int) -> str:
        """Return the name of a row as it stands in the file."""
        form = self.forms[self.form[row]]
        return form.before + (f"{self.frame[row]:0{form.digits}d}" if form.digits else "") + form.behind


def _read_names(file: Npz) -> _Names:
    stated = f"{file.path}: imgname"
    shape, dtype = file.describe("imgname")
    if len(shape) != 1 or dtype.kind not in "US" or shape[0] > MOST_ROWS:
        raise DataError(f"{stated}: expected up to {MOST_ROWS} names, found {shape} {dtype}")
    if dtype.itemsize > 4 * _LONGEST_NAME:
        raise DataError(f"{stated}: expected names of at most {_LONGEST_NAME} letters, found {dtype}")
    videos: dict[str, int] = {}
    forms: dict[_Form, int] = {}
    columns = np.empty((3, shape[0]), np.int32)
    row = 0
    for piece in file.pieces("imgname"):
        for name in piece.tolist():
            try:
                text = name.decode() if isinstance(name, bytes) else name
            except UnicodeDecodeError as error:
                raise DataError(f"{stated}: expected UTF-8 names, found {error.object[:40]!r}") from error
            video, form, frame = _apart(text, row)
            columns[:, row] = videos.setdefault(video, len(videos)), forms.setdefault(form, len(forms)), frame
            row += 1
        if len(forms) > MOST_VIDEOS:
            raise DataError(f"{stated}: expected frames of at most {MOST_VIDEOS} videos, found more names")
    return _Names(list(videos), list(forms), *columns)


def _apart(name: str, row: int) -> tuple[str, _Form, int]:
    """Return what of a name tells the video, its form, and the frame: the row where it states none."""
    found = _FRAME.search(name)
    frame = number_in(found[1]) if found else None
    video = name[: found.start()] if found else name
    if found is None or frame is None:
        return video, _Form(name, 0, ""), row
    return video, _Form(name[: found.start(1)], len(found[1]), name[found.end(1) :]), frame


def _read_joints(file: Npz, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return our joints (N, 15, 2) float64, NaN where not annotated, and which rows (N,) hold finite numbers alone."""
    shape, dtype = file.describe("part")
    if len(shape) != 3 or shape[1:] != (len(JOINTS_17), 3) or dtype.kind not in "iuf":
        raise DataError(f"{file.path}: part: expected numbers of shape (N, {len(JOINTS_17)}, 3), found {shape} {dtype}")
    if shape[0] != rows:
        raise DataError(f"{file.path}: imgname: expected {shape[0]} names, as part has rows, found {rows}")
    joints, whole = np.empty((rows, len(BODY15), 2)), np.empty(rows, bool)
    start = 0
    for piece in file.pieces("part"):
        raw = piece.astype(np.float64)
        end = start + len(raw)
        annotated = np.where(raw[..., 2:] > 0, raw[..., :2], np.nan)
        joints[start:end] = map_joints(annotated, JOINTS_17, SOURCES, BODY15)
        whole[start:end] = np.isfinite(raw).all(axis=(1, 2))
        start = end
    return joints, whole


def _group_of(video: str) -> str:
    """Return what names a sequence whatever the camera."""
    camera = camera_of(video)
    # Or, as in the archives of some later works, ca_01 to ca_04.
    return re.sub(r"_ca_\d+", "", video) if camera is None else video.replace(str(camera), "")


def _subject_of(video: str) -> int | None:
    """Return the subject's number that a name states, -1 if it states none, or None if the number is too large."""
    found = re.search(r"S([0-9]+)", video)
    return number_in(found[1]) if found else NO_SUBJECT
