"""Shots: the pictures of a take, a portrait painted over a backdrop in a light of its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.backdrop import Viewpoint, draw_backdrop
from flexpose_core.datasets.drawing.camera import perspective, view_matrices
from flexpose_core.datasets.drawing.painter import SUPERSAMPLING, Light, fill, shade, subpixels
from flexpose_core.datasets.drawing.reader import SPLITS
from flexpose_core.datasets.faces.looks import portray
from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.faces.takes import Take, perform

HEIGHTS = (1.1, 1.7)  # metres of the face above the floor: sitting or standing


@dataclass(frozen=True)
class Shot:
    """A drawn take: images (F, S, S, 3) uint8, poses (F, 68, 2) in crop coordinates, and the background, (S, S, 3) uint8."""

    images: np.ndarray
    poses: np.ndarray
    background: np.ndarray


def draw_light(rng: np.random.Generator, view: np.ndarray) -> Light:
    """Return a light on the camera's side, anywhere from below the face to high above, strong or weak, warm or cold."""
    azimuth, height = np.deg2rad(rng.uniform(-80, 80)), rng.uniform(-0.2, 1.6)
    towards = np.array([np.sin(azimuth), -height, -np.cos(azimuth)]) @ view
    warmth = rng.normal(0, 0.04)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    key, ambient = rng.uniform(0.25, 0.75) * tint, rng.uniform(0.38, 0.65) / tint
    return Light(towards / np.linalg.norm(towards), key.astype(np.float32), ambient.astype(np.float32))


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals (F, V, 3) of F forms (F, V, 3) of a mesh: `mesh.vertex_normals` for many at once."""
    corners = vertices[:, faces]
    of_faces = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    order = np.argsort(faces.ravel(), kind="stable")
    used, starts = np.unique(faces.ravel()[order], return_index=True)
    total = np.zeros_like(vertices)
    total[:, used] = np.add.reduceat(of_faces[:, order // 3], starts, axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def shoot(take: Take, options: FacesOptions, seed: int) -> Shot:
    """Draw a take."""
    act, portrait = perform(take, options, seed), portray(take.head)
    rng = seeds.rng(seed, "faces/stage", SPLITS.index(take.split), take.sequence)
    angles = (rng.uniform(-180, 180), rng.uniform(-12, 15), rng.normal(0, 2))
    view = view_matrices(*(np.deg2rad([angle]) for angle in angles))[0]
    viewpoint = Viewpoint(view, take.distance, act.crop)
    backdrop = draw_backdrop(viewpoint, -rng.uniform(*HEIGHTS), options.image_size * SUPERSAMPLING, rng)
    light = draw_light(rng, view)

    count = len(portrait.vertices)
    moved = act.actions.astype(np.float32) @ portrait.actions.reshape(len(portrait.actions), -1)
    seen = act.seen(portrait.vertices + moved.reshape(-1, count, 3), portrait.follow)
    # Camera axes are a rotation of the world's, so that normals turn as the points do.
    shading = shade(normals_of(seen, portrait.faces) @ view.astype(np.float32), light)
    points = subpixels(act.crop.apply(perspective(seen)), len(backdrop))
    images = np.empty((take.frames, options.image_size, options.image_size, 3), np.uint8)
    for frame, image in enumerate(images):
        canvas = backdrop.copy()
        fill(canvas, points[frame], seen[frame, :, 2], shading[frame], portrait.faces, portrait.colours)
        cv2.resize(canvas, image.shape[:2], dst=image, interpolation=cv2.INTER_AREA)
    background = cv2.resize(backdrop, images.shape[1:3], interpolation=cv2.INTER_AREA)
    return Shot(images, act.poses, background)
