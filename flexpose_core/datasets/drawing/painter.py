"""The painter: light on the faces of a mesh, which are filled from far to near."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SUPERSAMPLING = 2
SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates
AMBIENT = np.array([0.50, 0.52, 0.56], np.float32)  # bluish, from above
KEY = np.array([0.58, 0.55, 0.50], np.float32)  # warm, from the light
LEAST_AREA = 0.2  # pixels: smaller faces are left out, as their neighbours, drawn with their borders, cover them


@dataclass(frozen=True)
class Light:
    """A distant light: unit direction (3,) towards it, in world axes, and its colour (3,) beside that of the ambient light."""

    towards: np.ndarray
    key: np.ndarray = field(default_factory=lambda: KEY)
    ambient: np.ndarray = field(default_factory=lambda: AMBIENT)

    @staticmethod
    def draw(rng: np.random.Generator, view: np.ndarray) -> Light:
        """Return a light above and on the camera's side, up to 60 degrees off it."""
        away = -np.array([view[2, 0], view[2, 1]])
        angle = np.arctan2(away[0], away[1]) + np.deg2rad(rng.uniform(-60, 60))
        flat = np.array([np.sin(angle), np.cos(angle), rng.uniform(1.2, 2.2)])
        return Light(flat / np.linalg.norm(flat))


def subpixels(crop_points: np.ndarray, side: int) -> np.ndarray:
    """Return fixed-point pixel coordinates, int32, of points (..., 2) in crop coordinates."""
    return np.round((crop_points * side - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def shade(normals: np.ndarray, light: Light) -> np.ndarray:
    """Return how light falls on points: ambient (0.8 + 0.2 n_z) + key max(n l, 0), after Lambert.

    Parameters
    ----------
    normals
        (..., 3) in world axes, of unit length.
    light
        The key light, and the ambient one.

    Returns
    -------
    ndarray
        (..., 3) float32, what a surface's colour is multiplied by.
    """
    lit = np.maximum(normals @ light.towards.astype(np.float32), 0)[..., None] * light.key
    return lit + (0.8 + 0.2 * normals[..., 2:]) * light.ambient


def fill(
    canvas: np.ndarray,
    points: np.ndarray,
    depth: np.ndarray,
    shading: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Fill the faces that look at the viewer into `canvas`, the farthest first; a face has the mean of its corners' light."""
    triangles = points[faces]
    visible = _towards_viewer(triangles)
    corners = faces[visible]
    order = np.argsort(-depth[corners].sum(axis=1))
    light = shading[corners[order]].mean(axis=1)
    shaded = np.clip(colours[visible[order]] * light, 0, 255).tolist()
    for triangle, colour in zip(triangles[visible[order]], shaded, strict=True):
        cv2.fillConvexPoly(canvas, triangle, colour, cv2.LINE_8, SUBPIXEL_BITS)


def _towards_viewer(corners: np.ndarray) -> np.ndarray:
    """Indices of the triangles (T, 3, 2) that wind as outside faces do once projected (y down), less the tiniest."""
    a, b = (corners[:, 1:] - corners[:, :1]).astype(np.int64).swapaxes(0, 1)
    return np.flatnonzero(a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1] > 2 * LEAST_AREA * (1 << 2 * SUBPIXEL_BITS))
