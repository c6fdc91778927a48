"""From a dataset's joints to ours, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flexpose_core.skeletons import Skeleton

NECK_ABOVE_SHOULDERS = 0.185
"""COCO has no neck: it is put this far beyond the middle of the shoulders, in lengths from the middle of the hips to it."""


def map_joints(
    raw: np.ndarray, names: Sequence[str], sources: Mapping[str, str | tuple[str, ...]], skeleton: Skeleton
) -> np.ndarray:
    """Return joints (n, K, 2) in the skeleton's order from raw joints (n, J, 2) in the order of `names`.

    `sources` gives the raw joint of each of ours, or several whose mean it is; ours that are not among its keys are NaN.
    A mean of joints of which one is NaN is NaN.
    """
    place = {name: index for index, name in enumerate(names)}
    mapped = np.full((len(raw), len(skeleton), 2), np.nan)
    for index, joint in enumerate(skeleton.joints):
        if joint in sources:
            source = sources[joint]
            several = (source,) if isinstance(source, str) else source
            mapped[:, index] = raw[:, [place[name] for name in several]].mean(axis=1)
    return mapped


def derive_trunk(joints: np.ndarray, skeleton: Skeleton, nose: np.ndarray | None = None) -> np.ndarray:
    """Fill in pelvis, neck and head of body joints (n, 15, 2) where they are NaN; returns a new array.

    Pelvis: the middle of the hips. Neck: the middle of the shoulders, moved on by 0.185 of the way from the middle of the hips
    to it. Head, where `nose` (n, 2) is given: as far beyond the nose as the nose is beyond the neck. What a NaN goes into stays
    NaN.
    """
    joints = joints.copy()
    head, neck, pelvis, *pairs = skeleton.index(
        "head", "neck", "pelvis", "l_shoulder", "r_shoulder", "l_hip", "r_hip"
    ).tolist()
    shoulders = (joints[:, pairs[0]] + joints[:, pairs[1]]) / 2
    hips = (joints[:, pairs[2]] + joints[:, pairs[3]]) / 2
    _fill(joints, pelvis, hips)
    _fill(joints, neck, shoulders + NECK_ABOVE_SHOULDERS * (shoulders - hips))
    if nose is not None:
        _fill(joints, head, 2 * nose - joints[:, neck])
    return joints


def _fill(joints: np.ndarray, place: int, values: np.ndarray) -> None:
    missing = np.isnan(joints[:, place]).any(axis=1)
    joints[missing, place] = values[missing]


def both_sides(**ours_to_raw: str) -> dict[str, str | tuple[str, ...]]:
    """Return sources for both sides from patterns such as shoulder="{}_sho", "{}" standing for l or r."""
    return {f"{side}_{joint}": pattern.format(side) for side in ("l", "r") for joint, pattern in ours_to_raw.items()}
