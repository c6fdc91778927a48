"""Files from elsewhere, opened with care: no pickle, no link out of the root, no more memory than the file may need."""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from flexpose_core.errors import DataError

MOST_NUMBERS = 12_000_000
"""Numbers that the variables asked of one file may hold: MPI-INF-3DHP's longest sequence has 10,051,000 in its 14 cells.

Readers make float64 of them, so that bytes as they are stored would tell nothing of the memory needed.
"""
MOST_BYTES = 16 * MOST_NUMBERS
LARGEST_FILE = 400_000_000
NUMBERS_A_CELL = 1_000
"""An array costs about so much whatever it holds."""

# MATLAB 5 file format, tables 1-1 to 1-3: data types and array classes.
_MI_MATRIX, _MI_COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_CLASS_NAMES = {3: "object", 5: "sparse", 16: "function", 17: "opaque"}
_MAX_DEPTH = 8
_LONGEST_PATH = 1000


def inside(root: Path, relative: str, stated_by: str) -> Path:
    """Return root / relative; raises DataError if that leads out of the root, by .., an absolute path or a link.

    Parameters
    ----------
    stated_by
        The file and record that names the path, for the message.
    """
    try:
        path = root / name_inside(relative, stated_by)
        resolved, base = path.resolve(), root.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{stated_by}: expected a path inside {root}, found {relative[:80]!r}: {error}") from error
    if not resolved.is_relative_to(base):
        raise DataError(
            f"{stated_by}: expected a path inside {root}, found {relative[:80]!r}, from which a link leads to {resolved}"
        )
    return path


def name_inside(relative: str, stated_by: str) -> str:
    """Return a path below a root in its shortest form, "" for none; raises DataError if it leads out of it as it is written.

    Nothing is looked up on the disk: `inside` must have the last word before a file is opened.
    """
    shortest = os.path.normpath(relative) if relative else ""
    outside = shortest.startswith("/") or shortest.split("/")[0] == ".."
    # A lone surrogate stands in no UTF-8 text and in no file's name.
    if (
        outside
        or "\0" in relative
        or len(relative) > _LONGEST_PATH
        or any("\ud800" <= sign <= "\udfff" for sign in relative)
    ):
        raise DataError(f"{stated_by}: expected a path inside the root, found {relative[:80]!r}")
    return shortest


def read_bytes(path: Path, limit: int = LARGEST_FILE) -> bytes:
    """Return a file's bytes; raises DataError if it is missing, unreadable or longer than `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{path}: expected at most {limit / 1e6:.0f} MB, found {size / 1e6:.0f} MB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error


def read_text(path: Path, limit: int = LARGEST_FILE) -> str:
    """Return a UTF-8 text; raises DataError if it is none."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x} at {error.start}"
        ) from error


def load_mat5(path: Path, *names: str) -> dict[str, Any]:
    """Load variables of a MATLAB 5 file (`save -v6` or `-v7`): numbers, text, and cells and structures of them.

    Returns
    -------
    The variables as scipy.io.loadmat gives them; all names are there.

    Raises
    ------
    DataError
        If the file is none, is damaged, lacks a variable, declares more than it holds, or holds more numbers than any original.
    """
    data = read_bytes(path)
    try:
        _check_mat5(data, set(names))
        # Bytes, not the path: scipy would look for the name with ".mat" behind it.
        loaded = scipy.io.loadmat(
            io.BytesIO(data),  # type: ignore[arg-type]
            variable_names=list(names),
            verify_compressed_data_integrity=True,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:
        # On damaged files scipy raises whatever its parsing runs into.
        raise DataError(f"{path}: damaged MATLAB 5 file: {one_line(error)}") from error
    for name in names:
        if name not in loaded:
            raise DataError(f"{path}: expected a variable {name!r}, found {found_names(loaded)}")
    return {name: loaded[name] for name in names}


def found_names(names: Any) -> str:
    """Return names that a file has, for a message."""
    return ", ".join(sorted(str(name)[:40] for name in names if not str(name).startswith("__"))[:12]) or "none"


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]


def _check_mat5(data: bytes, names: set[str]) -> None:
    # scipy takes what begins with a zero for MATLAB 4, of which nothing here would have been checked.
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI") or 0 in data[:4]:
        raise DataError("expected a MATLAB 5 file, found another format")
    order = "<" if data[126:128] == b"IM" else ">"
    place, room = 128, _Room()
    while place + 8 <= len(data):
        kind, size = struct.unpack(order + "II", data[place : place + 8])
        body = memoryview(data)[place + 8 : place + 8 + size]
        if len(body) < size:
            raise DataError(f"truncated: expected {size} bytes at {place}, found {len(body)}")
        if kind == _MI_COMPRESSED:
            head = _expand(body, 4096)
            if _name_of(head[8:], order) in names:
                whole = _expand(body, MOST_BYTES + 1)
                room.take(len(whole), 0)
                _check_matrix(memoryview(whole)[8:], order, room)
        elif kind == _MI_MATRIX and _name_of(bytes(body[:4096]), order) in names:
            room.take(size, 0)
            _check_matrix(body, order, room)
        place += 8 + size


class _Room:
    """What the variables of a file may still take."""

    def __init__(self) -> None:
        self.bytes, self.numbers = MOST_BYTES, MOST_NUMBERS

    def take(self, size: int, numbers: int) -> None:
        self.bytes, self.numbers = self.bytes - size, self.numbers - numbers
        if self.bytes < 0:
            raise DataError(f"expected variables of at most {MOST_BYTES / 1e6:.0f} MB, found more")
        if self.numbers < 0:
            raise DataError(
                f"expected at most {MOST_NUMBERS} numbers, a cell counting as {NUMBERS_A_CELL} of them, found more"
            )


def _expand(body: memoryview, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, limit)
    except zlib.error as error:
        raise DataError(f"damaged MATLAB 5 file: {error}") from error


def _elements(body: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of the data elements in `body`."""
    place = 0
    while place + 8 <= len(body):
        kind, size = struct.unpack(order + "II", body[place : place + 8])
        if kind >> 16:  # small element: size and type share the first word
            kind, size = kind & 0xFFFF, kind >> 16
            yield kind, body[place + 4 : place + 4 + min(size, 4)]
            place += 8
            continue
        content = body[place + 8 : place + 8 + size]
        if len(content) < size:
            raise DataError(f"damaged MATLAB 5 file: expected {size} bytes in an element, found {len(content)}")
        yield kind, content
        place += 8 + size + (-size % 8)


def _name_of(body: bytes, order: str) -> str:
    """Return the name in a matrix's header, "" for what has none."""
    try:
        parts = _elements(memoryview(body), order)
        next(parts)
        next(parts)
        return bytes(next(parts)[1]).decode("latin-1")
    except (DataError, StopIteration, struct.error):
        return ""


def _check_matrix(body: memoryview, order: str, room: _Room, depth: int = 0) -> None:
    """Refuse classes that are not plain data, and dimensions for which the element has no bytes."""
    if depth > _MAX_DEPTH:
        raise DataError(f"expected arrays nested at most {_MAX_DEPTH} deep, found more")
    if not len(body):
        room.take(0, NUMBERS_A_CELL)
        return
    parts = _elements(body, order)
    try:
        _, flags = next(parts)
        _, dims = next(parts)
        next(parts)
        array_class = struct.unpack(order + "I", flags[:4])[0] & 0xFF
        shape = struct.unpack(f"{order}{len(dims) // 4}i", dims[: len(dims) // 4 * 4])
    except (StopIteration, struct.error) as error:
        raise DataError("damaged MATLAB 5 file: expected the header of an array") from error
    if array_class not in (_CELL, _STRUCT, _CHAR, *_NUMERIC):
        raise DataError(f"expected plain arrays, found class {_CLASS_NAMES.get(array_class, array_class)}")
    count = math.prod(shape)
    # Every element takes a byte at least, every cell its own header.
    if min(shape, default=-1) < 0 or count * (8 if array_class in (_CELL, _STRUCT) else 1) > len(body):
        raise DataError(f"expected an array that fits {len(body)} bytes, found dimensions {shape[:4]}")
    room.take(0, count * (NUMBERS_A_CELL if array_class in (_CELL, _STRUCT) else 1) + NUMBERS_A_CELL)
    if array_class in (_CELL, _STRUCT):
        for kind, content in parts:
            if kind == _MI_MATRIX:
                _check_matrix(content, order, room, depth + 1)


@contextmanager
def open_mat73(path: Path) -> Iterator[h5py.File]:
    """Open a MATLAB 7.3 file (HDF5); raises DataError if it is none, also for what goes wrong while it is read."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, zlib.error) as error:
        raise DataError(f"{path}: damaged MATLAB 7.3 file: {one_line(error)}") from error


def mat73_array(file: h5py.File, path: Path, name: str) -> np.ndarray:
    """Return a numeric variable of an open MATLAB 7.3 file, in HDF5's order (MATLAB's reversed)."""
    link = file.get(name, getlink=True)
    if link is None:
        raise DataError(f"{path}: expected a variable {name!r}, found {found_names(file.keys())}")
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{path}: {name}: expected data in the file, found a link")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu" or not data.shape:
        raise DataError(f"{path}: {name}: expected an array of numbers, found {getattr(data, 'dtype', 'a group')}")
    if data.external is not None or data.is_virtual:
        raise DataError(f"{path}: {name}: expected data in the file, found a reference to another one")
    # A chunk is unpacked whole, also where the array is smaller.
    if max(data.size, math.prod(data.chunks or ())) > MOST_NUMBERS:
        raise DataError(
            f"{path}: {name}: expected at most {MOST_NUMBERS} numbers, found shape {data.shape} in chunks of {data.chunks}"
        )
    _check_chunks(data, f"{path}: {name}")
    return data[()]


def _check_chunks(data: h5py.Dataset, what: str) -> None:
    """Refuse chunks that unpack to more than they are said to hold: HDF5 makes room for all of it before it looks."""
    if data.chunks is None:
        return
    pipeline = data.id.get_create_plist()
    filters = [pipeline.get_filter(place)[0] for place in range(pipeline.get_nfilters())]
    if not set(filters) <= {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}:
        raise DataError(f"{what}: expected MATLAB's own compression, found filters {filters}")
    # Where a checksum is taken before the compression, it is compressed as well.
    most = math.prod(data.chunks) * data.dtype.itemsize + 4 * filters.count(h5py.h5z.FILTER_FLETCHER32)
    for place in range(data.id.get_num_chunks()):
        start = data.id.get_chunk_info(place).chunk_offset
        skipped, stored = data.id.read_direct_chunk(start)
        packed = [kind == h5py.h5z.FILTER_DEFLATE and not skipped >> number & 1 for number, kind in enumerate(filters)]
        if sum(packed) > 1 or (any(packed) and len(zlib.decompressobj().decompress(stored, most + 1)) > most):
            raise DataError(f"{what}: expected chunks of {most} bytes, found more in that at {start}")
