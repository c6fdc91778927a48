"""The metrics file of a cell: what was run, and how well its detector does on val and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flexpose_core.devices import pick_device
from flexpose_core.files import write_json
from flexpose_core.measures.detection import detection_metrics, mean_pose_floor
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.poses.cache import load_cache
from flexpose_core.rendering.pictures import write_png
from flexpose_core.stages.evaluate import compare, load_detector, predict
from flexpose_core.stages.train_detector import DetectorOptions, frames_of
from flexpose_core.stamp import library_versions


def evaluate_cell(
    options: DetectorOptions,
    description: dict[str, Any],
    detector_weights: Path,
    pose_set: Path,
    train: Path,
    val: Path,
    test: Path,
    out_metrics: Path,
    out_picture: Path,
) -> None:
    """Write the metrics on both splits, the floor that the mean training pose sets, and a picture of test predictions.

    Choices are made on `val`; tables are drawn from `test`. `distribution` compares the annotation set with the target's
    validation poses.
    """
    device = pick_device(options.device)
    detector, _, architecture, _ = load_detector(detector_weights, device)
    annotations, reference = load_cache(pose_set), load_cache(train)
    splits = {"val": load_cache(val, images=True), "test": load_cache(test, images=True)}
    metrics: dict[str, Any] = {**description, "annotation_set_size": len(annotations), "versions": library_versions()}
    for name, split in splits.items():
        predicted = predict(detector, frames_of(split, architecture.size), device)
        metrics[name] = detection_metrics(predicted, split.poses, split.visibility, split.skeleton)
    held_out = splits["test"]
    metrics["test_floor"] = mean_pose_floor(
        reference.poses, reference.visibility, held_out.poses, held_out.visibility, held_out.skeleton
    )
    metrics["distribution"] = distribution_metrics(splits["val"].poses, annotations.poses)
    write_json(out_metrics, metrics)
    write_png(out_picture, compare(predicted, held_out))
