"""Neck and shoulders: rings of faces below the end of a head's mesh, so that no head floats."""

from __future__ import annotations

import numpy as np

# Each ring: how far below the middle of the neck's end, in metres, how much wider than it in x and in y, how much nearer to
# the back, and how far it follows the head's turns.
RINGS = (
    (0.015, 1.04, 1.04, 0.000, 0.40),
    (0.030, 1.25, 1.15, 0.003, 0.20),
    (0.045, 2.10, 1.40, 0.006, 0.00),
    (0.065, 3.00, 1.70, 0.008, 0.00),
    (0.110, 3.70, 2.00, 0.008, 0.00),
    (0.420, 4.00, 2.20, 0.008, 0.00),
)
CLOTHED = 1  # faces below this ring belong to the clothes
NECK_END_FOLLOWS = 0.6


def neck_loop(faces: np.ndarray) -> np.ndarray:
    """Return the vertices along a mesh's one open border, in order, the mesh on their left seen from outside."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in known if (b, a) not in known}
    loop = [min(following)]
    while (vertex := following[loop[-1]]) != loop[0]:
        loop.append(vertex)
    return np.array(loop)


def add_bust(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices (V', 3), faces (T', 3), how far each vertex follows the head (V',), and which faces are clothes (T',).

    The vertices and faces given come first; a head's skin follows ever less towards the end of its neck.
    """
    loop = neck_loop(faces)
    end = vertices[loop]
    middle = end.mean(axis=0)
    parts, follow = [vertices], [_follow_of_head(vertices, end)]
    added, clothed = [faces], [np.zeros(len(faces), bool)]
    above = loop
    for number, (below, wide, deep, back, follows) in enumerate(RINGS):
        ring = middle + (end - middle) * [wide, deep, 0.3] + [0, back, -below]
        places = len(vertices) + number * len(loop) + np.arange(len(loop))
        after, above_after = np.roll(places, -1), np.roll(above, -1)
        # The border runs with the mesh on its left, so the new faces run against it.
        added += [np.stack([above, places, after], 1), np.stack([above, after, above_after], 1)]
        clothed += [np.full(len(loop), number > CLOTHED)] * 2
        parts.append(ring.astype(vertices.dtype))
        follow.append(np.full(len(loop), follows))
        above = places
    return np.concatenate(parts), np.concatenate(added), np.concatenate(follow), np.concatenate(clothed)


def _follow_of_head(vertices: np.ndarray, end: np.ndarray) -> np.ndarray:
    """1 for the head, less from 4 cm above the neck's end, a slanted plane, down to it."""
    front, back = end[end[:, 1].argmin()], end[end[:, 1].argmax()]
    slope = (back[2] - front[2]) / (back[1] - front[1])
    height = vertices[:, 2] - front[2] - slope * (vertices[:, 1] - front[1])
    return NECK_END_FOLLOWS + (1 - NECK_END_FOLLOWS) * np.clip(height / 0.04, 0, 1)
