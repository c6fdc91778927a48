"""The painter: shades the faces of a posed mesh and fills them from far to near, over a backdrop with a contact shadow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flexpose_core.datasets.people.backdrop import Viewpoint
from flexpose_core.datasets.people.camera import perspective
from flexpose_core.skeletons import BODY15

SUPERSAMPLING = 2
SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates
AMBIENT = np.array([0.50, 0.52, 0.56], np.float32)  # bluish, from above
KEY = np.array([0.58, 0.55, 0.50], np.float32)  # warm, from the light
LEAST_AREA = 0.2  # pixels: smaller faces are left out, as their neighbours, drawn with their borders, cover them

# The shadow is cast by capsules along the bones, this thick in metres.
THICKNESS = {
    "head": 0.20,
    "neck": 0.30,
    "shoulder": 0.14,
    "elbow": 0.10,
    "wrist": 0.08,
    "hip": 0.16,
    "knee": 0.14,
    "ankle": 0.12,
}
SHADOW_DEPTH = 0.55  # how much light a touching limb takes away
SHADOW_FADE = 0.7  # metres above the ground at which a limb's shadow has paled to 1/e


@dataclass(frozen=True)
class Light:
    """A distant light: unit direction (3,) towards it, in world axes."""

    towards: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, view: np.ndarray) -> Light:
        """Return a light above and on the camera's side, up to 60 degrees off it."""
        away = -np.array([view[2, 0], view[2, 1]])
        angle = np.arctan2(away[0], away[1]) + np.deg2rad(rng.uniform(-60, 60))
        flat = np.array([np.sin(angle), np.cos(angle), rng.uniform(1.2, 2.2)])
        return Light(flat / np.linalg.norm(flat))


@dataclass(frozen=True)
class Stage:
    """What stays the same over a sequence."""

    viewpoint: Viewpoint
    light: Light
    ground: float
    backdrop: np.ndarray  # (side * SUPERSAMPLING, same, 3) uint8

    @property
    def side(self) -> int:
        return len(self.backdrop) // SUPERSAMPLING


def _subpixels(crop_points: np.ndarray, side: int) -> np.ndarray:
    """Fixed-point pixel coordinates, int32, of points (..., 2) in crop coordinates."""
    return np.round((crop_points * side - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def shade(normals: np.ndarray, light: Light) -> np.ndarray:
    """Return how light falls on points: ambient (0.8 + 0.2 n_z) + key max(n l, 0), after Lambert.

    Parameters
    ----------
    normals
        (..., 3) in world axes, of unit length.
    light
        The key light.

    Returns
    -------
    ndarray
        (..., 3) float32, what a surface's colour is multiplied by.
    """
    lit = np.maximum(normals @ light.towards.astype(np.float32), 0)[..., None] * KEY
    return lit + (0.8 + 0.2 * normals[..., 2:]) * AMBIENT


def shadow_masks(joints: np.ndarray, stage: Stage) -> np.ndarray:
    """Return how much light the ground keeps, (F, side, side) uint8 (255 = all), for joints (F, K, 3) in world axes.

    Each bone is dropped along the light onto the ground and drawn as a thick line, paler the higher it is.
    """
    view = stage.viewpoint
    height = np.maximum(joints[..., 2] - stage.ground, 0)
    fallen = joints - (height / stage.light.towards[2])[..., None] * stage.light.towards
    seen = (fallen - view.position) @ view.view.T
    in_front = seen[..., 2] > 0.1
    seen[..., 2] = np.maximum(seen[..., 2], 0.1)
    points = np.clip(view.crop.apply(perspective(seen)), -4, 5)
    places = _subpixels(points, stage.side)
    pixels_per_metre = view.crop.focal * stage.side / seen[..., 2]
    masks = np.zeros((*joints.shape[:1], stage.side, stage.side), np.uint8)
    ends = BODY15.tree_ends
    thickness = np.array([THICKNESS[BODY15.joints[child].rpartition("_")[2]] for _, child in ends])
    above = height[:, ends].mean(axis=2)
    for frame, mask in enumerate(masks):
        for bone in np.argsort(-above[frame]):  # the lowest last: the darkest wins
            first, last = ends[bone]
            if not (in_front[frame, first] and in_front[frame, last]):
                continue
            strength = int(255 * SHADOW_DEPTH * np.exp(-above[frame, bone] / SHADOW_FADE))
            width = max(1, round(thickness[bone] * pixels_per_metre[frame, last]))
            ends_at = (places[frame, first].tolist(), places[frame, last].tolist())
            cv2.line(mask, *ends_at, strength, width, cv2.LINE_8, SUBPIXEL_BITS)
        blur = max(1.0, 0.045 * float(np.median(pixels_per_metre[frame])))
        cv2.GaussianBlur(mask, (0, 0), blur, dst=mask)
    return 255 - masks


def paint(
    vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, colours: np.ndarray, joints: np.ndarray, stage: Stage
) -> np.ndarray:
    """Draw F frames of a posed mesh.

    Parameters
    ----------
    vertices, normals
        (F, V, 3) in world axes, relative to what the camera looks at.
    faces
        (T, 3).
    colours
        (T, 3), 0..255.
    joints
        (F, 15, 3) like `vertices`; they cast the shadow.
    stage
        Camera, light, ground and backdrop.

    Returns
    -------
    ndarray
        (F, side, side, 3) uint8 RGB.
    """
    view = stage.viewpoint
    seen = (vertices - view.position.astype(np.float32)) @ view.view.T.astype(np.float32)
    fine = len(stage.backdrop)
    points = _subpixels(view.crop.apply(perspective(seen)), fine)
    shading = shade(normals, stage.light)
    kept_light = shadow_masks(joints, stage)
    images = np.empty((len(vertices), stage.side, stage.side, 3), np.uint8)
    for frame in range(len(vertices)):
        mask = cv2.resize(kept_light[frame], (fine, fine), interpolation=cv2.INTER_LINEAR)
        canvas = cv2.multiply(stage.backdrop, cv2.merge([mask, mask, mask]), scale=1 / 255)
        _fill(canvas, points[frame], seen[frame, :, 2], shading[frame], faces, colours)
        cv2.resize(canvas, (stage.side, stage.side), dst=images[frame], interpolation=cv2.INTER_AREA)
    return images


def _fill(
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
