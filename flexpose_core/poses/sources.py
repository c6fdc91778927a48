"""The names of the original pictures and videos, as text that caches hold and that is read back in pieces."""

from __future__ import annotations

import h5py
import numpy as np

from flexpose_core.errors import DataError


class Sources:
    """The original picture of each of N poses: a file's or a video's path below the dataset's root.

    Parameters
    ----------
    code
        (N,) int32, the name of each.
    text
        (B,) uint8, all names one after the other in UTF-8: an array, or an HDF5 dataset that stays open.
    ends
        (C,) int64, where each name ends.
    name
        What to call them in an error.
    """

    def __init__(
        self, code: np.ndarray, text: np.ndarray | h5py.Dataset, ends: np.ndarray | h5py.Dataset, name: str
    ) -> None:
        self.code, self.text, self.ends, self.name = code, text, ends, name

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the names (n,) of these poses, text objects.

        Raises
        ------
        DataError
            If names and codes do not belong together.
        """
        codes = self.code[rows]
        names = np.empty(len(codes), object)
        if not len(codes):
            return names
        # Poses near one another have names near one another: these are read at one go.
        low, high = int(codes.min()), int(codes.max()) + 1
        ends = self.ends[max(low - 1, 0) : high]
        ends = ends if low else np.concatenate([[0], ends])
        if low < 0 or len(ends) != high - low + 1:
            raise DataError(f"{self.name}: expected {high} names of originals, found {len(self.ends)}")
        text = bytes(self.text[int(ends[0]) : int(ends[-1])])
        shift = int(ends[0])
        held = {
            code: text[int(ends[code - low]) - shift : int(ends[code - low + 1]) - shift].decode(
                "utf-8", "surrogateescape"
            )
            for code in set(codes.tolist())
        }
        names[:] = [held[code] for code in codes.tolist()]
        return names
