"""A picture of annotated people in other poses, for the eye to judge what a detector is taught by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.geometry import loosened
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import complete_poses
from flexpose_core.rendering.charts import picture_figure, write_figure
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile
from flexpose_core.stages.train_animated import cut_out

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
    """Draw the annotated images, people in them in loosened poses of the annotation set, and these poses over them.

    Raises
    ------
    DataError
        If no pose has all joints visible, or no shot can be animated.
    ConfigError
        If the skeleton is not that of a jointed body.
    """
    pictures, annotated, poses = load_cache(image_cache, images=True), load_cache(shots), load_cache(pose_cache)
    people = cut_out(annotated, shots, pictures, image_cache)
    rng, wanted = seeds.rng(seed, "animated_figure"), complete_poses(poses, pose_cache)
    taken = wanted[rng.choice(len(wanted), min(_COLUMNS * _BANDS, len(wanted)), replace=False)]
    limbs = people.puppets.anatomy.limbs[:, 1]
    taken = loosened(taken, annotated.skeleton, limbs, animation.turn, animation.stretch, rng)
    scenes = people.grounds[rng.integers(len(people.grounds), size=len(taken))]
    drawn = enlarge(people.puppets.draw(taken, scenes, animation.appearances, animation.behind, rng), _SIDE)
    shown = np.flatnonzero(people.animated)[:_COLUMNS]
    rows_shown, names = (
        [overlay_poses(enlarge(people.images[shown], _SIDE), people.poses[shown], annotated.skeleton)],
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
