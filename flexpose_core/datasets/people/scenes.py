"""Scenes: which clip, person, camera and frames make up each split of a drawn dataset, and how one is drawn.

Training shows the training people in the first part of each clip; validation shows its own people there. Test shows its own
people in whole clips, and the training people in the last part of each clip, after a gap that no split sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.backdrop import Viewpoint, draw_backdrop
from flexpose_core.datasets.drawing.camera import (
    CROP_MARGIN,
    Crop,
    draw_cameras,
    fit_crop,
    perspective,
    to_camera,
    view_matrices,
)
from flexpose_core.datasets.drawing.painter import SUPERSAMPLING, Light
from flexpose_core.datasets.drawing.reader import SPLITS
from flexpose_core.datasets.people import motion
from flexpose_core.datasets.people.body import MOTION_TO_RIG, joints_of, pose_body, skin
from flexpose_core.datasets.people.clothes import dress
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.datasets.people.painter import Stage, paint

MIN_FRAMES = 5  # fewer give no temporal median
REST_STRIDE = 3  # of the frames outside the split, as many as the background and the framing need
FLOOR_QUANTILE = 0.2  # of each frame's lowest vertex: feet sink in a little at times, and leave the floor at others


@dataclass(frozen=True)
class Block:
    """The frames of a clip, thinned to the frame rate, in its time blocks."""

    early: np.ndarray
    gap: np.ndarray
    late: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.early, self.gap, self.late])


@dataclass(frozen=True)
class Scene:
    """One sequence: a person moving through `frames` of a clip in front of a camera that stands still.

    The camera films the whole clip: frames of the `rest` belong to no or another split, but they too set how the camera is
    framed and what it sees as background.

    `yaw`, `pitch` and `roll` are in radians, the yaw from the clip's mean heading; `distance` is in metres.
    """

    split: str
    sequence: int
    clip: str
    subject: int
    camera: int
    frames: np.ndarray
    rest: np.ndarray
    skipped: int  # frames of the gap that were left out
    yaw: float
    pitch: float
    roll: float
    distance: float


def time_blocks(clip: motion.Clip, options: PeopleOptions) -> Block:
    """Cut a clip into the part for training, a gap of at least one frame, and the held-out part."""
    stride = max(1, round(clip.fps / options.fps))
    frames = np.arange(0, len(clip.frames), stride)
    late = round(len(frames) * (1 - options.held_out))
    early = max(0, min(late - 1, round(len(frames) * (1 - options.held_out - options.gap))))
    return Block(frames[:early], frames[early:late], frames[late:])


def _casts(split: str, block: Block, options: PeopleOptions) -> list[tuple[tuple[int, ...], np.ndarray, int]]:
    """Groups (subjects, frames, skipped frames) of a split that get equal shares of its images."""
    subjects = options.subjects
    if split == "test":
        return [(subjects.test, block.all, 0), (subjects.train, block.late, 0)]
    return [(getattr(subjects, split), block.early, len(block.gap))]


def _thin(frames: np.ndarray, people: int, share: float) -> np.ndarray:
    """Leave out frames evenly where one camera on each of these people would already give more than their share."""
    return frames[:: max(1, round(people * len(frames) / share))]


def plan_scenes(options: PeopleOptions, seed: int) -> list[Scene]:
    """Return the scenes of all splits, numbered through; as many cameras a clip and person as reach the wanted images."""
    scenes: list[Scene] = []
    for split in SPLITS:
        for order, name in enumerate(options.clips):
            blocks = time_blocks(motion.clip_named(name), options)
            casts = _casts(split, blocks, options)
            casts = [cast for cast in casts if cast[0] and len(cast[1])]
            share = getattr(options.frames, split) / len(options.clips) / max(len(casts), 1)
            rests = [np.setdiff1d(blocks.all, frames)[::REST_STRIDE] for _, frames, _ in casts]
            casts = [(people, _thin(frames, len(people), share), skipped) for people, frames, skipped in casts]
            cameras = [max(1, round(share / (len(people) * len(frames)))) for people, frames, _ in casts]
            total = sum(count * len(people) for count, (people, _, _) in zip(cameras, casts, strict=True))
            rng = seeds.rng(seed, "people/cameras", SPLITS.index(split), order)
            drawn = iter(np.stack(draw_cameras(options.cameras, total, rng), axis=1).tolist())
            for count, rest, (people, frames, skipped) in zip(cameras, rests, casts, strict=True):
                for subject in people:
                    for camera in range(count):
                        place = (split, len(scenes), name, subject, camera)
                        scenes.append(Scene(*place, frames, rest, skipped, *next(drawn)))
    return scenes


@dataclass(frozen=True)
class Performance:
    """A dressed person going through a whole clip, in rig axes, without horizontal travel: the pelvis stays over the origin."""

    vertices: np.ndarray  # (F, V, 3) float32
    normals: np.ndarray  # (F, V, 3) float32
    joints: np.ndarray  # (F, 15, 3)
    facing: np.ndarray  # (F, 2)
    heading: float
    ground: float


@lru_cache(maxsize=1)  # a scene's neighbours show the same performance from other cameras
def perform(clip: str, subject: int) -> Performance:
    """Pose and skin a subject through all frames of a clip."""
    posture = motion.forward_kinematics(motion.clip_named(clip).frames)
    dressed = dress(subject)
    pose = pose_body(posture, dressed.body)
    joints = joints_of(pose, dressed.body)
    vertices, normals = skin(pose, dressed.mesh.vertices, dressed.mesh.weights, dressed.normals)
    pelvis = posture.positions["pelvis"] @ MOTION_TO_RIG.T * dressed.body.scale
    centre = np.concatenate([pelvis[:, :2], np.full((len(pelvis), 1), pelvis[:, 2].mean())], axis=1)[:, None]
    vertices -= centre.astype(np.float32)
    return Performance(
        vertices=vertices,
        normals=normals,
        joints=joints - centre,
        facing=facing_in_rig(posture),
        heading=motion.mean_heading(posture),
        ground=float(np.quantile(vertices[..., 2].min(axis=1), FLOOR_QUANTILE)),
    )


def facing_in_rig(posture: motion.Posture) -> np.ndarray:
    """Return `motion.facing` in the rig's horizontal axes, (F, 2)."""
    x, z = motion.facing(posture).T
    return np.stack([-z, -x], axis=-1)


def faces_camera(facing: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Return which of n people, facing (n, 2), show their front to cameras (n, 3, 3) or (1, 3, 3)."""
    return (facing * views[:, 2, :2]).sum(axis=1) < 0


@dataclass(frozen=True)
class Shot:
    """A drawn sequence: images (n, S, S, 3) uint8, poses (n, 15, 2) in crop coordinates, frames kept, known background."""

    images: np.ndarray
    poses: np.ndarray
    frames: np.ndarray
    background: np.ndarray
    stage: Stage
    facing_away: int


def shoot(scene: Scene, options: PeopleOptions, seed: int) -> Shot | None:
    """Draw a scene, all joints inside the crop.

    None if no frame of the scene faces the camera, or fewer than MIN_FRAMES of the whole video do.
    """
    act = perform(scene.clip, scene.subject)
    angles = (np.array([value]) for value in (act.heading + scene.yaw, scene.pitch, scene.roll))
    view = view_matrices(*angles)
    video = np.union1d(scene.frames, scene.rest)
    if options.facing == "front":
        video = video[faces_camera(act.facing[video], view)]
    chosen = np.isin(video, scene.frames)
    if len(video) < MIN_FRAMES or not chosen.any():
        return None
    distances = np.full(1, scene.distance)
    vertices, joints = act.vertices[video], act.joints[video]
    seen = to_camera(joints, view, distances)
    crop = fit_crop(perspective(to_camera(vertices, view, distances)), perspective(seen), options.fill)
    rng = seeds.rng(seed, "people/stage", scene.sequence)
    strides = _strides(crop, seen, view[0], options.wander, rng)
    vertices, joints = vertices + strides.astype(np.float32), joints + strides
    poses = crop.apply(perspective(to_camera(joints, view, distances))).astype(np.float32)
    viewpoint = Viewpoint(view[0], scene.distance, crop)
    backdrop = draw_backdrop(viewpoint, act.ground, options.image_size * SUPERSAMPLING, rng)
    stage = Stage(viewpoint, Light.draw(rng, view[0]), act.ground, backdrop)
    dressed = dress(scene.subject)
    images = paint(vertices, act.normals[video], dressed.mesh.faces, dressed.colours, joints, stage)
    plate = cv2.resize(backdrop, (options.image_size,) * 2, interpolation=cv2.INTER_AREA)
    background = plate if options.background == "plate" else temporal_median(images)
    return Shot(images[chosen], poses[chosen], video[chosen], background, stage, len(scene.frames) - int(chosen.sum()))


def _strides(crop: Crop, seen: np.ndarray, view: np.ndarray, wander: float, rng: np.random.Generator) -> np.ndarray:
    """Return how far in metres (F, 1, 3) the person has strayed sideways in each frame: once across, at an even pace.

    Without it a person who stays in place would be part of the temporal median. `seen` (F, 15, 3) are the joints in
    camera axes; each frame goes only so far that they stay in the crop.
    """
    x = crop.apply(perspective(seen))[..., 0]
    path = np.linspace(-wander, wander, len(seen)) * rng.choice([-1, 1])
    room = np.minimum(CROP_MARGIN - x.min(axis=1), 0), np.maximum(1 - CROP_MARGIN - x.max(axis=1), 0)
    # By the nearest joint's depth, as what is nearer moves farther across the picture.
    metres = np.clip(path, *room) / crop.focal * seen[..., 2].min(axis=1)
    level = np.array([view[2, 1], -view[2, 0], 0.0]) / np.linalg.norm(view[2, :2])
    return metres[:, None, None] * level


def temporal_median(images: np.ndarray) -> np.ndarray:
    """Return the (upper) median over time of images (n, S, S, 3) uint8: the background, as far as it is ever seen."""
    middle = len(images) // 2
    return np.partition(images, middle, axis=0)[middle]
