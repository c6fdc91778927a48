"""From images of people and unpaired poses to a painter of people in given poses: CycleGAN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from flexpose_core import seeds
from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.files import digest
from flexpose_core.models.building import channels_last
from flexpose_core.models.cycle_gan import PatchDiscriminator, PersonToSkeleton, SkeletonToPerson
from flexpose_core.options.cycle_gan import CycleGanArchitecture, CycleGanOptions
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.poses.pool import complete_poses
from flexpose_core.stages.train_detector import frames_of
from flexpose_core.stamp import code_stamp
from flexpose_core.training.checkpoint import architecture_in, load_into, load_weights, save_weights
from flexpose_core.training.frames import Frames
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.cycle_gan import CycleGanObjective
from flexpose_core.training.objectives.eta import PosePrior

KIND = "cycle_gan"
_STAGE = "cycle_gan"


def train_cycle_gan(
    options: CycleGanOptions,
    image_cache: Path,
    pose_cache: Path,
    held_out: int,
    out_weights: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
) -> None:
    """Train CycleGAN on the images, whose own poses are not looked at, and on the poses of another cache.

    Parameters
    ----------
    held_out
        How many of the poses are kept from the training, to ask for afterwards.

    Raises
    ------
    DataError
        If the caches' skeletons differ, or too few poses have all joints visible.
    """
    device, architecture = pick_device(options.device), options.architecture()
    pictures, poses = load_cache(image_cache, images=True), load_cache(pose_cache)
    skeleton, wanted = poses.skeleton, pictures.skeleton.name
    if skeleton.name != wanted:
        raise DataError(f"{pose_cache}: expected skeleton {wanted} as in {image_cache}, found {skeleton.name}")
    complete, _ = poses_apart(poses, pose_cache, held_out, seed)
    frames = frames_of(pictures, options.size, "none")
    objective = build_objective(options, frames, PosePrior(complete, skeleton, device), seed)
    shaping = msgspec.json.encode(msgspec.structs.replace(options, device="auto")).decode()
    identity = "\n".join([code_stamp(__name__), shaping, digest(complete.tobytes()), pictures.pictures_checksum])
    train(objective, options.steps, _STAGE, seed, work, identity, loop)
    description = {**msgspec.json.decode(msgspec.json.encode(architecture)), "skeleton": skeleton.name}
    save_weights(out_weights, objective.average.module.state_dict(), KIND, description, {"seed": seed})


def build_objective(options: CycleGanOptions, frames: Frames, prior: PosePrior, seed: int) -> CycleGanObjective:
    """Return the objective with new networks, whose weights depend on the seed alone; the global random state stays as it was."""
    architecture = options.architecture()
    widths = architecture.discriminator_widths
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.derive(seed, _STAGE))
        networks = {
            "painter": SkeletonToPerson(architecture),
            "finder": PersonToSkeleton(architecture),
            "person_judge": PatchDiscriminator(6, widths),
            "skeleton_judge": PatchDiscriminator(1, widths),
        }
    placed: dict[str, Any] = {name: channels_last(network.to(prior.device)) for name, network in networks.items()}
    return CycleGanObjective(**placed, frames=frames, prior=prior, options=options)


def poses_apart(poses: PoseSet, path: Path, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the poses to train on and `held_out` others, (n, K, 2) each, all joints visible.

    Raises
    ------
    DataError
        If not as many are left to train on.
    """
    complete = complete_poses(poses, path)
    if len(complete) < 2 * held_out:
        raise DataError(f"{path}: expected at least {2 * held_out} poses, found {len(complete)}")
    order = seeds.rng(seed, f"{_STAGE}/held_out").permutation(len(complete))
    return complete[np.sort(order[held_out:])], complete[order[:held_out]]


def load_painter(weights: Path, device: torch.device) -> tuple[SkeletonToPerson, CycleGanArchitecture, str]:
    """Return G, its architecture and the skeleton's name."""
    tensors, header = load_weights(weights, KIND)
    architecture, skeleton = architecture_in(header, CycleGanArchitecture, weights)
    both = nn.ModuleDict({"painter": SkeletonToPerson(architecture), "finder": PersonToSkeleton(architecture)})
    load_into(both, tensors, weights)
    painter: Any = channels_last(both["painter"].to(device)).eval()
    return painter, architecture, skeleton
