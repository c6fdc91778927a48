"""Skeletons as data: joint names, bones, colours and left/right swaps, all by name."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from flexpose_core.errors import ConfigError


@dataclass(frozen=True)
class Bone:
    """A straight line from joint `start` to joint `end`, drawn in `colour` (RGB, 0..1)."""

    start: str
    end: str
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Skeleton:
    """A set of K named joints and the bones between them.

    Parameters
    ----------
    name
        The name by which configs and caches refer to it.
    joints
        Names, in the order of the pose array's second axis.
    bones
        In drawing order: a later bone covers an earlier one.
    swaps
        Pairs (left, right) of joints that trade places in a mirrored image.
    root
        The joint that carries the position in `flexpose_core.geometry.to_bones`; every joint hangs on it by one path of `tree`.
    tree
        Pairs (parent, child), parents before their children.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[Bone, ...]
    swaps: tuple[tuple[str, str], ...]
    root: str
    tree: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, *names: str) -> np.ndarray:
        """Return the places of these joints; raises ConfigError for a name that the skeleton lacks."""
        missing = [name for name in names if name not in self.joints]
        if missing:
            raise ConfigError(f"skeleton {self.name}: expected one of {', '.join(self.joints)}, found {missing[0]!r}")
        return np.array([self.joints.index(name) for name in names], dtype=np.int64)

    @cached_property
    def bone_ends(self) -> np.ndarray:
        """Joint indices of each drawn bone, (B, 2) int64."""
        return np.stack([self.index(bone.start, bone.end) for bone in self.bones])

    @cached_property
    def bone_colours(self) -> np.ndarray:
        """RGB of each drawn bone, (B, 3) float32 in 0..1."""
        return np.array([bone.colour for bone in self.bones], dtype=np.float32)

    @cached_property
    def tree_ends(self) -> np.ndarray:
        """Joint indices (parent, child) of the kinematic tree, (K - 1, 2) int64, parents first."""
        return np.stack([self.index(*pair) for pair in self.tree])

    @cached_property
    def flip_permutation(self) -> np.ndarray:
        """The place each joint's mirror image comes from, (K,) int64; an involution."""
        permutation = np.arange(len(self.joints))
        for left, right in self.swaps:
            i, j = self.index(left, right)
            permutation[[i, j]] = j, i
        return permutation

    @cached_property
    def tree_flip_permutation(self) -> np.ndarray:
        """The tree edge that mirrors each tree edge, (K - 1,) int64."""
        flip = self.flip_permutation
        edges = [tuple(edge) for edge in self.tree_ends]
        return np.array([edges.index((flip[parent], flip[child])) for parent, child in edges])


def _limb(side: str, *joints: str) -> list[tuple[str, str]]:
    names = [f"{side}_{joint}" for joint in joints]
    return list(pairwise(names))


def _hues(count: int) -> list[tuple[float, float, float]]:
    """Saturated colours, alternately bright and less bright so that neighbours differ in luminance as well."""
    return [colorsys.hsv_to_rgb(k / count, 0.85, 1.0 if k % 2 == 0 else 0.75) for k in range(count)]


def _body() -> Skeleton:
    sides = ("l", "r")
    arm, leg = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
    joints = ("head", "neck", "pelvis", *(f"{side}_{joint}" for side in sides for joint in arm + leg))
    tree = [("pelvis", "neck"), ("neck", "head")]
    for side in sides:
        tree += [("neck", f"{side}_shoulder"), *_limb(side, *arm), ("pelvis", f"{side}_hip"), *_limb(side, *leg)]
    colours = _hues(len(tree))
    return Skeleton(
        name="body15",
        joints=joints,
        bones=tuple(Bone(start, end, colour) for (start, end), colour in zip(tree, colours, strict=True)),
        swaps=tuple((f"l_{joint}", f"r_{joint}") for joint in arm + leg),
        root="pelvis",
        tree=tuple(tree),
    )


def _face() -> Skeleton:
    """Return the 68 iBUG landmarks, counted from 0, drawn as nine polylines; left and right are the person's own."""
    lines = {
        "jaw": (range(0, 17), False),
        "r_brow": (range(17, 22), False),
        "l_brow": (range(22, 27), False),
        "nose_bridge": (range(27, 31), False),
        "nose_base": (range(31, 36), False),
        "r_eye": (range(36, 42), True),
        "l_eye": (range(42, 48), True),
        "outer_lips": (range(48, 60), True),
        "inner_lips": (range(60, 68), True),
    }
    mirror = [(0, 16, 8), (17, 26, 5), (31, 35, 2), (36, 45, 4), (48, 54, 3), (58, 56, 1), (59, 55, 1), (60, 64, 2)]
    # On the image's left is the person's right, which comes first.
    pairs = [(right + k, left - k) for right, left, count in mirror for k in range(count)] + [
        (41, 46),
        (40, 47),
        (67, 65),
    ]
    bones = []
    for (points, closed), colour in zip(lines.values(), _hues(len(lines)), strict=True):
        ends = list(pairwise(points)) + ([(points[-1], points[0])] if closed else [])
        bones += [Bone(f"p{a}", f"p{b}", colour) for a, b in ends]
    # A tree for angle-length coordinates, hung from the top of the nose bridge and symmetric under the flip.
    chains = [
        (27, 28, 29, 30, 33, 32, 31), (33, 34, 35),
        (27, 8, *range(7, -1, -1)), (8, *range(9, 17)),
        (27, *range(21, 16, -1)), (27, *range(22, 27)),
        (27, 39, 38, 37, 36), (39, 40, 41), (27, 42, 43, 44, 45), (42, 47, 46),
        (27, 51, 50, 49, 48), (51, 52, 53, 54), (51, 57, 56, 55), (57, 58, 59),
        (51, 62, 61, 60), (62, 63, 64), (62, 66, 65), (66, 67),
    ]  # fmt: skip
    tree = [pair for chain in chains for pair in pairwise(chain)]
    return Skeleton(
        name="face68",
        joints=tuple(f"p{k}" for k in range(68)),
        bones=tuple(bones),
        swaps=tuple((f"p{left}", f"p{right}") for right, left in pairs),
        root="p27",
        tree=tuple((f"p{a}", f"p{b}") for a, b in tree),
    )


BODY15 = _body()
FACE68 = _face()
SKELETONS = {skeleton.name: skeleton for skeleton in (BODY15, FACE68)}


def skeleton_named(name: str) -> Skeleton:
    """Return a known skeleton; raises ConfigError for another name."""
    try:
        return SKELETONS[name]
    except KeyError:
        raise ConfigError(f"skeleton: expected one of {', '.join(SKELETONS)}, found {name!r}") from None
