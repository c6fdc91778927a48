"""Source poses in the target's proportions, mixed into the guidance.

A dozen shots know the target's camera, framing and body proportions, but few of its poses; the source has many poses
of other bodies under other cameras. So: estimate the ratio of the bones' lengths, find for each anchor (a mixed shot)
the source pose that resembles it most, each source pose used once, and take a pose between the two. Anchor and source
pose agree in root position and total length of bones, so that the source adds posture and nothing else.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from flexpose_core.geometry import (
    SHORTEST_BONE,
    bone_lengths,
    from_bones,
    from_polar,
    interpolate,
    relative_to_root,
    to_bones,
    to_polar,
)
from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.poses.pairing import assigned_pairs
from flexpose_core.skeletons import Skeleton


def align(
    source: np.ndarray,
    anchors: np.ndarray,
    n_shots: int,
    skeleton: Skeleton,
    options: AlignmentOptions,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one pose an anchor, between the anchor and the source pose that resembles it.

    Parameters
    ----------
    source
        (N, K, 2) source poses in 0..1.
    anchors
        (E, K, 2) poses in the target's frame, such as pose-mixup.
    n_shots
        Number of annotations behind the anchors, for shrinkage.

    Returns
    -------
    (E, K, 2) float32.
    """
    anchors = anchors.astype(np.float64)
    candidates = source[rng.permutation(len(source))[: max(options.candidates, len(anchors))]].astype(np.float64)
    ratios = fit_bone_ratios(candidates, anchors, n_shots, skeleton, options)
    candidates = scale_bones(candidates, ratios, skeleton)
    wanted, offered = (relative_to_root(poses, skeleton) for poses in (anchors, candidates))
    chosen = assigned_pairs(wanted, offered, "source poses")
    posture = _moved_onto(candidates[chosen], anchors, skeleton)
    # A source pose far from its anchor says little about the target: it may move the anchor only so far.
    distance = np.linalg.norm(posture - anchors, axis=-1).mean(axis=1, keepdims=True)
    share = np.minimum(options.source_share, options.source_reach / np.maximum(distance, SHORTEST_BONE))
    mixed = interpolate(to_polar(anchors, skeleton), to_polar(posture, skeleton), share)
    jitter = rng.normal(0, 1, (len(anchors), 1, 2)) * options.root_jitter
    return (from_polar(mixed, skeleton) + jitter).astype(np.float32)


def placed(
    source: np.ndarray,
    anchors: np.ndarray,
    n_shots: int,
    skeleton: Skeleton,
    options: AlignmentOptions,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return all source poses in the target's proportions, each where an anchor drawn at random is and as large.

    Takes what `align` takes, of whose options `candidates`, the number of source poses that the proportions are estimated from,
    and those of bones count. Nothing else of the anchors is taken on: (N, K, 2) float32.
    """
    source, anchors = source.astype(np.float64), anchors.astype(np.float64)
    compared = source[rng.permutation(len(source))[: options.candidates]]
    ratios = fit_bone_ratios(compared, anchors, n_shots, skeleton, options)
    places = anchors[rng.integers(len(anchors), size=len(source))]
    return _moved_onto(scale_bones(source, ratios, skeleton), places, skeleton).astype(np.float32)


def fit_bone_ratios(
    source: np.ndarray, anchors: np.ndarray, n_shots: int, skeleton: Skeleton, options: AlignmentOptions
) -> np.ndarray:
    """Return the ratio target : source of each bone's projected length, (K - 1,).

    Each anchor is matched with the source pose most like it up to position and size; the ratio of mean lengths over the
    matches is one estimate, and is applied to the source before matching again. A bone and its mirror image share a
    ratio. The mean ratio is taken as it is; the deviation of each bone from it is shrunk by M / (M + κ).
    """
    own = bone_lengths(source, skeleton)
    # Two of our joints may be one of the source's, and the bone between them of length 0.
    wanted = np.maximum(bone_lengths(anchors, skeleton).mean(axis=0), SHORTEST_BONE)
    target = _without_place_and_size(anchors, skeleton)
    ratios = np.ones(own.shape[1])
    for _ in range(options.bone_rounds):
        scaled = _without_place_and_size(scale_bones(source, ratios, skeleton), skeleton)
        nearest = cdist(target, scaled, "sqeuclidean").argmin(axis=1)
        found = np.maximum(own[nearest].mean(axis=0), SHORTEST_BONE)
        overall = np.log(wanted.sum() / found.sum())
        deviation = np.log(wanted / found) - overall
        deviation = (deviation + deviation[skeleton.tree_flip_permutation]) / 2
        ratios = np.exp(overall + n_shots / (n_shots + options.bone_shrinkage) * deviation)
    return ratios


def scale_bones(poses: np.ndarray, ratios: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return poses (N, K, 2) whose bones are longer by these ratios (K - 1,), roots left in place."""
    bones = to_bones(poses, skeleton)
    bones[:, 1:] *= ratios[:, None].astype(bones.dtype)
    return from_bones(bones, skeleton)


def total_length(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the sum of all bones' lengths of each pose, (N,)."""
    return bone_lengths(poses, skeleton).sum(axis=1)


def _moved_onto(poses: np.ndarray, anchors: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return poses with the root's position and the total length of the anchors, (N, K, 2) each."""
    bones = to_bones(poses, skeleton)
    bones[:, 1:] *= (total_length(anchors, skeleton) / total_length(poses, skeleton))[:, None, None]
    bones[:, :1] = to_bones(anchors, skeleton)[:, :1]
    return from_bones(bones, skeleton)


def _without_place_and_size(poses: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    scaled = relative_to_root(poses, skeleton) / total_length(poses, skeleton)[:, None, None]
    return scaled.reshape(len(poses), -1)
