"""A person in a scene: the posed mesh painted over a backdrop with a contact shadow."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flexpose_core.datasets.drawing.backdrop import Viewpoint
from flexpose_core.datasets.drawing.camera import perspective
from flexpose_core.datasets.drawing.painter import SUBPIXEL_BITS, SUPERSAMPLING, Light, fill, shade, subpixels
from flexpose_core.skeletons import BODY15

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
class Stage:
    """What stays the same over a sequence."""

    viewpoint: Viewpoint
    light: Light
    ground: float
    backdrop: np.ndarray  # (side * SUPERSAMPLING, same, 3) uint8

    @property
    def side(self) -> int:
        return len(self.backdrop) // SUPERSAMPLING


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
    places = subpixels(points, stage.side)
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
    points = subpixels(view.crop.apply(perspective(seen)), fine)
    shading = shade(normals, stage.light)
    kept_light = shadow_masks(joints, stage)
    images = np.empty((len(vertices), stage.side, stage.side, 3), np.uint8)
    for frame in range(len(vertices)):
        mask = cv2.resize(kept_light[frame], (fine, fine), interpolation=cv2.INTER_LINEAR)
        canvas = cv2.multiply(stage.backdrop, cv2.merge([mask, mask, mask]), scale=1 / 255)
        fill(canvas, points[frame], seen[frame, :, 2], shading[frame], faces, colours)
        cv2.resize(canvas, (stage.side, stage.side), dst=images[frame], interpolation=cv2.INTER_AREA)
    return images
