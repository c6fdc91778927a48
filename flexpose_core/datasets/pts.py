"""The .pts text format of the iBUG face landmarks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from flexpose_core.datasets.untrusted import read_text
from flexpose_core.errors import DataError

LARGEST_FILE = 1_000_000
_FORM = re.compile(r"\s*version:\s*\d+\s+n_points:\s*(\d+)\s*\{([^{}]*)\}\s*")


def read_pts(path: Path, count: int = 68) -> np.ndarray:
    """Return the points (count, 2) float64 as they stand in the file, counted from 1.

    Raises
    ------
    DataError
        If it is no such file, or holds another number of points.
    """
    text = read_text(path, LARGEST_FILE)
    found = _FORM.fullmatch(text)
    if found is None:
        raise DataError(f"{path}: expected 'version: 1', 'n_points: {count}' and points in braces, found another text")
    try:
        numbers = np.array(found[2].split(), np.float64)
    except ValueError as error:
        raise DataError(f"{path}: expected numbers, found: {error}") from error
    if int(found[1][:9]) != count or len(numbers) != 2 * count:
        raise DataError(
            f"{path}: expected {count} points, found {found[1][:9]} announced and {len(numbers) / 2:g} listed"
        )
    return numbers.reshape(count, 2)
