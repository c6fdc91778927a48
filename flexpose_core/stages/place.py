"""Source poses, or those of the source's generator as it is, in the target's proportions, places and sizes (ours).

What is adapted to a few shots has few of the postures that these lack. Here a source keeps all of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flexpose_core import seeds
from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.options.generator import SampleOptions
from flexpose_core.poses.alignment import placed
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import pooled_poses
from flexpose_core.stages.compose import write_annotation_set
from flexpose_core.stages.priors import check_fit, load_generator, load_regressor
from flexpose_core.stages.sample import BLOCK, sample_block

COUNT = 4000
"""Poses written: more than a training draws of each few."""
_STAGE = "place"


def place_samples(
    options: SampleOptions,
    generator_weights: Path,
    regressor_weights: Path,
    shots: Path,
    mixup: Path,
    out: Path,
    seed: int,
) -> None:
    """Write poses β(g_s(z)) of the generator as the source trained it, placed where mixed shots are.

    Raises
    ------
    CheckpointError
        If weights are missing, damaged, or do not belong together.
    DataError
        If the skeletons differ.
    """
    device = pick_device(options.device)
    generator, regressor = load_generator(generator_weights).to(device), load_regressor(regressor_weights).to(device)
    check_fit(generator.architecture, regressor.architecture, regressor_weights)
    blocks = range(-(-COUNT // BLOCK))
    samples = [sample_block(generator, regressor, None, options, seed, block).numpy() for block in blocks]
    source = np.concatenate(samples)[:COUNT]
    _write(source, generator.architecture.skeleton, generator_weights, shots, mixup, out, seed)


def place_source(sources: Sequence[Path], shots: Path, mixup: Path, out: Path, seed: int) -> None:
    """Write poses drawn from all sources together, placed where mixed shots are; raises DataError if the skeletons differ."""
    pooled, skeleton = pooled_poses(sources)
    drawn = pooled[np.sort(seeds.rng(seed, f"{_STAGE}/source").permutation(len(pooled))[:COUNT])]
    _write(drawn, skeleton.name, sources[0], shots, mixup, out, seed)


def _write(source: np.ndarray, skeleton: str, path: Path, shots: Path, mixup: Path, out: Path, seed: int) -> None:
    guidance = load_cache(mixup)
    if guidance.skeleton.name != skeleton:
        raise DataError(f"{path}: expected skeleton {guidance.skeleton.name} as in {mixup}, found {skeleton}")
    random, n_shots = seeds.rng(seed, _STAGE), len(load_cache(shots))
    poses = placed(source, guidance.poses, n_shots, guidance.skeleton, AlignmentOptions(), random)
    write_annotation_set(out, [(poses, "placed")], skeleton, None)
