"""Bodies as a trunk and the limbs that hang on it, read off a skeleton's tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flexpose_core.errors import ConfigError
from flexpose_core.skeletons import Skeleton


@dataclass(frozen=True)
class Anatomy:
    """A skeleton's trunk and what hangs on it.

    Parameters
    ----------
    trunk
        (T,) joints: those on the way from the root to where the tree branches, and the left and right ones that hang on these.
    axis
        The root, and the last joint on that way.
    trunk_lines, limbs
        (·, 2) joints (parent, child); between two of the trunk, and all other bones.
    chains
        Places in `limbs`, from the trunk outwards, of each limb that hangs on the trunk.
    """

    trunk: np.ndarray
    axis: tuple[int, int]
    trunk_lines: np.ndarray
    limbs: np.ndarray
    chains: tuple[tuple[int, ...], ...]


def anatomy_of(skeleton: Skeleton) -> Anatomy:
    """Return trunk and limbs; raises ConfigError for a skeleton that is not jointed, such as a face's."""
    tree = [(int(parent), int(child)) for parent, child in skeleton.tree_ends]
    children: dict[int, list[int]] = {joint: [] for joint in range(len(skeleton))}
    for parent, child in tree:
        children[parent].append(child)
    root = int(skeleton.index(skeleton.root)[0])
    on_way = {joint for joint in children if len(children[joint]) > 1}
    for parent, child in reversed(tree):
        if child in on_way:
            on_way.add(parent)
    drawn = {frozenset(ends) for ends in skeleton.bone_ends.tolist()}
    if drawn != {frozenset(ends) for ends in tree} or len(on_way) < 2:
        raise ConfigError(
            f"skeleton {skeleton.name}: expected one whose bones are limbs that hang on a trunk, found lines along a surface"
        )
    paired = set(np.flatnonzero(skeleton.flip_permutation != np.arange(len(skeleton))).tolist())
    trunk = on_way | {child for parent, child in tree if parent in on_way and child in paired}
    limbs = [ends for ends in tree if ends[1] not in trunk]
    chains: list[list[int]] = []
    for place, (parent, _) in enumerate(limbs):
        chain = next((chain for chain in chains if limbs[chain[-1]][1] == parent), None)
        if chain is None:
            chains.append([place])
        else:
            chain.append(place)
    last = [child for _, child in tree if child in on_way][-1]
    return Anatomy(
        trunk=np.array(sorted(trunk)),
        axis=(root, last),
        trunk_lines=np.array([ends for ends in tree if ends[1] in trunk]),
        limbs=np.array(limbs),
        chains=tuple(map(tuple, chains)),
    )
