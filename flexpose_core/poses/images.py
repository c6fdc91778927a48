"""Images as encoded bytes: how caches hold them, and how they are read back at random."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import cv2
import h5py
import numpy as np

from flexpose_core.errors import DataError

JPEG_QUALITY = 92
_PARALLEL_FROM = 64  # fewer are decoded sooner than threads are handed their share


def encode_images(images: np.ndarray | Sequence[np.ndarray], kind: Literal["jpeg", "png"]) -> np.ndarray:
    """Return (n,) objects, the bytes of each (S, S, 3) uint8 RGB image; an image that follows itself shares its bytes."""
    encoded = np.empty(len(images), object)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    for row, image in enumerate(images):
        if row and (image is images[row - 1] or np.array_equal(image, images[row - 1])):
            encoded[row] = encoded[row - 1]
            continue
        ok, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[..., ::-1]), parameters)
        if not ok:
            raise DataError(f"image of shape {image.shape}: could not be encoded as {kind}")
        encoded[row] = data.tobytes()
    return encoded


def decode_image(data: bytes) -> np.ndarray | None:
    """Return an encoded image as (H, W, 3) uint8 RGB, or None if it is none."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if image is None else image[..., ::-1]


class EncodedImages:
    """N square images of one size, decoded when they are asked for.

    Parameters
    ----------
    data
        (B,) uint8, all images' bytes one after the other: an array, or an HDF5 dataset that stays open.
    ends
        (N,) int64, where each image's bytes end.
    size
        Side of the images in pixels.
    name
        What to call it in an error.
    """

    def __init__(self, data: np.ndarray | h5py.Dataset, ends: np.ndarray, size: int, name: str) -> None:
        self.data, self.ends, self.size, self.name = data, ends, size, name

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def decoded_bytes(self) -> int:
        """What all images take once they are decoded."""
        return len(self) * self.size * self.size * 3

    def encoded(self, row: int) -> bytes:
        """Return the bytes of one image."""
        start = int(self.ends[row - 1]) if row else 0
        return bytes(self.data[start : int(self.ends[row])])

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return images (n, S, S, 3) uint8 RGB.

        Raises
        ------
        DataError
            If one cannot be decoded, or is of another size.
        """
        # A background often stands behind many images of a batch.
        places, back = np.unique(np.arange(len(self))[rows], return_inverse=True)
        # HDF5 reads one at a time anyway; decoding runs outside Python's lock.
        if len(places) < _PARALLEL_FROM or cv2.getNumThreads() < 2:
            found = [self._decode(int(row), self.encoded(int(row))) for row in places]
        else:
            with ThreadPoolExecutor(cv2.getNumThreads()) as pool:
                found = list(pool.map(self._decode, places, [self.encoded(int(row)) for row in places]))
        return np.stack(found)[back] if found else np.empty((0, self.size, self.size, 3), np.uint8)

    def _decode(self, row: int, data: bytes) -> np.ndarray:
        image = decode_image(data)
        if image is None or image.shape != (self.size, self.size, 3):
            found = "nothing that can be decoded" if image is None else f"{image.shape}"
            raise DataError(f"{self.name} {row}: expected an image of {self.size} × {self.size} pixels, found {found}")
        return image
