"""Pictures for people: contact sheets, grids, joints drawn over images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from flexpose_core.errors import DataError, OutputError
from flexpose_core.files import atomic_path
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.skeletons import Skeleton

_PNG = b"\x89PNG\r\n\x1a\n"


def tile(images: np.ndarray, columns: int, gap: int = 2, ground: int = 255) -> np.ndarray:
    """Lay (N, H, W, 3) uint8 images out in rows of `columns`; returns one (H', W', 3) uint8 image."""
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), ground, np.uint8)
    for k, image in enumerate(images):
        y, x = gap + (k // columns) * (height + gap), gap + (k % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Resize (N, H, W, 3) uint8 images to (N, size, size, 3)."""
    way = cv2.INTER_AREA if size < images.shape[1] else cv2.INTER_CUBIC
    return np.stack([cv2.resize(image, (size, size), interpolation=way) for image in images])


def overlay_poses(
    images: np.ndarray,
    poses: np.ndarray,
    skeleton: Skeleton,
    visibility: np.ndarray | None = None,
    thickness: int = 1,
) -> np.ndarray:
    """Draw each pose, (N, K, 2) in 0..1, over its image, (N, S, S, 3) uint8; returns new images.

    Of `visibility`, (N, K), joints that are 0 are left out, and so are their bones.
    """
    drawn = images.copy()
    colours = np.round(skeleton.bone_colours * 255).astype(int).tolist()
    shown = np.ones(poses.shape[:2], bool) if visibility is None else visibility > 0
    for image, pose, seen in zip(drawn, poses, shown, strict=True):
        points = np.round((pose * len(image) - 0.5) * 16).astype(int)
        for (start, end), colour in zip(skeleton.bone_ends, colours, strict=True):
            if seen[start] and seen[end]:
                cv2.line(image, points[start].tolist(), points[end].tolist(), colour, thickness, cv2.LINE_AA, 4)
        for point in points[seen]:
            cv2.circle(image, point.tolist(), 24, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return drawn


def pose_cells(
    poses: np.ndarray, visibility: np.ndarray, images: Sequence[np.ndarray | None], skeleton: Skeleton, side: int
) -> np.ndarray:
    """Return a picture (N, side, side, 3) uint8 of each pose (N, K, 2): over its image, every second one bare, or a drawing.

    `images` are (S, S, 3) uint8, or None where a pose has none. Joints that `visibility` (N, K) calls invisible are left out.
    """
    cells = np.zeros((len(poses), side, side, 3), np.uint8)
    over_images = 0
    for place, image in enumerate(images):
        row = slice(place, place + 1)
        if image is not None:
            cells[row] = enlarge(image[None], side)
            over_images += 1
        if image is None and visibility[row].all():
            cells[row] = draw_lines(poses[row], skeleton, side)
        elif image is None or over_images % 2 == 0:
            cells[row] = overlay_poses(cells[row], poses[row], skeleton, visibility[row])
    return cells


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Turn images (N, C, H, W) in -1..1, C = 1 or 3, into (N, H, W, 3) uint8."""
    last = np.moveaxis(np.clip((images + 1) * 127.5, 0, 255).round().astype(np.uint8), 1, -1)
    return np.repeat(last, 3, axis=-1) if last.shape[-1] == 1 else last


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image atomically."""
    ok, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    if not ok:
        raise OutputError(f"{path}: could not be encoded as PNG: image of shape {image.shape}")
    with atomic_path(path) as partial:
        partial.write_bytes(data.tobytes())


def read_png(path: str | Path) -> np.ndarray:
    """Read a picture that `write_png` wrote, (H, W, 3) uint8 RGB; raises DataError if it is missing, damaged or no PNG.

    Decoders show what they can of a damaged file; so the checksums that PNG has of each chunk are looked at first.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error
    place, last = len(_PNG), b""
    whole = data.startswith(_PNG)
    while whole and place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        whole = end <= len(data) and zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        last, place = data[place + 4 : place + 8], end
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole and last == b"IEND" else None
    if image is None:
        raise DataError(f"{path}: expected a PNG picture, found a damaged one or something else")
    return image[..., ::-1]
