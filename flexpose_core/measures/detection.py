"""How far predicted joints are from true ones.

All functions take poses (N, K, 2) in 0..1 over the crop, x then y, and a visibility (N, K), nonzero where the true
joint is known; only visible joints count. Pixels ("px") are on the scale of a 128-px image, whatever the working
resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.measures import PIXELS
from flexpose_core.skeletons import Skeleton

PCK_THRESHOLDS = (0.05, 0.1, 0.2)


def squared_distances(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distance of each joint, (N, K) float64 in px²; nothing is averaged."""
    return ((np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)) ** 2).sum(-1) * PIXELS**2


def mse(squared: np.ndarray, visibility: np.ndarray) -> float:
    """Return MSE-Pixel in px²: the mean over all visible joints of all samples of the squared distances."""
    return float(squared[visibility.astype(bool)].mean())


def mean_distance(squared: np.ndarray, visibility: np.ndarray) -> float:
    """Return the mean Euclidean distance in px over all visible joints of all samples."""
    return float(np.sqrt(squared[visibility.astype(bool)]).mean())


def box_sides(truth: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """Return the larger side of the box around each sample's visible true joints, (N,) in px; 0 if none is visible."""
    seen = visibility.astype(bool)[..., None]
    low = np.where(seen, truth, np.inf).min(1)
    high = np.where(seen, truth, -np.inf).max(1)
    return np.maximum(high - low, 0).max(-1).astype(np.float64) * PIXELS


def pck(squared: np.ndarray, sides: np.ndarray, visibility: np.ndarray, threshold: float) -> float:
    """Return PCK: the share of visible joints nearer than `threshold` × their sample's box side, 0 if there are none.

    A sample with one visible joint has no box, and does not count.
    """
    near = np.sqrt(squared) < threshold * sides[:, None]
    counted = visibility.astype(bool) & (sides > 0)[:, None]
    return float(near[counted].mean()) if counted.any() else 0.0


def joint_distances(squared: np.ndarray, visibility: np.ndarray, skeleton: Skeleton) -> dict[str, float | None]:
    """Return each joint's mean distance in px over the samples that show it; None for a joint that none shows."""
    seen = visibility.astype(bool)
    distances = np.sqrt(squared)
    means = [float(distances[shown, k].mean()) if shown.any() else None for k, shown in enumerate(seen.T)]
    return dict(zip(skeleton.joints, means, strict=True))


def better_labelling(
    predicted: np.ndarray, truth: np.ndarray, visibility: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """Return the predictions with left and right swapped in those samples whose MSE over visible joints is lower so.

    A skeleton seen from the front and from the back looks alike, so left and right cannot always be told (after the
    flip-aware evaluation of Jakab et al. 2020). All joints of a sample are swapped or none; a tie keeps the labels.
    """
    swapped = predicted[:, skeleton.flip_permutation]
    seen = visibility.astype(bool)
    as_is = (squared_distances(predicted, truth) * seen).sum(1)
    flipped = (squared_distances(swapped, truth) * seen).sum(1)
    return np.where((flipped < as_is)[:, None, None], swapped, predicted)


def detection_metrics(
    predicted: np.ndarray,
    truth: np.ndarray,
    visibility: np.ndarray,
    skeleton: Skeleton,
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> dict[str, Any]:
    """Return all detection metrics, plain numbers ready for JSON.

    Returns
    -------
    "as_is" and, after `better_labelling`, "flip_aware", each with "mse" (px²), "mean_distance" (px), "pck" (threshold as
    text → 0..1) and "joint_distance" (joint → px or None); "samples" and "visible_joints" count what was averaged over,
    "samples_without_box" those with one visible joint or none, which PCK leaves out.

    Raises
    ------
    DataError
        If the shapes disagree, a visible joint is not finite, or no joint is visible.
    """
    predicted, truth, visibility = np.asarray(predicted), np.asarray(truth), np.asarray(visibility)
    expected = (*visibility.shape, 2)
    if predicted.shape != expected or truth.shape != expected or expected[1:] != (len(skeleton), 2):
        raise DataError(
            f"detection metrics: expected predictions and truth of shape (N, {len(skeleton)}, 2) and visibility "
            f"(N, {len(skeleton)}), found {predicted.shape}, {truth.shape} and {visibility.shape}"
        )
    seen = visibility.astype(bool)
    if not seen.any():
        raise DataError("detection metrics: expected visible joints, found none")
    if not np.isfinite(predicted[seen]).all() or not np.isfinite(truth[seen]).all():
        raise DataError("detection metrics: expected finite coordinates of visible joints, found NaN or infinity")
    # A hidden joint's coordinates may be anything, NaN included; zero times NaN would spread.
    truth = np.where(seen[..., None], truth, 0)
    hidden_safe = np.where(np.isfinite(predicted), predicted, 0)
    relabelled = better_labelling(hidden_safe, truth, visibility, skeleton)
    sides = box_sides(truth, visibility)
    result: dict[str, Any] = {"samples": len(truth), "visible_joints": int(seen.sum())}
    result["samples_without_box"] = int((sides == 0).sum())
    for name, labelled in (("as_is", hidden_safe), ("flip_aware", relabelled)):
        squared = squared_distances(labelled, truth)
        result[name] = {
            "mse": mse(squared, visibility),
            "mean_distance": mean_distance(squared, visibility),
            "pck": {f"{threshold:g}": pck(squared, sides, visibility, threshold) for threshold in thresholds},
            "joint_distance": joint_distances(squared, visibility, skeleton),
        }
    return result


def mean_pose(poses: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """Return each joint's mean place over the samples that show it, (K, 2) float32; the centre if none does."""
    seen = visibility.astype(bool)[..., None]
    count = seen.sum(0)
    total = np.where(seen, poses, 0).sum(0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), 0.5).astype(np.float32)


def mean_pose_floor(
    reference: np.ndarray,
    reference_visibility: np.ndarray,
    truth: np.ndarray,
    visibility: np.ndarray,
    skeleton: Skeleton,
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> dict[str, Any]:
    """Return the metrics of a detector that ignores the image and always answers the mean pose of `reference`."""
    answer = np.broadcast_to(mean_pose(reference, reference_visibility), truth.shape)
    return detection_metrics(answer, truth, visibility, skeleton, thresholds)
