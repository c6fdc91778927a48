"""From source poses to the skeleton image generator g_s (paper, section 3.2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch

from flexpose_core import seeds, streams
from flexpose_core.devices import mixed_precision, pick_device
from flexpose_core.errors import CheckpointError
from flexpose_core.files import digest, write_json
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.models.building import initialised
from flexpose_core.models.discriminator import ImageDiscriminator
from flexpose_core.models.discriminators import Discriminator, save_discriminator
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import GeneratorArchitecture, StyleGenerator
from flexpose_core.options.generator import GeneratorOptions
from flexpose_core.poses.pool import pooled_poses
from flexpose_core.poses.widening import keep_inside, widen
from flexpose_core.rendering.pictures import enlarge, tile, to_uint8, write_png
from flexpose_core.skeletons import skeleton_named
from flexpose_core.stages.priors import (
    CHUNK,
    check_fit,
    generate,
    joint_errors,
    load_regressor,
    read,
    redraw,
    save_generator,
)
from flexpose_core.stamp import code_stamp
from flexpose_core.training.checkpoint import load_weights, read_header, save_weights
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.adversarial import AdversarialObjective
from flexpose_core.training.objectives.distillation import BoneHeads, DistillationObjective
from flexpose_core.training.objectives.pose_gan import PoseGanObjective
from flexpose_core.training.resuming import remove_checkpoints

_STAGE = "train_generator"
_POSE_GAN_KIND = "pose_gan"
_TESTED, _SHOWN, _COLUMNS, _SHOWN_SIDE = 4000, 24, 8, 96


def train_generator(
    options: GeneratorOptions,
    channels: Literal[1, 3],
    sources: Sequence[Path],
    validation: Sequence[Path],
    regressor_weights: Path,
    out_weights: Path,
    out_metrics: Path,
    out_picture: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
    out_discriminator: Path | None = None,
) -> None:
    """Train g_s on the pooled poses and write its averaged weights, metrics, a picture, and the discriminator if asked for.

    The metrics compare β(g_s(z)) with held-out poses, beside training poses with held-out poses; `drawing` are the errors
    of β(φ(A(w(p)))) on held-out poses p, for a distilled generator. The picture pairs g_s(z) with α(β(g_s(z))).

    Raises
    ------
    DataError
        If a cache is missing or damaged, the skeletons differ, or no pose has all joints visible.
    CheckpointError
        If β is missing, damaged, or reads other images than the generator draws.
    """
    device = pick_device(options.device)
    poses, skeleton = pooled_poses(sources)
    held_out, _ = pooled_poses(validation)
    architecture = msgspec.convert(
        {**msgspec.to_builtins(options.architecture), "skeleton": skeleton.name, "channels": channels},
        GeneratorArchitecture,
    )
    regressor = load_regressor(regressor_weights).to(device)
    check_fit(architecture, regressor.architecture, regressor_weights)
    generator = initialised(lambda: StyleGenerator(architecture), seed, "initialise/generator", device)
    inputs = [digest(poses.data), read_header(regressor_weights)["checksum"]]
    shaping = msgspec.to_builtins(msgspec.structs.replace(options, device="auto"))
    identity = json.dumps([code_stamp(__name__), shaping, channels, inputs], sort_keys=True)
    if options.training == "distilled":
        generator, discriminator = _distil(generator, regressor, poses, options, seed, Path(work), identity, loop)
    else:
        generator, discriminator = _learn_adversarially(generator, poses, options, seed, Path(work), identity, loop)

    generator.eval().requires_grad_(False)
    save_generator(out_weights, generator, {"seed": seed, "training": options.training})
    if out_discriminator is not None:
        trained_by = options.pose_gan if options.training == "distilled" else options.adversarial
        save_discriminator(out_discriminator, discriminator, architecture, trained_by, {"seed": seed})
    write_json(out_metrics, _measure(generator, regressor, poses, held_out, seed, options))
    write_png(out_picture, pairs_picture(generator, regressor, seed, options.mixed_precision))


def _distil(
    generator: StyleGenerator,
    regressor: Regressor,
    poses: np.ndarray,
    options: GeneratorOptions,
    seed: int,
    work: Path,
    identity: str,
    loop: LoopOptions | None,
) -> tuple[StyleGenerator, Discriminator]:
    """Learn f as a GAN on joints, then φ ∘ A by distillation; the GAN is kept in `work` for a run that resumes after it."""
    device = next(generator.parameters()).device
    skeleton = skeleton_named(generator.architecture.skeleton)
    finished = work / "pose_gan.safetensors"
    fingerprint = {"identity": digest(identity.encode()), "seed": seed}
    width = options.pose_gan.discriminator_width
    discriminator = initialised(
        lambda: PoseDiscriminator(skeleton, width), seed, "initialise/pose_discriminator", device
    )
    try:
        tensors, _ = load_weights(finished, _POSE_GAN_KIND, fingerprint)
    except CheckpointError:
        latent = generator.architecture.latent_width
        gan = PoseGanObjective(generator.f, discriminator, torch.from_numpy(poses), skeleton, latent, options.pose_gan)
        train(gan, options.pose_gan.steps, f"{_STAGE}/pose_gan", seed, work / "pose_gan", identity, loop)
        tensors = {f"f.{name}": value for name, value in gan.averaged.state_dict().items()}
        tensors |= {f"discriminator.{name}": value for name, value in discriminator.state_dict().items()}
        save_weights(finished, tensors, _POSE_GAN_KIND, fingerprint)
        remove_checkpoints(work / "pose_gan")
    for prefix, network in (("f.", generator.f), ("discriminator.", discriminator)):
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        network.load_state_dict(own)
    widths, bones = generator.architecture.synthesis_widths, len(skeleton.bones)
    heads = initialised(lambda: BoneHeads(widths, bones), seed, "initialise/bone_heads", device)
    distillation = DistillationObjective(generator, heads, regressor, options.distillation, options.mixed_precision)
    steps = options.distillation.steps
    train(distillation, steps, f"{_STAGE}/distillation", seed, work / "distillation", identity, loop)
    return distillation.averaged, discriminator


def _learn_adversarially(
    generator: StyleGenerator,
    poses: np.ndarray,
    options: GeneratorOptions,
    seed: int,
    work: Path,
    identity: str,
    loop: LoopOptions | None,
) -> tuple[StyleGenerator, Discriminator]:
    device = next(generator.parameters()).device
    architecture, width = generator.architecture, options.adversarial.discriminator_width
    discriminator = initialised(
        lambda: ImageDiscriminator(architecture.channels, architecture.resolution, width),
        seed,
        "initialise/discriminator",
        device,
    )
    objective = AdversarialObjective(
        generator, discriminator, torch.from_numpy(poses), options.adversarial, options.mixed_precision
    )
    train(objective, options.adversarial.steps, f"{_STAGE}/adversarial", seed, work / "adversarial", identity, loop)
    return objective.averaged, discriminator


def _measure(
    generator: StyleGenerator,
    regressor: Regressor,
    poses: np.ndarray,
    held_out: np.ndarray,
    seed: int,
    options: GeneratorOptions,
) -> dict[str, Any]:
    device, mixed = next(generator.parameters()).device, options.mixed_precision
    skeleton = skeleton_named(generator.architecture.skeleton)
    images, joints = generate(generator, regressor, _latent(generator, _TESTED, seed).to(device), None, mixed)
    metrics: dict[str, Any] = {
        "training_poses": len(poses),
        "held_out_poses": len(held_out),
        "generated": distribution_metrics(held_out, joints.cpu().numpy(), seed),
        "training": distribution_metrics(held_out, poses, seed),
        "inconsistency": float((images - redraw(joints, generator.architecture)).abs().mean()),
    }
    if generator.architecture.mapping == "pose":
        some = torch.from_numpy(held_out[seeds.rng(seed, f"{_STAGE}/test").permutation(len(held_out))[:_TESTED]])
        wide = widen(some, skeleton, streams.torch_generator(seed, f"{_STAGE}/test"), options.distillation.widening)
        metrics["drawing"] = drawing_errors(generator, regressor, keep_inside(some, 0.0), mixed)
        metrics["drawing_widened"] = drawing_errors(generator, regressor, wide, mixed)
    return metrics


def drawing_errors(
    generator: StyleGenerator, regressor: Regressor, poses: torch.Tensor, mixed: bool = True
) -> dict[str, float]:
    """Return the errors in px at 128 of β(φ(A(w(p)))) against p for given poses (N, K, 2); mapping kind "pose" only."""
    device = next(generator.parameters()).device
    with torch.inference_mode(), mixed_precision(device, mixed):
        images = torch.cat([generator.draw(chunk.to(device)) for chunk in poses.split(CHUNK)])
    return joint_errors(read(regressor, images, mixed).cpu().numpy(), poses.numpy())


def pairs_picture(generator: StyleGenerator, regressor: Regressor, seed: int, mixed: bool = True) -> np.ndarray:
    """Return rows of images g(z), each above a row of their redrawings α(β(g(z)))."""
    device = next(generator.parameters()).device
    images, joints = generate(generator, regressor, _latent(generator, _SHOWN, seed).to(device), None, mixed)
    redrawn = redraw(joints, generator.architecture)
    rows = [row for pair in zip(images.split(_COLUMNS), redrawn.split(_COLUMNS), strict=True) for row in pair]
    return tile(enlarge(to_uint8(torch.cat(rows).cpu().numpy()), _SHOWN_SIDE), _COLUMNS)


def _latent(generator: StyleGenerator, count: int, seed: int) -> torch.Tensor:
    width = generator.architecture.latent_width
    return torch.randn(count, width, generator=streams.torch_generator(seed, f"{_STAGE}/test"))
