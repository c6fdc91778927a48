"""Annotation-only people: poses of the motion's own skeleton from drawn cameras, without images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flexpose_core.datasets.drawing.camera import draw_cameras, frame_in_square, perspective, to_camera, view_matrices
from flexpose_core.datasets.people import motion
from flexpose_core.datasets.people.body import MOTION_TO_RIG
from flexpose_core.datasets.people.options import NoiseOptions, PeopleOptions
from flexpose_core.datasets.people.scenes import faces_camera, facing_in_rig
from flexpose_core.skeletons import BODY15

IN_BETWEEN = 8  # postures a recorded frame: the pool is dense in time
TRUNK_STEADINESS = 0.4  # the trunk turns this much less than the limbs that it carries

# Bones whose lengths vary together, by the joint at their end.
PROPORTION_GROUPS = ({"neck", "head"}, {"shoulder", "hip"}, {"elbow", "wrist"}, {"knee"}, {"ankle"})


@dataclass(frozen=True)
class PosturePool:
    """Postures of some clips: joints (P, 15, 3) relative to the pelvis and facing (P, 2), both in rig axes."""

    joints: np.ndarray
    facing: np.ndarray
    heading: np.ndarray  # (P,) radians, the mean of the posture's clip
    clip: np.ndarray  # (P,) index into the clips
    frame: np.ndarray  # (P,)
    starts: np.ndarray  # (clips + 1,)


def build_pool(clips: tuple[str, ...]) -> PosturePool:
    """Return all postures of these clips, with others in between."""
    joints, facing, heading, frame = [], [], [], []
    for name in clips:
        posture = motion.forward_kinematics(motion.densify(motion.clip_named(name).frames, IN_BETWEEN))
        positions = motion.joint_positions(posture)
        joints.append((positions - posture.positions["pelvis"][:, None]) @ MOTION_TO_RIG.T)
        facing.append(facing_in_rig(posture))
        heading.append(np.full(len(positions), motion.mean_heading(posture)))
        frame.append(np.arange(len(positions)) // IN_BETWEEN)
    sizes = [len(part) for part in joints]
    return PosturePool(
        np.concatenate(joints),
        np.concatenate(facing),
        np.concatenate(heading),
        np.repeat(np.arange(len(clips)), sizes),
        np.concatenate(frame),
        np.cumsum([0, *sizes]),
    )


def turn_vectors(vectors: np.ndarray, deviation: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
    """Turn vectors (..., 3) about random axes by normal angles of this deviation in radians (Rodrigues)."""
    axis = rng.normal(size=vectors.shape)
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = rng.normal(size=vectors.shape[:-1])[..., None] * deviation
    cos, sin = np.cos(angle), np.sin(angle)
    along = (axis * vectors).sum(axis=-1, keepdims=True)
    return vectors * cos + np.cross(axis, vectors) * sin + axis * along * (1 - cos)


def vary_people(joints: np.ndarray, noise: NoiseOptions, rng: np.random.Generator) -> np.ndarray:
    """Return joints (n, 15, 3) with every bone turned and lengthened at random, left and right by the same factor."""
    ends = BODY15.tree_ends
    names = [BODY15.joints[child].rpartition("_")[2] for _, child in ends]
    bones = joints[:, ends[:, 1]] - joints[:, ends[:, 0]]
    if noise.angle > 0:
        steadiness = np.array([TRUNK_STEADINESS if name == "neck" else 1.0 for name in names])
        bones = turn_vectors(bones, np.deg2rad(noise.angle) * steadiness[:, None], rng)
    if noise.proportions > 0:
        group = [next(k for k, members in enumerate(PROPORTION_GROUPS) if name in members) for name in names]
        factors = np.exp(rng.normal(0, noise.proportions, (len(joints), len(PROPORTION_GROUPS))))
        bones = bones * factors[:, group, None]
    varied = joints.copy()
    for bone, (parent, child) in enumerate(ends):
        varied[:, child] = varied[:, parent] + bones[:, bone]
    return varied


@dataclass(frozen=True)
class DrawnPoses:
    """Poses (n, 15, 2) float32 in crop coordinates, and the posture of the pool that each shows."""

    poses: np.ndarray
    posture: np.ndarray
    facing_away: int


def draw_poses(pool: PosturePool, count: int, options: PeopleOptions, rng: np.random.Generator) -> DrawnPoses:
    """Draw `count` poses, clips equally often; some may then be dropped for facing away."""
    clip = rng.integers(len(pool.starts) - 1, size=count)
    size = np.diff(pool.starts)[clip]
    posture = pool.starts[clip] + (rng.random(count) * size).astype(int)
    yaw, pitch, roll, distance = draw_cameras(options.cameras, count, rng)
    views = view_matrices(pool.heading[posture] + yaw, pitch, roll)
    if options.facing == "front":
        kept = faces_camera(pool.facing[posture], views)
        posture, views, distance = posture[kept], views[kept], distance[kept]
    people = vary_people(pool.joints[posture], options.noise, rng)
    plane = perspective(to_camera(people, views, distance))
    poses = frame_in_square(plane, options.crop.scale, options.crop.offset, rng).astype(np.float32)
    return DrawnPoses(poses, posture, count - len(posture))
