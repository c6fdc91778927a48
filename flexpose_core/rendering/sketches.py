"""Sketches: poses as subjects in random colours and light before given scenes, labelled images that cost nothing.

They look like no image that there is, but for where things are. Who finds poses in all sketches looks for what stands out along a
line, or ends in an outline, whatever it looks like (domain randomisation; Tobin et al. 2017, https://arxiv.org/abs/1703.06907).
Bodies are sketched as mannequins; what has landmarks on a surface, such as a face, fills the hull of these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flexpose_core.anatomy import anatomy_of
from flexpose_core.errors import ConfigError
from flexpose_core.rendering.differentiable import bones_of, pixel_centres, squared_distance
from flexpose_core.rendering.mannequins import draw_mannequins
from flexpose_core.rendering.sketch_parts import Draws, hull
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom

# `Draws.paint` of a surface outside its landmarks' hull; and of what is added inside it, and along the bones.
_OUTSIDE, _INSIDE, _PARTS = (0.35, 0.1), (0.3, 0.1), (0.35, 0.15)
_LIGHT, _CLOUDS, _NOISE = 0.2, ((4, 0.12), (10, 0.12)), 0.04
_THICKNESS = (0.012, 0.042)
"""Standard deviation of a part's cross-section, as fractions of the side, from the least to the greatest."""
_MARGIN = (0.08, 0.14)
"""How far the surface reaches beyond its landmarks, in fractions of the side, before it bulges, out or as far as these."""
_BULGES = (0.12, 0.08, 0.05)


def draw_sketches(poses: Tensor, skeleton: Skeleton, scenes: Tensor, random: StepRandom) -> Tensor:
    """Return images (B, 3, S, S) in -1..1.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1 over the image.
    scenes
        (B, 3, S, S) in -1..1, what is behind.
    """
    draws = Draws(random, len(poses), scenes.shape[-1], poses.device)
    try:
        anatomy = anatomy_of(skeleton)
    except ConfigError:
        return _draw_surfaces(poses, skeleton, scenes, draws)
    return draw_mannequins(poses, anatomy, scenes, draws)


def _draw_surfaces(poses: Tensor, skeleton: Skeleton, scenes: Tensor, draws: Draws) -> Tensor:
    """Return images of surfaces that fill the convex hull of their landmarks and some more around.

    What is within the hull may be of another colour than what is outside. Bones of one colour of the skeleton are a part, drawn
    with one thickness, brighter or darker than what is below. Light changes across the surface.
    """
    x, y = pixel_centres(poses, draws.size)
    outside = draws.paint(*_OUTSIDE)
    inside = outside + draws.paint(*_INSIDE)
    surface = outside + hull(poses, draws.size, 0.02 * draws.normal(1)) * (inside - outside)
    distances = [squared_distance(x, y, *bone) for bone in bones_of(poses, skeleton)]
    for part in parts_of(skeleton):
        nearest = torch.stack([distances[bone] for bone in part]).amin(0)
        thickness = draws.uniform(*_THICKNESS, 1, 1)
        cover = torch.exp(nearest / (-2 * thickness.square()))[:, None]
        surface = surface + cover * draws.paint(*_PARTS)
    for along in (x, y):
        surface = surface + draws.light(along, _LIGHT)
    for cells, strength in _CLOUDS:
        surface = surface + draws.clouds(cells, strength)
    surface = surface + _NOISE * draws.normal(3, draws.size, draws.size)
    outline = hull(poses, draws.size, draws.uniform(*_MARGIN, 1) + draws.bulges(_BULGES).clamp(min=-_MARGIN[0]))
    return (scenes + outline * (surface - scenes)).clamp(-1, 1)


def parts_of(skeleton: Skeleton) -> list[list[int]]:
    """Return the places of the bones of each part: those of one colour."""
    parts: dict[tuple[float, float, float], list[int]] = {}
    for place, bone in enumerate(skeleton.bones):
        parts.setdefault(bone.colour, []).append(place)
    return list(parts.values())
