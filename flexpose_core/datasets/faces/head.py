"""Heads: neutral shapes that share one symmetric mesh, and the actions (blend shapes) that move it.

Axes: metres from the middle of the face, z up; a head faces -y with its left at +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import FACE68

MIRROR = np.array([-1, 1, 1], np.float32)
NECK = np.array([0.0, 0.09, -0.09])  # about this place a head turns


@dataclass(frozen=True)
class HeadModel:
    """N heads of V vertices and T faces, and A actions that fit them all."""

    heads: np.ndarray  # (N, V, 3) float32, neutral
    actions: np.ndarray  # (A, V, 3) float32, what each adds at full strength
    action_labels: tuple[str, ...]
    faces: np.ndarray  # (T, 3) int, anticlockwise from outside
    regions: np.ndarray  # (T,) names: skin, lips, eye, eye_cavity, mouth_cavity, tongue
    landmarks: np.ndarray  # (68,) vertices, in the order of FACE68
    mirrored: np.ndarray  # (V,) the vertex that mirrors each vertex
    gender: np.ndarray  # (N,) from 0, male, to 1, female

    def landmarks_of(self, head: int) -> np.ndarray:
        """Return the landmarks (68, 3) of a head at rest."""
        return self.heads[head, self.landmarks]

    @property
    def landmark_actions(self) -> np.ndarray:
        """What each action adds to the landmarks, (A, 68, 3)."""
        return self.actions[:, self.landmarks]


@lru_cache(maxsize=1)
def load_heads() -> HeadModel:
    """Return the embedded heads; do not write to their arrays.

    Raises
    ------
    DataError
        The file of heads is not what this version expects.
    """
    with resources.as_file(resources.files(__package__) / "data" / "head.npz") as path, np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    mean, faces = stored["mean"], stored["faces"].astype(int)
    count = len(mean)
    if stored["heads"].shape[1:] != (count, 3) or stored["landmarks"].shape != (len(FACE68),):
        raise DataError(
            f"faces/head.npz: expected heads of {count} vertices and {len(FACE68)} landmarks, "
            f"found {stored['heads'].shape} and {stored['landmarks'].shape}"
        )
    middle = mean[:, 0] == 0
    sides = np.flatnonzero(~middle)
    mirrored = np.concatenate([np.arange(count), sides])
    mirrored[sides] = count + np.arange(len(sides))

    def whole(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Join left halves (n, H, 3) and the mirror images of other left halves."""
        return np.concatenate([left, right[:, sides] * MIRROR], axis=1)

    heads = mean + stored["heads"].astype(np.float32)
    labels = tuple(str(label) for label in stored["action_labels"])
    actions = stored["actions"].astype(np.float32)
    counterparts = [labels.index(_other_side(label)) for label in labels]
    landmarks = stored["landmarks"].astype(int)
    landmarks = np.where(landmarks < 0, mirrored[landmarks[FACE68.flip_permutation]], landmarks)
    regions = stored["region_labels"][stored["face_regions"]]
    return HeadModel(
        heads=whole(heads, heads),
        actions=whole(actions, actions[counterparts]),
        action_labels=labels,
        faces=np.concatenate([faces, mirrored[faces[:, ::-1]]]),
        regions=np.concatenate([regions, regions]),
        landmarks=landmarks,
        mirrored=mirrored,
        gender=stored["phenotypes"][:, list(stored["phenotype_labels"]).index("gender")],
    )


def _other_side(label: str) -> str:
    """mouthSmileLeft -> mouthSmileRight; an action of both sides is its own."""
    if label.endswith("Left"):
        return label.removesuffix("Left") + "Right"
    return label.removesuffix("Right") + "Left" if label.endswith("Right") else label


def check_head(head: int) -> None:
    """Raise ConfigError when there is no head of that number."""
    count = len(load_heads().heads)
    if not 0 <= head < count:
        raise ConfigError(f"faces: expected a head in 0..{count - 1}, found {head}")
