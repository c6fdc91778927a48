"""Poses of the source's generator as it is, without τ, in the target's proportions, places and sizes (ours)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flexpose_core.devices import pick_device
from flexpose_core.options.adaptation import AlignmentOptions, Joints
from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.place_source import COUNT, write_placed
from flexpose_core.stages.priors import check_fit, load_generator, load_regressor
from flexpose_core.stages.sample import BLOCK, sample_block


def place_samples(
    options: AlignmentOptions,
    sampling: SampleOptions,
    generator_weights: Path,
    regressor_weights: Path,
    shots: Path,
    mixup: Path,
    out: Path,
    seed: int,
    joints: Joints = "read",
) -> None:
    """Write poses of the generator, those that `sample_shard` would write without τ, placed where mixed shots are.

    Raises
    ------
    CheckpointError
        If weights are missing, damaged, or do not belong together.
    DataError
        If the skeletons differ, or hardly any of the generator's own poses is inside the image.
    """
    device = pick_device(sampling.device)
    generator, regressor = load_generator(generator_weights).to(device), load_regressor(regressor_weights).to(device)
    check_fit(generator.architecture, regressor.architecture, regressor_weights)
    blocks = range(-(-COUNT // BLOCK))
    samples = [sample_block(generator, regressor, None, sampling, seed, block, joints).numpy() for block in blocks]
    poses = np.concatenate(samples)[:COUNT]
    write_placed(options, poses, generator.architecture.skeleton, generator_weights, shots, mixup, out, seed)
