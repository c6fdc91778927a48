"""NumPy's .npz archives, read in pieces and without pickle: an array may be larger than the memory that its use takes."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from flexpose_core.datasets.untrusted import found_names, one_line
from flexpose_core.errors import DataError

PIECE = 4_000_000
"""Bytes that are held of an array at a time."""
_LONGEST_HEADER = 10_000


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open an archive; raises DataError if it is none, also for what goes wrong while it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except DataError:
        raise
    except Exception as error:
        # On damaged archives zipfile raises whatever its parsing runs into.
        raise DataError(f"{path}: damaged .npz: {one_line(error)}") from error


class Npz:
    """An open archive; see `open_npz`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.sizes = {info.filename: info.file_size for info in archive.infolist()}

    def describe(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return shape and type of an array, for which the archive states enough bytes."""
        with self._member(name) as member:
            return self._header(name, member)

    def pieces(self, name: str) -> Iterator[np.ndarray]:
        """Yield an array in pieces of whole rows, the first dimension's."""
        with self._member(name) as member:
            shape, dtype = self._header(name, member)
            of_row = math.prod(shape[1:]) * dtype.itemsize
            rows = max(1, PIECE // max(of_row, 1))
            if of_row > 16 * PIECE:
                raise DataError(f"{self.path}: {name}: expected rows of at most {16 * PIECE} bytes, found {of_row}")
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = member.read(count * of_row)
                if len(data) < count * of_row:
                    raise DataError(f"{self.path}: {name}: truncated: expected {shape[0]} rows, found fewer")
                yield np.frombuffer(data, dtype, count * math.prod(shape[1:])).reshape(count, *shape[1:])

    def _member(self, name: str) -> IO[bytes]:
        if f"{name}.npy" not in self.sizes:
            raise DataError(f"{self.path}: expected an array {name!r}, found {found_names(self.sizes)}")
        return self.archive.open(f"{name}.npy")

    def _header(self, name: str, member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(member, max_header_size=_LONGEST_HEADER)
        stated = f"{self.path}: {name}"
        if dtype.hasobject:
            raise DataError(f"{stated}: expected plain numbers or text, found pickled objects")
        if not shape or (fortran and len(shape) > 1):
            raise DataError(f"{stated}: expected rows one after the other (C order), found shape {shape}, by columns")
        wanted, size = math.prod(shape) * dtype.itemsize, self.sizes[f"{name}.npy"]
        if min(shape) < 0 or wanted > size:
            raise DataError(f"{stated}: expected {wanted} bytes for shape {shape}, found {size}")
        return shape, dtype
