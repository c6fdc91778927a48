"""WFLW (Wu et al. 2018): faces in the wild with 98 landmarks, of which 68 stand for iBUG's."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flexpose_core.datasets.options import WflwOptions
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import held_out
from flexpose_core.datasets.untrusted import inside, name_inside, read_bytes
from flexpose_core.errors import DataError
from flexpose_core.skeletons import FACE68

LANDMARKS = 98
LISTS = (
    "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt",
    "WFLW_annotations/list_98pt_test/list_98pt_{}.txt",
)
"""The lists with boxes and attributes, or else those with landmarks alone."""
TO_IBUG = (
    *range(0, 33, 2),  # jaw: every second point
    *range(33, 38),  # brows: their upper edges
    *range(42, 47),
    *range(51, 60),  # nose
    *(60, 61, 63, 64, 65, 67),  # eyes: without the middles of the lids
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),  # lips
)
"""The WFLW landmark of each of iBUG's 68: a selection, as the authors know no exact correspondence. It commutes with mirroring."""
BATCH = 4096
LARGEST_LIST = 64_000_000
"""Bytes; the original training list has 17 MB."""
BROKEN = "line broken"


class WflwReader:
    """Reads a list of faces, a line each; several may lie in one picture."""

    skeleton = FACE68
    is_video = False

    def __init__(self, options: WflwOptions) -> None:
        self.options = options
        self.root = Path(options.root)

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the one list of a split."""
        names = [name.format("test" if split == "test" else "train") for name in LISTS]
        for name in names:
            if (self.root / name).is_file():
                return [name]
        raise DataError(f"{self.root / names[0]}: no such file")

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield up to 4,096 faces at a time."""
        path = self.root / unit
        data = read_bytes(path, LARGEST_LIST)
        lines, dropped = _lines_of(data, unit)
        if split != "test":
            # Faces of one picture stay together. A line without a picture counts with training.
            chosen = held_out([line.picture for line in lines if line.picture], self.options.held_out)
            lines = [line for line in lines if (line.picture in chosen) == (split == "val")]
            dropped = dropped if split == "train" else ()
        for start in range(0, max(len(lines), 1), BATCH):
            yield self._batch(data, lines[start : start + BATCH], unit, dropped if start == 0 else ())

    def _batch(self, data: bytes, lines: list[_Line], unit: str, dropped: tuple[Dropped, ...]) -> RawBatch:
        kept, faces, broken = [], [], []
        for line in lines:
            landmarks = _landmarks(data[line.start : line.end].split(None, 2 * LANDMARKS)[: 2 * LANDMARKS])
            if landmarks is None or not line.picture:
                broken.append(line)
            else:
                kept.append(line)
                faces.append(landmarks)
        if broken:
            dropped = (*dropped, Dropped(BROKEN, len(broken), f"{unit}: line {broken[0].number + 1}"))
        sources = [
            name_inside(f"WFLW_images/{line.picture}", f"{self.root / unit}: line {line.number + 1}") for line in kept
        ]
        pictures = None
        if self.options.images:
            pictures = tuple(
                Picture(inside(self.root, source, f"{self.root / unit}: line {line.number + 1}"))
                for line, source in zip(kept, sources, strict=True)
            )
        joints = np.array(faces).reshape(-1, LANDMARKS, 2)[:, TO_IBUG]
        rows = np.array([line.number for line in kept], int)
        return raw_batch(
            joints,
            rows,
            # The event that the picture shows, such as 37--Soccer.
            clip=np.array([line.picture.partition("/")[0] for line in kept], "U80"),
            sequence=rows,
            source=sources,
            pictures=pictures,
            dropped=dropped,
        )


class _Line(NamedTuple):
    """A line of the right number of words: its number, counted from 0 without blank lines, its place in the file, its last word."""

    number: int
    start: int
    end: int
    picture: str


def _lines_of(data: bytes, unit: str) -> tuple[list[_Line], tuple[Dropped, ...]]:
    """Return the lines of either form, 196 numbers, 10 more or none, and a path; and those of another length, counted."""
    found: list[_Line] = []
    number = start = broken = first = 0
    for text in io.BytesIO(data):
        end = start + len(text)
        # No further than needed: a line may be the whole file.
        words = text.split(None, 2 * LANDMARKS + 11)
        if len(words) in (2 * LANDMARKS + 1, 2 * LANDMARKS + 11):
            # Text that is not UTF-8 is no path of ours, and no landmark either.
            picture = words[-1].decode("utf-8", "replace")
            found.append(_Line(number, start, end, picture if "\ufffd" not in picture else ""))
        elif words:
            broken, first = broken + 1, first or number + 1
        number, start = number + bool(words), end
    return found, (Dropped(BROKEN, broken, f"{unit}: line {first}"),) if broken else ()


def _landmarks(words: list[bytes]) -> np.ndarray | None:
    """Return the landmarks (98, 2) that 196 words state, or None if these are not all finite numbers."""
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        return None
    return numbers.reshape(LANDMARKS, 2) if np.isfinite(numbers).all() else None
