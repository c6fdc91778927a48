"""Pictures of a dataset, read from image files and videos, and cut out around poses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from flexpose_core.datasets.raw import Picture
from flexpose_core.datasets.untrusted import read_bytes
from flexpose_core.errors import DataError

LARGEST_PICTURE = 64_000_000
"""Pixels; a header that declares more is refused before it is decoded."""
LARGEST_FILE = 100_000_000
MEDIAN_FRAMES = 25
"""As many as show through people who move about."""
FEWEST_FRAMES = 5
MEDIAN_BYTES = 320_000_000
"""What they take at most while a median is made: 25 frames of 2048² pixels do, of larger ones fewer, but for `FEWEST_FRAMES`."""


def read_pictures(pictures: Sequence[Picture]) -> Iterator[np.ndarray | None]:
    """Yield each picture as (H, W, 3) uint8 RGB, masked where it has a mask; None for one that cannot be read.

    Frames of one video must come in rising order: it is decoded once, from its beginning, as seeking is not exact.
    """
    video = None
    try:
        for picture in pictures:
            if picture.frame is None:
                image = _read_image(picture.path, cv2.IMREAD_COLOR)
            else:
                if video is None or video.path != picture.path or video.place > picture.frame:
                    if video is not None:
                        video.close()
                    video = _Video(picture.path)
                image = video.frame(picture.frame)
            yield _masked(image, picture.mask)
    finally:
        if video is not None:
            video.close()


def _masked(image: np.ndarray | None, mask: Path | None) -> np.ndarray | None:
    if image is None or mask is None:
        return image
    shown = _read_image(mask, cv2.IMREAD_GRAYSCALE)
    if shown is None or shown.shape != image.shape[:2]:
        return None
    return image * (shown > 0)[..., None].astype(np.uint8)


def _read_image(path: Path, flags: int) -> np.ndarray | None:
    try:
        data = read_bytes(path, LARGEST_FILE)
    except DataError:
        return None
    if not 0 < _declared_pixels(data) <= LARGEST_PICTURE:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if image is None or image.ndim == 2:
        return image
    return np.ascontiguousarray(image[..., ::-1])


def _declared_pixels(data: bytes) -> int:
    """Return width × height as the header of a PNG, JPEG or BMP file states it, 0 for what is none of these."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])
    if data[:2] == b"BM":
        return abs(
            int.from_bytes(data[18:22], "little", signed=True) * int.from_bytes(data[22:26], "little", signed=True)
        )
    place = 2
    while data[:2] == b"\xff\xd8" and place + 9 < len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        # Markers without a length, on which decoders and this could part; none belongs before the size.
        if kind in (0x00, 0x01) or 0xD0 <= kind <= 0xD9:
            return 0
        # SOF0 to SOF15 carry the size; 0xC4, 0xC8 and 0xCC are tables.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[place + 5 : place + 7]) * int.from_bytes(data[place + 7 : place + 9])
        # A marker may be filled up with ones.
        place += 1 if kind == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4])
    return 0


class _Video:
    """A video that is read forwards."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = 0  # the number of the frame that the decoder gives next
        self.capture = cv2.VideoCapture(str(path)) if path.is_file() else None
        if self.capture is not None:
            width, height = (self.capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
            if not 0 < width * height <= LARGEST_PICTURE:
                self.close()
                self.capture = None

    def frame(self, number: int) -> np.ndarray | None:
        """Return a frame, counted from 0, or None where the video has none."""
        if self.capture is None or not self.capture.isOpened():
            return None
        while self.place < number:
            if not self.capture.grab():
                return None
            self.place += 1
        found, image = self.capture.read()
        if not found or image is None:
            return None
        self.place += 1
        return np.ascontiguousarray(image[..., ::-1])

    def close(self) -> None:
        if self.capture is not None:
            self.capture.release()


def median_picture(pictures: Sequence[Picture]) -> np.ndarray | None:
    """Return the temporal median, (H, W, 3) uint8, of up to 25 pictures spread over a sequence; None where it has under 5.

    Of pictures of several sizes, as of a camera that was turned, those of the commonest make it. Masks are left aside: the
    background is what they hide.
    """
    looked_at = _spread(pictures, MEDIAN_FRAMES)
    first = next((image for image in read_pictures(looked_at) if image is not None), None)
    if first is None:
        return None
    middle = _median_of(pictures, first.shape)
    if middle is None:
        shapes = Counter(image.shape for image in read_pictures(looked_at) if image is not None)
        commonest = shapes.most_common(1)[0][0]
        middle = _median_of(pictures, commonest) if commonest != first.shape else None
    return middle


def _median_of(pictures: Sequence[Picture], shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the median of the pictures of this shape, None where they are too few or not most of those that can be read."""
    most = MEDIAN_BYTES // int(np.prod(shape))
    chosen = _spread(pictures, min(MEDIAN_FRAMES, max(FEWEST_FRAMES, most)))
    # Filled as they come: a list of pictures and their stack would take twice as much.
    stack = np.empty((len(chosen), *shape), np.uint8)
    count = readable = 0
    for image in read_pictures(chosen):
        if image is not None:
            readable += 1
            if image.shape == shape:
                stack[count] = image
                count += 1
    if count < FEWEST_FRAMES or 2 * count <= readable:
        return None
    middle = np.empty(shape, np.uint8)
    # Row by row, and copied at once: a partition is as large as what it sorts, and its middle would keep it alive.
    for row in range(len(middle)):
        middle[row] = np.partition(stack[:count, row], count // 2, axis=0)[count // 2]
    return middle


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most so many pictures, without their masks, evenly spread over a sequence."""
    places = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int))
    return [Picture(pictures[place].path, pictures[place].frame) for place in places]


def cut(picture: np.ndarray, crop: np.ndarray, size: int) -> np.ndarray:
    """Return what lies in `crop` (x, y, width, height; see `crops`) as (size, size, 3) uint8, area-averaged; black outside."""
    x, y, width, height = (float(value) for value in crop)
    # Sampled as finely as the picture, then averaged: a warp alone would alias.
    fine = max(1, min(8, round(max(width, height) / size)))
    side = size * fine
    scale_x, scale_y = width / side, height / side
    matrix = np.array([[scale_x, 0, x + 0.5 * scale_x - 0.5], [0, scale_y, y + 0.5 * scale_y - 0.5]])
    sampled = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return sampled if fine == 1 else cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA)


def border_colour(image: np.ndarray) -> np.ndarray:
    """Return a picture of one colour, the median of the image's border: what a single picture tells of its background."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.broadcast_to(np.median(border, axis=0).astype(np.uint8), image.shape)
