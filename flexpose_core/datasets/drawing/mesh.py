"""Triangle meshes: cutting along level sets, and normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh: vertices (V, 3), faces (T, 3) anticlockwise from outside, and weights (V, J), such as those of skinning,
    which a new vertex on an edge takes from its ends."""

    vertices: np.ndarray
    weights: np.ndarray
    faces: np.ndarray


def cut(mesh: Mesh, level: np.ndarray, among: np.ndarray) -> Mesh:
    """Split the faces marked in `among` (T,) where `level` (V,), linear along edges, passes zero.

    A crossed triangle becomes one on the side of its lone corner and two on the other; area and winding are kept.
    """
    return cut_and_trace(mesh, level, among)[0]


def cut_and_trace(mesh: Mesh, level: np.ndarray, among: np.ndarray) -> tuple[Mesh, np.ndarray]:
    """Return the mesh that `cut` does, and the face of the old mesh that each of its faces (T',) is a part of."""
    level = np.where(np.abs(level) < 1e-7, 1e-7, level)
    above = level[mesh.faces] > 0
    crossed = among & (above.any(axis=1) != above.all(axis=1))
    if not crossed.any():
        return mesh, np.arange(len(mesh.faces))
    faces, signs = mesh.faces[crossed], above[crossed]
    lone_is_above = signs.sum(axis=1) == 1
    lone_corner = np.argmax(signs == lone_is_above[:, None], axis=1)
    order = (lone_corner[:, None] + np.arange(3)) % 3
    lone, second, third = np.take_along_axis(faces, order, axis=1).T
    edges = np.sort(np.concatenate([np.stack([lone, second], 1), np.stack([lone, third], 1)]), axis=1)
    unique, place = np.unique(edges, axis=0, return_inverse=True)
    first, last = unique.T
    part = (level[first] / (level[first] - level[last]))[:, None]
    on_second, on_third = (len(mesh.vertices) + place.reshape(2, -1)).astype(mesh.faces.dtype)

    def between(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, (values[first] * (1 - part) + values[last] * part).astype(values.dtype)])

    pieces = [(lone, on_second, on_third), (on_second, second, third), (on_second, third, on_third)]
    split = np.concatenate([np.stack(piece, axis=1) for piece in pieces])
    origin = np.concatenate([np.flatnonzero(~crossed), np.tile(np.flatnonzero(crossed), len(pieces))])
    whole = np.concatenate([mesh.faces[~crossed], split])
    return Mesh(between(mesh.vertices), between(mesh.weights), whole), origin


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """Return unit normals (V, 3) at vertices: the mean of the adjoining faces' normals, by area."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(total, mesh.faces[:, corner], normals)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
