"""WFLW (Wu et al. 2018): faces in the wild with 98 landmarks, of which 68 stand for iBUG's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flexpose_core.datasets.options import WflwOptions
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import held_out
from flexpose_core.datasets.untrusted import inside, read_text
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
        lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
        rows = np.arange(len(lines))
        if split != "test":
            # Faces of one picture stay together.
            chosen = held_out([line[-1] for line in lines], self.options.held_out)
            rows = np.array([row for row in rows if (lines[row][-1] in chosen) == (split == "val")], int)
        for start in range(0, len(rows), BATCH):
            yield self._batch(lines, rows[start : start + BATCH], unit)

    def _batch(self, lines: list[list[str]], rows: np.ndarray, unit: str) -> RawBatch:
        kept, faces, broken = [], [], []
        for row in rows:
            landmarks = _landmarks(lines[row])
            if landmarks is None:
                broken.append(int(row))
            else:
                kept.append(int(row))
                faces.append(landmarks)
        names = [lines[row][-1] for row in kept]
        pictures = None
        if self.options.images:
            pictures = tuple(
                Picture(inside(self.root, f"WFLW_images/{name}", f"{self.root / unit}: line {row + 1}"))
                for row, name in zip(kept, names, strict=True)
            )
        joints = np.array(faces).reshape(-1, LANDMARKS, 2)[:, TO_IBUG]
        return raw_batch(
            joints,
            np.array(kept, int),
            # The event that the picture shows, such as 37--Soccer.
            clip=np.array([name.partition("/")[0] for name in names], "U80"),
            sequence=np.array(kept, int),
            pictures=pictures,
            dropped=(Dropped("line broken", len(broken), f"{unit}: line {broken[0] + 1}"),) if broken else (),
        )


def _landmarks(words: list[str]) -> np.ndarray | None:
    """Return the landmarks (98, 2) of a line, or None if it is not of either form: 196 numbers, 10 more or none, a path."""
    if len(words) not in (2 * LANDMARKS + 1, 2 * LANDMARKS + 11):
        return None
    try:
        numbers = np.array(words[: 2 * LANDMARKS], np.float64)
    except ValueError:
        return None
    return numbers.reshape(LANDMARKS, 2) if np.isfinite(numbers).all() else None
