"""300-VW (Shen et al. 2015): videos of faces with 68 landmarks a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.numbering import number_in, numbered_files
from flexpose_core.datasets.options import ThreeHundredVwOptions
from flexpose_core.datasets.pts import read_pts
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import part_of_training
from flexpose_core.errors import DataError
from flexpose_core.skeletons import FACE68

FOLDER = "300VW_Dataset_2015_12_14"
LARGEST_VIDEO = 999_999
MOST_FRAMES = 50_000
"""No video is nearly as long: a file of a higher number is no frame."""


def _numbers(text: str) -> frozenset[int]:
    """Return the numbers and ranges that a text lists."""
    ends = [part.partition("-") for part in text.split()]
    return frozenset(number for first, _, last in ends for number in range(int(first), int(last or first) + 1))


TEST_VIDEOS = {
    1: _numbers("114 124-126 150 158 401-402 505-511 514-515 518-522 524-525 537-538 540-541 546-548"),
    2: _numbers("203 208 211-214 218 224 403-409 412 550-551 553"),
    3: _numbers("410-411 516-517 526 528-531 533 557-559 562"),
}
"""The three test categories: well lit, unconstrained, in the wild. All other videos train."""


class ThreeHundredVwReader:
    """Reads a video's annotated frames; a frame whose file is missing or broken is dropped."""

    skeleton = FACE68
    is_video = True

    def __init__(self, options: ThreeHundredVwOptions) -> None:
        self.options = options
        self.root = Path(options.root)

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the video folders of a split, such as 300VW_Dataset_2015_12_14/001."""
        names = self._videos()
        if not names:
            raise DataError(f"{self.root / FOLDER}: expected video folders such as 001, found none")
        if split == "test":
            chosen = {video for category in self.options.categories for video in TEST_VIDEOS[category]}
            return [name for name, video in names.items() if video in chosen]
        testing = {video for videos in TEST_VIDEOS.values() for video in videos}
        training = [name for name, video in names.items() if video not in testing]
        return part_of_training(training, split, self.options.held_out)

    def _videos(self) -> dict[str, int]:
        """Return the number of each video folder, by unit."""
        found: dict[str, int] = {}
        for path in sorted((self.root / FOLDER).glob("*")):
            # Folders of other names are none of the dataset's.
            if not (path.name.isascii() and path.name.isdecimal() and path.is_dir()):
                continue
            number = number_in(path.name, LARGEST_VIDEO)
            if number is None or number in found.values():
                raise DataError(
                    f"{path}: expected a number of one video only, up to {LARGEST_VIDEO}, found {path.name}"
                )
            found[f"{FOLDER}/{path.name}"] = number
        return found

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield one video; 000001.pts is its first frame."""
        folder = self.root / unit
        files, dropped = numbered_files(
            (folder / "annot").glob("*.pts"), "{:06d}".format, MOST_FRAMES, lambda path: f"{unit}/annot/{path.name}"
        )
        if not files:
            raise DataError(f"{folder / 'annot'}: expected files such as 000001.pts, found none")
        faces, frames, broken = [], [], []
        for number, path in files.items():
            try:
                if number == 0:
                    raise DataError(f"{path}: expected frames counted from 1, found 0")
                # Points count pixels from 1.
                faces.append(read_pts(path) - 1)
                frames.append(number - 1)
            except DataError:
                broken.append(path)
        if broken:
            dropped.append(Dropped("landmark file broken", len(broken), f"{unit}/annot/{broken[0].name}"))
        missing = [number for number in range(1, max(files)) if number not in files]
        if missing:
            dropped.append(Dropped("frame without landmarks", len(missing), f"{unit}/annot/{missing[0]:06d}.pts"))
        rows, video = np.array(frames, int), int(folder.name)
        yield raw_batch(
            np.array(faces).reshape(-1, len(FACE68), 2),
            rows,
            clip=folder.name,
            subject=video,
            sequence=video,
            source=f"{unit}/vid.avi",
            pictures=tuple(Picture(folder / "vid.avi", int(row)) for row in rows) if self.options.images else None,
            dropped=tuple(dropped),
        )
