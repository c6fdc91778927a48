"""300-VW (Shen et al. 2015): videos of faces with 68 landmarks a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.options import ThreeHundredVwOptions
from flexpose_core.datasets.pts import read_pts
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import part_of_training
from flexpose_core.errors import DataError
from flexpose_core.skeletons import FACE68

FOLDER = "300VW_Dataset_2015_12_14"


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
        folders = sorted(path for path in (self.root / FOLDER).glob("*") if path.name.isdigit() and path.is_dir())
        if not folders:
            raise DataError(f"{self.root / FOLDER}: expected video folders such as 001, found none")
        names = {f"{FOLDER}/{path.name}": int(path.name) for path in folders}
        if split == "test":
            chosen = {video for category in self.options.categories for video in TEST_VIDEOS[category]}
            return [name for name, video in names.items() if video in chosen]
        testing = {video for videos in TEST_VIDEOS.values() for video in videos}
        training = [name for name, video in names.items() if video not in testing]
        return part_of_training(training, split, self.options.held_out)

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield one video; 000001.pts is its first frame."""
        folder = self.root / unit
        numbers = sorted(int(path.stem) for path in (folder / "annot").glob("*.pts") if path.stem.isdigit())
        if not numbers:
            raise DataError(f"{folder / 'annot'}: expected files such as 000001.pts, found none")
        faces, frames, broken = [], [], []
        for number in numbers:
            try:
                # Points count pixels from 1.
                faces.append(read_pts(folder / "annot" / f"{number:06d}.pts") - 1)
                frames.append(number - 1)
            except DataError:
                broken.append(number)
        missing = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
        dropped = [
            Dropped(reason, len(lost), f"{unit}/annot/{lost[0]:06d}.pts")
            for reason, lost in {"landmark file broken": broken, "frame without landmarks": missing}.items()
            if lost
        ]
        rows = np.array(frames, int)
        yield raw_batch(
            np.array(faces).reshape(-1, len(FACE68), 2),
            rows,
            clip=folder.name,
            subject=int(folder.name),
            sequence=int(folder.name),
            pictures=tuple(Picture(folder / "vid.avi", int(row)) for row in rows) if self.options.images else None,
            dropped=tuple(dropped),
        )
