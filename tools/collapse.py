"""Fewer vertices for a mesh by half-edge collapse: the vertices that stay keep their places, and so their blend shapes."""

from __future__ import annotations

import heapq

import numpy as np

LEAST_TURN = 0.2  # cosine between a face's normal before and after a collapse
LEAST_SHAPE = 0.05  # four times a triangle's area over the sum of its squared sides: needles shade badly


def collapse(
    vertices: np.ndarray, faces: np.ndarray, fixed: np.ndarray, rim: np.ndarray, weight: np.ndarray, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return faces (T', 3), into the same vertices (V, 3), that use about `keep` of them, and which faces they were, (T',).

    Vertices marked in `fixed` (V,) stay, and no two of those marked in `rim` (V,) are newly joined: where the mesh meets its
    mirror image, an edge across would be there twice.

    Each step moves one vertex onto a neighbour, the one that costs least: the squared distance to the planes of the faces
    merged so far, by area (Garland and Heckbert 1997), times the vertex's `weight` (V,).
    """
    triangles = [tuple(map(int, face)) for face in faces]
    around: dict[int, set[int]] = {vertex: set() for face in triangles for vertex in face}
    for number, face in enumerate(triangles):
        for vertex in face:
            around[vertex].add(number)
    quadrics = _quadrics(vertices, faces)
    neighbours = {vertex: _ring(vertex, around, triangles) for vertex in around}
    heap: list[tuple[float, int, int, int]] = []
    age = dict.fromkeys(around, 0)

    def offer(vertex: int) -> None:
        if fixed[vertex]:
            return
        for onto in sorted(neighbours[vertex]):
            place = np.append(vertices[onto], 1.0)
            # A little of the edge's length breaks ties on flat parts, so that faces stay of one size.
            length = np.square(vertices[onto] - vertices[vertex]).sum()
            cost = weight[vertex] * (place @ quadrics[vertex] @ place + 1e-3 * length**2)
            heapq.heappush(heap, (float(cost), vertex, onto, age[vertex]))

    for vertex in sorted(around):
        offer(vertex)
    left = len(around)
    while left > keep and heap:
        _, vertex, onto, born = heapq.heappop(heap)
        if vertex not in around or onto not in around or age[vertex] != born:
            continue
        if rim[onto] and any(rim[other] for other in neighbours[vertex] - neighbours[onto] - {onto}):
            continue
        if not _allowed(vertex, onto, vertices, triangles, around, neighbours):
            continue
        for number in list(around[vertex]):
            face = triangles[number]
            for corner in face:
                around[corner].discard(number)
            if onto not in face:
                triangles[number] = tuple(onto if corner == vertex else corner for corner in face)
                for corner in triangles[number]:
                    around[corner].add(number)
            else:
                triangles[number] = ()
        quadrics[onto] += quadrics[vertex]
        touched = neighbours.pop(vertex)
        del around[vertex]
        left -= 1
        for other in sorted(touched):
            neighbours[other] = _ring(other, around, triangles)
            age[other] += 1
            offer(other)
    kept = [number for number, face in enumerate(triangles) if face]
    return np.array([triangles[number] for number in kept]), np.array(kept)


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Sum over each vertex's faces of area times the outer square of the plane (n, -n p), (V, 4, 4)."""
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= np.maximum(area, 1e-15)
    planes = np.concatenate([normals, -(normals * corners[:, 0]).sum(axis=1, keepdims=True)], axis=1)
    squares = area[..., None] * planes[:, :, None] * planes[:, None]
    total = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(total, faces[:, corner], squares)
    return total


def _ring(vertex: int, around: dict[int, set[int]], triangles: list[tuple[int, ...]]) -> set[int]:
    return {corner for number in around[vertex] for corner in triangles[number]} - {vertex}


def _allowed(
    vertex: int,
    onto: int,
    vertices: np.ndarray,
    triangles: list[tuple[int, ...]],
    around: dict[int, set[int]],
    neighbours: dict[int, set[int]],
) -> bool:
    """Whether the mesh stays a surface, and no face that stays turns over or becomes a needle."""
    merged = around[vertex] & around[onto]
    if len(merged) != 2 or len(neighbours[vertex] & neighbours[onto]) != 2:
        return False
    for number in around[vertex] - merged:
        before = vertices[list(triangles[number])].astype(np.float64)
        after = vertices[[onto if corner == vertex else corner for corner in triangles[number]]].astype(np.float64)
        old, new = (np.cross(face[1] - face[0], face[2] - face[0]) for face in (before, after))
        size = np.linalg.norm(new)
        sides = sum(np.square(after[k] - after[k - 1]).sum() for k in range(3))
        if old @ new < LEAST_TURN * np.linalg.norm(old) * size or 2 * size < LEAST_SHAPE * sides:
            return False
    return True
