"""A look at what a cache holds: poses over their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.poses.cache import open_cache, read_rows
from flexpose_core.poses.images import EncodedImages
from flexpose_core.rendering.pictures import pose_cells, tile, write_png
from flexpose_core.skeletons import skeleton_named

COLUMNS, ROWS, SIDE = 12, 4, 128


def contact_sheet(cache: Path, seed: int, out: Path) -> None:
    """Draw poses at random over their images, every second one bare; without images, draw the skeletons."""
    with open_cache(cache, images="if any") as file:
        count = int(file.attrs["count"])
        chosen = np.sort(seeds.rng(seed, "contact_sheet").choice(count, min(COLUMNS * ROWS, count), replace=False))
        # One row at a time: those between are not read.
        rows = [read_rows(file, cache, chosen[place : place + 1]) for place in range(len(chosen))]
        images: list[np.ndarray | None] = [None] * len(chosen)
        if "images" in file:
            size = int(file.attrs["image_size"])
            stored = EncodedImages(file["images"], file["image_ends"][:], size, f"{cache}: image")
            images = list(stored[chosen])
        skeleton = skeleton_named(str(file.attrs["skeleton"]))
    poses = np.concatenate([row.poses for row in rows])
    visibility = np.concatenate([row.visibility for row in rows])
    write_png(out, tile(pose_cells(poses, visibility, images, skeleton, SIDE), COLUMNS))
