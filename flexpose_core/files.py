"""Outputs appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flexpose_core.errors import DataError, OutputError

# Kept free for what a library still writes when a file is closed.
_RESERVE = 16_000_000
_CHECKSUM = "checksum"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name of `path`, on failure it is removed.

    Raises
    ------
    OutputError
        If the file system refuses (disk full, folder read-only); nothing is left under `path` that was not there before.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{path}: could not be written: {error.strerror}") from error
    partial = Path(name)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: could not be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def require_space(path: str | Path, nbytes: int) -> None:
    """Raise OutputError unless `nbytes` and a reserve are free where `path` will be.

    For writers that do not survive a full disk: HDF5 reports it as often as it has buffers, and then crashes.
    """
    folder = Path(path).absolute().parent
    free = shutil.disk_usage(folder).free
    if free < nbytes + _RESERVE:
        raise OutputError(
            f"{path}: could not be written: No space left on device: expected {(nbytes + _RESERVE) / 1e6:.0f} MB free, "
            f"found {free / 1e6:.0f} MB"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write `text` atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON with sorted keys, atomically, its checksum with it; NaN is refused, as JSON has none."""
    # As it will be read: numbers that are keys become text, and are sorted as such.
    value = json.loads(json.dumps(value, allow_nan=False))
    sealed = {**value, _CHECKSUM: _json_checksum(value)}
    write_text(path, json.dumps(sealed, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that `write_json` wrote; the checksum is left out.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, or is not as it was written.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected JSON, found {error}") from error
    stated = value.pop(_CHECKSUM, None) if isinstance(value, dict) else None
    if stated is None:
        raise DataError(f"{path}: expected a JSON object with {_CHECKSUM!r}, found none")
    found = _json_checksum(value)
    if stated != found:
        raise DataError(f"{path}: damaged or edited: expected checksum {stated}, found {found}")
    return value


def _json_checksum(value: dict[str, Any]) -> str:
    return digest(json.dumps(value, sort_keys=True).encode())


def digest(*chunks: bytes | memoryview) -> str:
    """Return the BLAKE2b checksum (16 bytes, hexadecimal) of the chunks."""
    state = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()
