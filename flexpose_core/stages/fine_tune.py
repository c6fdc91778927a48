"""Adversarial fine-tuning on the guidance: a source's generator and discriminator go on as a GAN (Wang et al. 2018)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from flexpose_core.models.adapters import FineTuned
from flexpose_core.models.building import channels_last
from flexpose_core.models.discriminators import freeze_lower, load_discriminator
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.options.adaptation import AdversarialFitOptions
from flexpose_core.options.generator import AdversarialOptions, PoseGanOptions
from flexpose_core.skeletons import skeleton_named
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.adversarial import AdversarialObjective
from flexpose_core.training.objectives.pose_gan import PoseGanObjective


def fine_tune(
    options: AdversarialFitOptions,
    mixed_precision: bool,
    adapter: FineTuned,
    discriminator_weights: Path,
    guidance: np.ndarray,
    seed: int,
    work: Path,
    identity: str,
    loop: LoopOptions | None,
) -> None:
    """Train the adapter's generator with the guidance (E, K, 2) as data, and keep its average over steps.

    Lower layers of the discriminator may stay frozen (FreezeD, Mo et al. 2020). Of a generator that was learnt in two
    stages, the first of them a GAN, that one goes on: f, on joint positions.

    Raises
    ------
    CheckpointError
        If the discriminator is missing, damaged, or of another generator.
    ConfigError
        If it has fewer layers than are to be frozen.
    """
    generator, poses = adapter.generator, torch.as_tensor(guidance)
    device = next(generator.parameters()).device
    discriminator, trained = load_discriminator(discriminator_weights, generator.architecture)
    freeze_lower(discriminator, options.frozen)
    channels_last(discriminator.to(device))
    if isinstance(discriminator, PoseDiscriminator):
        pose_gan = msgspec.convert(
            {**msgspec.to_builtins(trained), "steps": options.steps, "learning_rate": options.learning_rate},
            PoseGanOptions,
        )
        skeleton = skeleton_named(generator.architecture.skeleton)
        of_poses = PoseGanObjective(
            generator.f, discriminator, poses, skeleton, generator.architecture.latent_width, pose_gan
        )
        train(of_poses, options.steps, "adapt", seed, work, identity, loop)
        generator.f.load_state_dict(of_poses.averaged.state_dict())
        return
    rates = dict.fromkeys(("generator_rate", "discriminator_rate"), options.learning_rate)
    adversarial = msgspec.convert({**msgspec.to_builtins(trained), "steps": options.steps, **rates}, AdversarialOptions)
    of_images = AdversarialObjective(generator, discriminator, poses, adversarial, mixed_precision)
    train(of_images, options.steps, "adapt", seed, work, identity, loop)
    generator.load_state_dict(of_images.averaged.state_dict())
