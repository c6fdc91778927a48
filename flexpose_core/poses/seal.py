"""The seal at the end of a pose cache: checksums over every byte, looked at before HDF5 reads the first one.

HDF5 checks little of what it reads: a damaged file may give other numbers, or end the process. Images take most of a cache, and
who asks for poses alone does not read them; so they have a checksum of their own.

    HDF5 file | seal, JSON | its length, 8 hexadecimal digits | MARK

HDF5 pays no heed to what follows its file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import h5py
import msgspec

from flexpose_core.errors import DataError

MARK = b"\nflexpose-seal-1\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BLOCK = 1 << 22
_IMAGES = ("images", "backgrounds")


class _Seal(msgspec.Struct, forbid_unknown_fields=True):
    """The HDF5 file's size, where in it images are, as rising (start, end), the checksum over these, and that over all else."""

    size: int
    images: list[tuple[int, int]]
    image_checksum: str
    checksum: str = ""


def write_seal(path: str | Path) -> None:
    """Append the seal to a cache that is otherwise complete."""
    with h5py.File(path, "r") as file:
        images = _ranges_of(file)
    size = os.path.getsize(path)
    seal = _Seal(size, images, _checksum(path, images))
    seal.checksum = _core_checksum(path, seal)
    text = msgspec.json.encode(seal)
    with open(path, "ab") as file:
        file.write(text + f"{len(text):08x}".encode() + MARK)


def check_seal(path: str | Path, images: bool) -> None:
    """Read the whole file, its images only if asked, in constant memory.

    Raises
    ------
    DataError
        If there is no such file, it is no cache, or a byte of it is not as it was written.
    """
    try:
        seal = _read_seal(path)
        if _core_checksum(path, seal) != seal.checksum:
            raise DataError(f"{path}: damaged pose cache: its content does not fit the checksum {seal.checksum}")
        if images and _checksum(path, seal.images) != seal.image_checksum:
            raise DataError(f"{path}: damaged images: they do not fit the checksum {seal.image_checksum}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error


def _read_seal(path: str | Path) -> _Seal:
    size, tail = os.path.getsize(path), len(MARK) + 8
    with open(path, "rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            raise DataError(f"{path}: expected an HDF5 pose cache, found something else")
        file.seek(max(0, size - tail))
        end = file.read()
        if len(end) != tail or not end.endswith(MARK):
            raise DataError(
                f"{path}: expected a pose cache's seal at the end, found none: cut off, or of another origin"
            )
        try:
            length = int(end[:8], 16)
            file.seek(size - tail - length)
            seal = msgspec.json.decode(file.read(length), type=_Seal)
        except (ValueError, OSError, msgspec.MsgspecError) as error:
            raise DataError(f"{path}: damaged pose cache: its seal cannot be read") from error
    bounds = [0, *(bound for pair in seal.images for bound in pair), seal.size]
    if seal.size != size - tail - length or bounds != sorted(bounds):
        raise DataError(f"{path}: damaged pose cache: expected {seal.size} bytes before its seal, found another length")
    return seal


def _core_checksum(path: str | Path, seal: _Seal) -> str:
    starts = [0, *(end for _, end in seal.images)]
    ends = [*(start for start, _ in seal.images), seal.size]
    stated = msgspec.json.encode(msgspec.structs.replace(seal, checksum=""))
    return _checksum(path, zip(starts, ends, strict=True), stated)


def _checksum(path: str | Path, ranges: Iterable[tuple[int, int]], begun: bytes = b"") -> str:
    state = hashlib.blake2b(begun, digest_size=16)
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:
        for start, end in ranges:
            file.seek(start)
            while start < end:
                count = file.readinto(block[: min(_BLOCK, end - start)])
                if not count:
                    raise DataError(f"{path}: expected {end - start} bytes more, found the file's end")
                state.update(block[:count])
                start += count
    return state.hexdigest()


def _ranges_of(file: h5py.File) -> list[tuple[int, int]]:
    """Return where the chunks of images lie, those that adjoin as one."""
    chunks: list[tuple[int, int]] = []
    for name in _IMAGES:
        if name in file:
            file[name].id.chunk_iter(lambda info: chunks.append((info.byte_offset, info.byte_offset + info.size)))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(chunks):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
