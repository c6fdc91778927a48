"""From source poses to β, which reads joints from skeleton images (paper, section 3.4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import torch

from flexpose_core import seeds, streams
from flexpose_core.devices import pick_device
from flexpose_core.files import digest, write_json
from flexpose_core.models.building import initialised
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.options.generator import RegressorOptions
from flexpose_core.poses.pool import pooled_poses
from flexpose_core.poses.widening import keep_inside, widen
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.stages.priors import joint_errors, read, save_regressor
from flexpose_core.stamp import code_stamp
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.regression import RegressionObjective

_STAGE = "train_regressor"
_TESTED = 2000


def train_regressor(
    options: RegressorOptions,
    channels: Literal[1, 3],
    sources: Sequence[Path],
    validation: Sequence[Path],
    out_weights: Path,
    out_metrics: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
) -> None:
    """Train β on the pooled poses; the metrics are its errors on clean drawings of held-out poses, as they are and widened.

    Raises
    ------
    DataError
        If a cache is missing or damaged, the skeletons differ, or no pose has all joints visible.
    """
    device = pick_device(options.device)
    poses, skeleton = pooled_poses(sources)
    held_out, _ = pooled_poses(validation)
    architecture = RegressorArchitecture(
        skeleton=skeleton.name, channels=channels, resolution=options.resolution, width=options.width
    )
    regressor = initialised(lambda: Regressor(architecture), seed, "initialise/regressor", device)
    objective = RegressionObjective(regressor, torch.from_numpy(poses), options.training, options.mixed_precision)
    shaping = msgspec.to_builtins(msgspec.structs.replace(options, device="auto"))
    identity = json.dumps([code_stamp(__name__), shaping, channels, digest(poses.data)], sort_keys=True)
    train(objective, options.training.steps, _STAGE, seed, work, identity, loop)

    random = seeds.rng(seed, f"{_STAGE}/test")
    some = torch.from_numpy(held_out[random.permutation(len(held_out))[:_TESTED]])
    generator = streams.torch_generator(seed, f"{_STAGE}/test")
    metrics: dict[str, object] = {"training_poses": len(poses)}
    widened = widen(some, skeleton, generator, options.training.widening)
    for name, truth in {"held_out": keep_inside(some, 0.0), "widened": widened}.items():
        images = draw_lines(truth, skeleton, options.resolution, channels).to(device)
        joints = read(regressor.eval(), images, options.mixed_precision).cpu().numpy()
        metrics[name] = {"poses": len(truth), **joint_errors(joints, truth.numpy())}
    save_regressor(out_weights, regressor, {"seed": seed, "steps": options.training.steps})
    write_json(out_metrics, metrics)
