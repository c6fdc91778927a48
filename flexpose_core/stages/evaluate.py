"""The metrics file of a cell: what was run, and how well its detector does, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flexpose_core.devices import pick_device, single_precision
from flexpose_core.errors import DataError
from flexpose_core.files import read_json, write_json
from flexpose_core.measures.detection import better_labelling, detection_metrics, mean_pose_floor
from flexpose_core.models.building import channels_last
from flexpose_core.models.keypoint_gan import (
    Detector,
    DetectorArchitecture,
    ImageToSkeleton,
    SkeletonToImage,
    SkeletonToKeypoints,
)
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile, write_png
from flexpose_core.stages.measure_poses import gathered, measured, read_parts
from flexpose_core.stages.train_detector import DETECTOR_KIND, DetectorOptions, frames_of
from flexpose_core.training.checkpoint import architecture_in, load_into, load_weights, read_header
from flexpose_core.training.frames import Frames

_BATCH = 256
_PICTURE_SAMPLES, _PICTURE_COLUMNS, _PICTURE_SIDE = 24, 6, 128


def evaluate(
    options: DetectorOptions,
    description: dict[str, Any],
    detector_weights: Path,
    pose_set: Path,
    train: Path,
    val: Path,
    test: Path,
    out_metrics: Path,
    out_picture: Path,
    shots: Path | None = None,
    adaptation: Path | None = None,
    measures: Sequence[Path] = (),
) -> None:
    """Write a cell's metrics on both splits, and a picture of test samples: predicted joints beside the true ones.

    Choices are made on `val`; tables are drawn from `test`. `test_new_subjects` is of those test samples alone whose subject the
    training split does not show, and null if there are none. `test_mean_pose` is what always answering the mean pose of `train`
    gives: a detector must beat it to make sense. `annotation_set_missing` is how many poses fewer than asked for the annotation
    set has. `distribution` compares the annotation set with the validation poses, and `distribution_floor` the target's own
    training poses: real against real. `arithmetic` is what the detector was trained with
    (`devices.arithmetic`). The predictions in the picture carry the better left/right labelling, as in the flip-aware
    metrics.

    Parameters
    ----------
    description
        What was run; it is written as it is.
    shots
        The annotated poses, if the cell has any: how near to them the annotation set is shows what it memorises.
    adaptation
        The metrics of an adaptation that chose its layers; the choice and its scores are repeated as `layer_search`.
    measures
        The parts of `stages.measure_poses`, if the distances between the poses were measured apart; else they are measured here.

    Raises
    ------
    DataError
        If the detector was trained for another skeleton.
    """
    device = pick_device(options.device)
    detector, _, architecture, skeleton = load_detector(detector_weights, device)
    annotations, reference = load_cache(pose_set), load_cache(train)
    metrics: dict[str, Any] = {**description, "annotation_set_size": len(annotations)}
    metrics["arithmetic"] = read_header(detector_weights)["extra"].get("arithmetic", "not stated")
    metrics["annotation_set_missing"] = annotations.attributes.get("missing", 0)
    if adaptation is not None:
        choice = read_json(adaptation)
        metrics["layer_search"] = {"layers": choice["layers"], **choice["layer_search"]}

    def found_in(path: Path) -> tuple[PoseSet, np.ndarray]:
        split = load_cache(path, images=True)
        if skeleton != split.skeleton.name:
            raise DataError(
                f"{path}: expected skeleton {skeleton} as in {detector_weights}, found {split.skeleton.name}"
            )
        # Looked at once: decoded beforehand, they would only take memory.
        return split, predict(detector, frames_of(split, architecture.size, architecture.contrast, in_memory=0), device)

    metrics |= split_metrics("val", *found_in(val), reference)
    tested, predicted = found_in(test)
    metrics |= split_metrics("test", tested, predicted, reference)
    metrics["test_new_subjects"] = new_subjects_metrics(predicted, tested, reference)
    metrics |= read_parts(measures) if measures else gathered([measured(pose_set, train, val, shots)], str(pose_set))
    write_json(out_metrics, metrics)
    write_png(out_picture, compare(predicted, tested))


def split_metrics(name: str, split: PoseSet, predicted: np.ndarray, train: PoseSet) -> dict[str, Any]:
    """Return `detection_metrics` under the split's name, and under NAME_mean_pose those of always answering `train`'s mean pose."""
    seen = split.visibility
    return {
        name: detection_metrics(predicted, split.poses, seen, split.skeleton),
        f"{name}_mean_pose": mean_pose_floor(train.poses, train.visibility, split.poses, seen, split.skeleton),
    }


def new_subjects_metrics(predicted: np.ndarray, split: PoseSet, train: PoseSet) -> dict[str, Any] | None:
    """Return `detection_metrics` of the samples whose subject `train` does not show; None where no such sample has a joint.

    Of whom a negative number says nothing, it is not known whether `train` shows them: they are left out.
    """
    new = (split.subject >= 0) & ~np.isin(split.subject, train.subject)
    if not split.visibility[new].any():
        return None
    return detection_metrics(predicted[new], split.poses[new], split.visibility[new], split.skeleton)


def load_detector(
    weights: Path, device: torch.device
) -> tuple[Detector, SkeletonToImage | None, DetectorArchitecture, str]:
    """Return Φ and η as one network, Ψ if it was trained, their architecture and the skeleton's name."""
    tensors, header = load_weights(weights, DETECTOR_KIND)
    architecture, skeleton = architecture_in(header, DetectorArchitecture, weights)
    detector = Detector(ImageToSkeleton(architecture), SkeletonToKeypoints(architecture))
    psi = SkeletonToImage(architecture) if any(name.startswith("psi.") for name in tensors) else None
    for prefix, network in (("detector.", detector), ("psi.", psi)):
        if network is None:
            continue
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        load_into(network, own, weights)
        channels_last(network.to(device)).eval()
    return detector, psi, architecture, skeleton


@torch.no_grad()
def predict(detector: Detector, frames: Frames, device: torch.device, rows: np.ndarray | None = None) -> np.ndarray:
    """Return keypoints (N, K, 2) float32 in 0..1, computed in single precision.

    Parameters
    ----------
    rows
        (N,) which frames are looked at; None is all of them.
    """
    detector.eval()
    wanted = torch.arange(len(frames.images)) if rows is None else torch.from_numpy(rows)
    with single_precision():
        return np.concatenate([detector(*frames.take(some, device)).cpu().numpy() for some in wanted.split(_BATCH)])


def compare(predicted: np.ndarray, split: PoseSet) -> np.ndarray:
    """Pairs of predicted (left) and true (right) joints over samples spread evenly through the split."""
    chosen = np.linspace(0, len(split) - 1, min(_PICTURE_SAMPLES, len(split))).astype(int)
    shown = better_labelling(predicted[chosen], split.poses[chosen], split.visibility[chosen], split.skeleton)
    if split.images is None:
        raise DataError("picture of detections: expected a pose set loaded with its images")
    images = enlarge(split.images[chosen], _PICTURE_SIDE)
    # Only what is marked can be drawn as the truth.
    sides = (shown, None), (split.poses[chosen], split.visibility[chosen])
    pairs = [overlay_poses(images, poses, split.skeleton, visible) for poses, visible in sides]
    return tile(np.concatenate(pairs, axis=2), _PICTURE_COLUMNS)
