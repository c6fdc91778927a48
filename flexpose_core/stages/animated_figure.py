"""A picture of annotated people in other poses, for the eye to judge what a detector is taught by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.rendering.animation import Puppets
from flexpose_core.rendering.charts import picture_figure, write_figure
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile
from flexpose_core.stages.train_detector import complete_poses, places_of

ANNOTATED, ANIMATED, POSES = "annotated", "animated", "poses"
_COLUMNS, _BANDS, _SIDE = 10, 2, 128


def draw_animated_people(
    animation: AnimationOptions,
    shots: Path,
    image_cache: Path,
    pose_cache: Path,
    seed: int,
    out_png: Path,
    out_svg: Path,
) -> None:
    """Draw the annotated images, people in them in poses of the annotation set, and these poses over them.

    Raises
    ------
    DataError
        If no shot or pose has all joints visible, a shot is none of the images, or these have no backgrounds.
    ConfigError
        If the skeleton is not that of a jointed body.
    """
    pictures, annotated, poses = load_cache(image_cache, images=True), load_cache(shots), load_cache(pose_cache)
    if pictures.images is None or pictures.backgrounds is None or pictures.background is None:
        raise DataError(f"{image_cache}: expected images and backgrounds, found poses alone")
    own = complete_poses(annotated, shots)
    rows = places_of(annotated, pictures, shots)[annotated.visibility.all(axis=1)]
    images = pictures.images[rows]
    puppets = Puppets(images, pictures.backgrounds[pictures.background[rows]], own, annotated.skeleton)
    rng, wanted = seeds.rng(seed, "animated_figure"), complete_poses(poses, pose_cache)
    taken = wanted[rng.choice(len(wanted), min(_COLUMNS * _BANDS, len(wanted)), replace=False)]
    scenes = pictures.backgrounds[rng.integers(len(pictures.backgrounds), size=len(taken))]
    drawn = enlarge(puppets.draw(taken, scenes, animation.appearances, animation.behind, rng), _SIDE)
    rows_shown, names = (
        [overlay_poses(enlarge(images, _SIDE)[:_COLUMNS], own[:_COLUMNS], annotated.skeleton)],
        [ANNOTATED],
    )
    for start in range(0, len(taken), _COLUMNS):
        band = slice(start, start + _COLUMNS)
        rows_shown += [drawn[band], overlay_poses(drawn[band], taken[band], annotated.skeleton)]
        names += [ANIMATED, POSES]
    # A row may be short of pictures where there are fewer shots or poses than columns.
    blank = np.full((_COLUMNS, _SIDE, _SIDE, 3), 255, np.uint8)
    full = [tile(np.concatenate([row, blank[len(row) :]]), _COLUMNS) for row in rows_shown]
    write_figure(picture_figure(np.concatenate(full), names, []), out_png, out_svg)
