"""Figures 5 and 6: people painted in given poses, and what detectors find in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flexpose_core import seeds
from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.files import write_json
from flexpose_core.measures.detection import better_labelling, detection_metrics, mean_pose_floor
from flexpose_core.models.cycle_gan import SkeletonToPerson
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.rendering.charts import picture_figure, write_figure
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile, to_uint8
from flexpose_core.skeletons import Skeleton
from flexpose_core.stages.evaluate import load_detector, predict
from flexpose_core.stages.tabulate import read_metrics
from flexpose_core.stages.train_cycle_gan import load_painter, poses_apart
from flexpose_core.stages.train_detector import frames_of
from flexpose_core.training.frames import Frames

_PEOPLE_COLUMNS, _PEOPLE_BANDS = 10, 2
_FACE_COLUMNS = 8
_SIDE = 128
_BATCH = 64
ASKED, PAINTED, FOUND = "pose asked for", "person painted", "joints found"
TRUTH = "truth"


def draw_painted_people(
    weights: Path,
    pose_cache: Path,
    people: int,
    detector_weights: Path,
    test: Path,
    cell_metrics: Path,
    seed: int,
    out_metrics: Path,
    out_png: Path,
    out_svg: Path,
    device: str = "auto",
) -> None:
    """Draw Figure 5, and measure how near the poses that a cell's detector finds in painted people are to those asked for.

    The poses are some that CycleGAN's training has not seen, and the people stand before backgrounds of the test split, drawn
    at random, which the detector is given as it is those of real images. The metrics file has, each as `detection_metrics`
    gives it, "painted"; "real", what the cell's metrics say of the same detector on test images; "mean_pose", always answering the
    mean of the poses that are not asked for.

    Raises
    ------
    DataError
        If the detector, the poses and the painter are not of one skeleton.
    """
    where = pick_device(device)
    painter, architecture, skeleton = load_painter(weights, where)
    detector, _, detector_architecture, detected = load_detector(detector_weights, where)
    split, adapted = load_cache(test, images=True), load_cache(pose_cache)
    others, poses = poses_apart(adapted, pose_cache, people, seed)
    own = adapted.skeleton
    for path, found in ((pose_cache, own.name), (detector_weights, detected), (test, split.skeleton.name)):
        if found != skeleton:
            raise DataError(f"{path}: expected skeleton {skeleton} as in {weights}, found {found}")
    # Few are looked at.
    frames = frames_of(split, architecture.size, "none", in_memory=0)
    rows = torch.from_numpy(seeds.rng(seed, "painted_people").integers(len(split), size=people))
    skeletons, images, backgrounds = paint(painter, poses, own, frames, rows, where)

    size = detector_architecture.size
    seen = [torch.from_numpy(enlarge(pictures, size)).permute(0, 3, 1, 2) for pictures in (images, backgrounds)]
    every = torch.arange(people)
    found_joints = predict(detector, Frames(seen[0], seen[1], every, every, detector_architecture.contrast), where)
    visible = np.ones(poses.shape[:2], np.uint8)
    of_cell = read_metrics(cell_metrics)
    metrics = {
        "cell": of_cell["name"],
        "painted": detection_metrics(found_joints, poses, visible, own),
        "real": of_cell["test"],
        "mean_pose": mean_pose_floor(others, np.ones(others.shape[:2], np.uint8), poses, visible, own),
    }
    write_json(out_metrics, metrics)

    count = min(_PEOPLE_COLUMNS * _PEOPLE_BANDS, people)
    large = enlarge(images[:count], _SIDE)
    labelled = better_labelling(found_joints[:count], poses[:count], visible[:count], own)
    rows_shown = [enlarge(skeletons[:count], _SIDE), large, overlay_poses(large, labelled, own)]
    lines = [
        f"painted: {_in_words(metrics['painted'])}",
        f"real test images: {_in_words(metrics['real'])}",
        f"always the mean pose: {_in_words(metrics['mean_pose'])}",
    ]
    _draw_rows(dict(zip((ASKED, PAINTED, FOUND), rows_shown, strict=True)), _PEOPLE_COLUMNS, lines, out_png, out_svg)


@torch.no_grad()
def paint(
    painter: SkeletonToPerson,
    poses: np.ndarray,
    skeleton: Skeleton,
    frames: Frames,
    rows: torch.Tensor,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return skeletons of poses (N, K, 2), people in these, and the backgrounds of the frames `rows` (N,) that they stand before.

    All are (N, S, S, 3) uint8, S the painter's size.
    """
    made: list[list[np.ndarray]] = [[], [], []]
    for batch in torch.arange(len(poses)).split(_BATCH):
        _, backgrounds = frames.take(rows[batch], device)
        drawn = draw_lines(torch.from_numpy(poses[batch.numpy()]).to(device), skeleton, backgrounds.shape[-1], 1)
        for held, images in zip(made, (drawn, painter(drawn, backgrounds), backgrounds), strict=True):
            held.append(to_uint8(images.cpu().numpy()))
    skeletons, people, behind = (np.concatenate(held) for held in made)
    return skeletons, people, behind


def draw_predictions(
    cells: Mapping[str, Path],
    metrics: Sequence[Path],
    test: Path,
    out_png: Path,
    out_svg: Path,
    device: str = "auto",
) -> None:
    """Draw Figure 6: what the detectors of several cells find in the same test images, and the truth.

    Parameters
    ----------
    cells
        Each cell's detector.
    metrics
        Each cell's metrics file, for the figures beside its row.

    Raises
    ------
    DataError
        If a detector was trained for another skeleton.
    """
    where, split = pick_device(device), load_cache(test, images=True)
    chosen = np.linspace(0, len(split) - 1, min(_FACE_COLUMNS, len(split))).astype(int)
    images = shown_images(split, chosen)
    truth, visibility = split.poses[chosen], split.visibility[chosen]
    rows, lines = {}, []
    for (name, weights), path in zip(cells.items(), metrics, strict=True):
        detector, _, architecture, skeleton = load_detector(weights, where)
        if skeleton != split.skeleton.name:
            raise DataError(f"{weights}: expected skeleton {split.skeleton.name} as in {test}, found {skeleton}")
        # Of the images only those shown are decoded.
        frames = frames_of(split, architecture.size, architecture.contrast, in_memory=0)
        found = predict(detector, frames, where, chosen)
        labelled = better_labelling(found, truth, visibility, split.skeleton)
        rows[name] = overlay_poses(images, labelled, split.skeleton)
        lines.append(f"{name}: {_in_words(read_metrics(path)['test'])}")
    rows[TRUTH] = overlay_poses(images, truth, split.skeleton, visibility)
    _draw_rows(rows, len(chosen), lines, out_png, out_svg)


def shown_images(split: PoseSet, chosen: np.ndarray) -> np.ndarray:
    """Return images of a split as they are shown, (n, side, side, 3) uint8."""
    if split.images is None:
        raise DataError("picture of detections: expected a pose set loaded with its images")
    return enlarge(split.images[chosen], _SIDE)


def _in_words(metrics: Mapping[str, Any]) -> str:
    own = metrics["flip_aware"]
    shares = ", ".join(f"PCK{round(100 * float(rho))} {share:.2f}" for rho, share in own["pck"].items())
    return f"MSE {own['mse']:.1f} px², {shares} ({metrics['samples']:,} images)"


def _draw_rows(
    rows: Mapping[str, np.ndarray], columns: int, lines: Sequence[str], out_png: Path, out_svg: Path
) -> None:
    """Draw named rows of pictures (N, H, W, 3) uint8, in bands of `columns`, and lines of text beneath."""
    count = len(next(iter(rows.values())))
    bands = [
        np.concatenate([tile(pictures[start : start + columns], columns) for pictures in rows.values()])
        for start in range(0, count, columns)
    ]
    figure = picture_figure(np.concatenate(bands), [*rows] * len(bands), lines)
    write_figure(figure, out_png, out_svg)
