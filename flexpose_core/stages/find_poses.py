"""The poses that a detector finds in a target's training images: what is known of its distribution beyond the shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import PoseSet, load_cache, write_cache
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile, write_png
from flexpose_core.stages.evaluate import load_detector
from flexpose_core.stages.train_detector import frames_of
from flexpose_core.training.both_views import found_in_both_views
from flexpose_core.training.checkpoint import read_header

MOST = 10_000
"""Images looked at: more say little more of a distribution."""
_SHOWN, _COLUMNS, _SIDE = 24, 8, 128


def find_poses(
    device_name: str,
    detector_weights: Path,
    images: Path,
    out_poses: Path,
    out_picture: Path,
    seed: int,
    most: int | None = MOST,
) -> None:
    """Write the poses found in the images, or in `most` of them drawn by the seed, and a picture of some.

    They are the mean of what is found in an image and in its mirror image.

    The images' own poses are not looked at. Clip, subject, camera, sequence, frame, and where in which picture it was, are the
    image's; all joints count as visible.

    Raises
    ------
    DataError
        If the detector was trained for another skeleton.
    """
    device = pick_device(device_name)
    detector, _, architecture, skeleton = load_detector(detector_weights, device)
    pictures = load_cache(images, images=True)
    if skeleton != pictures.skeleton.name:
        raise DataError(
            f"{images}: expected skeleton {skeleton} as in {detector_weights}, found {pictures.skeleton.name}"
        )
    rows = np.sort(seeds.rng(seed, "find_poses").permutation(len(pictures))[:most])
    # Each is looked at once, and of large sets few are.
    frames = frames_of(pictures, architecture.size, architecture.contrast, in_memory=0)
    found = found_in_both_views(detector, frames, rows, pictures.skeleton, device)
    batch = PoseBatch(
        poses=found,
        visibility=np.ones(found.shape[:2], np.uint8),
        clip=pictures.clip[rows],
        subject=pictures.subject[rows],
        camera=pictures.camera[rows],
        sequence=pictures.sequence[rows],
        frame=pictures.frame[rows],
        crop=None if pictures.crop is None else pictures.crop[rows],
        source=None if pictures.source is None else pictures.source[rows],
    )
    attributes = {
        "source": "found",
        "seed": seed,
        "images": len(pictures),
        "weights": {"detector": read_header(detector_weights)["checksum"]},
    }
    write_cache(out_poses, [batch], pictures.skeleton, attributes)
    write_png(out_picture, _picture(pictures, rows, found))


def _picture(pictures: PoseSet, rows: np.ndarray, found: np.ndarray) -> np.ndarray:
    if pictures.images is None:
        raise DataError("picture of found poses: expected a pose set loaded with its images")
    chosen = np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(int)
    shown = enlarge(pictures.images[rows[chosen]], _SIDE)
    return tile(overlay_poses(shown, found[chosen], pictures.skeleton), _COLUMNS)
