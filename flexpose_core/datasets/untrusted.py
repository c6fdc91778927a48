"""Files from elsewhere, opened with care: no pickle, no link out of the root, no more memory than the file may need."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from flexpose_core.errors import DataError

EXPANDED_LIMIT = 600_000_000
"""Bytes to which the variables asked of one file may expand; the largest original needs about 80 MB."""

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
    if "\0" in relative or len(relative) > _LONGEST_PATH:
        raise DataError(f"{stated_by}: expected a path inside {root}, found {relative[:80]!r}")
    try:
        path = Path(os.path.normpath(root / relative))
        resolved, base = path.resolve(), root.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{stated_by}: expected a path inside {root}, found {relative[:80]!r}: {error}") from error
    if not resolved.is_relative_to(base):
        raise DataError(f"{stated_by}: expected a path inside {root}, found {relative[:80]!r}")
    return path


def read_bytes(path: Path, limit: int = EXPANDED_LIMIT) -> bytes:
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


def read_text(path: Path, limit: int = EXPANDED_LIMIT) -> str:
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
        If the file is none, is damaged, lacks a variable, or declares more than it holds.
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
        raise DataError(f"{path}: damaged MATLAB 5 file: {_one_line(error)}") from error
    for name in names:
        if name not in loaded:
            raise DataError(f"{path}: expected a variable {name!r}, found {_found(loaded)}")
    return {name: loaded[name] for name in names}


def _found(names: Any) -> str:
    return ", ".join(sorted(str(name)[:40] for name in names if not str(name).startswith("__"))[:12]) or "none"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200]


def _check_mat5(data: bytes, names: set[str]) -> None:
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise DataError("expected a MATLAB 5 file, found another format")
    order = "<" if data[126:128] == b"IM" else ">"
    place, total = 128, 0
    while place + 8 <= len(data):
        kind, size = struct.unpack(order + "II", data[place : place + 8])
        body = memoryview(data)[place + 8 : place + 8 + size]
        if len(body) < size:
            raise DataError(f"truncated: expected {size} bytes at {place}, found {len(body)}")
        if kind == _MI_COMPRESSED:
            head = _expand(body, 4096)
            if _name_of(head[8:], order) in names:
                whole = _expand(body, EXPANDED_LIMIT + 1)
                total += len(whole)
                _limit(total)
                _check_matrix(memoryview(whole)[8:], order, 0)
        elif kind == _MI_MATRIX and _name_of(bytes(body[:4096]), order) in names:
            total += size
            _limit(total)
            _check_matrix(body, order, 0)
        place += 8 + size


def _limit(total: int) -> None:
    if total > EXPANDED_LIMIT:
        raise DataError(f"expected variables of at most {EXPANDED_LIMIT / 1e6:.0f} MB, found more")


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


def _check_matrix(body: memoryview, order: str, depth: int) -> None:
    """Refuse classes that are not plain data, and dimensions for which the element has no bytes."""
    if depth > _MAX_DEPTH:
        raise DataError(f"expected arrays nested at most {_MAX_DEPTH} deep, found more")
    if not len(body):
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
    count = 1
    for side in shape:
        count *= side
    # Every element takes a byte at least, every cell its own header.
    if min(shape, default=-1) < 0 or count * (8 if array_class in (_CELL, _STRUCT) else 1) > len(body):
        raise DataError(f"expected an array that fits {len(body)} bytes, found dimensions {shape[:4]}")
    if array_class in (_CELL, _STRUCT):
        for kind, content in parts:
            if kind == _MI_MATRIX:
                _check_matrix(content, order, depth + 1)


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
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged MATLAB 7.3 file: {_one_line(error)}") from error


def mat73_array(file: h5py.File, path: Path, name: str, limit: int = EXPANDED_LIMIT) -> np.ndarray:
    """Return a numeric variable of an open MATLAB 7.3 file, in HDF5's order (MATLAB's reversed)."""
    link = file.get(name, getlink=True)
    if link is None:
        raise DataError(f"{path}: expected a variable {name!r}, found {_found(file.keys())}")
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{path}: {name}: expected data in the file, found a link")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name}: expected an array of numbers, found {getattr(data, 'dtype', 'a group')}")
    if data.external is not None or data.is_virtual:
        raise DataError(f"{path}: {name}: expected data in the file, found a reference to another one")
    if data.size * data.dtype.itemsize > limit:
        raise DataError(f"{path}: {name}: expected at most {limit / 1e6:.0f} MB, found shape {data.shape}")
    return data[()]


def load_npz(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Load arrays of an .npz without pickle; raises DataError for what is missing, damaged, or larger than it may be."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _npy(archive, name, path) for name in names}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except DataError:
        raise
    except Exception as error:
        # On damaged archives zipfile raises whatever its parsing runs into.
        raise DataError(f"{path}: damaged .npz: {_one_line(error)}") from error


def _npy(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    members = {info.filename: info for info in archive.infolist()}
    if f"{name}.npy" not in members:
        raise DataError(f"{path}: expected an array {name!r}, found {_found(members)}")
    size = members[f"{name}.npy"].file_size
    if size > EXPANDED_LIMIT:
        raise DataError(f"{path}: {name}: expected at most {EXPANDED_LIMIT / 1e6:.0f} MB, found {size / 1e6:.0f} MB")
    with archive.open(f"{name}.npy") as member:
        header, dtype = _npy_header(member, name, path)
        wanted = int(np.prod(header[0], dtype=object)) * dtype.itemsize
        if wanted > size:
            raise DataError(f"{path}: {name}: expected {wanted} bytes for shape {header[0]}, found {size}")
        data = member.read(wanted)
    if len(data) < wanted:
        raise DataError(f"{path}: {name}: truncated: expected {wanted} bytes, found {len(data)}")
    return np.frombuffer(data, dtype).reshape(header[0], order="F" if header[1] else "C")


def _npy_header(member: Any, name: str, path: Path) -> tuple[tuple[tuple[int, ...], bool], np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member, max_header_size=10_000)
    if dtype.hasobject:
        raise DataError(f"{path}: {name}: expected plain numbers or text, found pickled objects")
    return (shape, fortran), dtype
