"""Discriminators of either kind in weights files, with the options that they were trained by."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.models.discriminator import ImageDiscriminator
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.options.generator import AdversarialOptions, GeneratorArchitecture, PoseGanOptions
from flexpose_core.skeletons import skeleton_named
from flexpose_core.training.checkpoint import load_into, load_weights, read_header, save_weights

Discriminator = PoseDiscriminator | ImageDiscriminator
POSE_KIND, IMAGE_KIND = "pose_discriminator", "image_discriminator"
_OPTIONS: dict[str, type[PoseGanOptions] | type[AdversarialOptions]] = {
    POSE_KIND: PoseGanOptions,
    IMAGE_KIND: AdversarialOptions,
}


def save_discriminator(
    path: Path,
    discriminator: Discriminator,
    generator: GeneratorArchitecture,
    options: PoseGanOptions | AdversarialOptions,
    extra: dict | None = None,
) -> None:
    """Write a discriminator, what its generator is, and the options of their training, atomically."""
    kind = POSE_KIND if isinstance(discriminator, PoseDiscriminator) else IMAGE_KIND
    architecture = {"generator": msgspec.to_builtins(generator), "options": msgspec.to_builtins(options)}
    save_weights(path, dict(discriminator.state_dict()), kind, architecture, extra)


def load_discriminator(
    path: Path, generator: GeneratorArchitecture
) -> tuple[Discriminator, PoseGanOptions | AdversarialOptions]:
    """Return the discriminator that a generator of this architecture was trained against, and the options of that training.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, foreign, or of another generator.
    """
    kind = read_header(path)["kind"]
    if kind not in _OPTIONS:
        raise CheckpointError(f"{path}: expected weights of kind {' or '.join(_OPTIONS)}, found {kind!r}")
    tensors, header = load_weights(path, kind)
    try:
        options = msgspec.convert(header["architecture"]["options"], _OPTIONS[kind])
        stated = msgspec.convert(header["architecture"]["generator"], GeneratorArchitecture)
    except (msgspec.ValidationError, ConfigError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: expected the architecture of a {kind}, found {error}") from error
    if stated != generator:
        raise CheckpointError(f"{path}: expected the discriminator of {generator}, found that of {stated}")
    discriminator = new_discriminator(kind, generator, options.discriminator_width)
    load_into(discriminator, tensors, path)
    return discriminator, options


def new_discriminator(kind: str, generator: GeneratorArchitecture, width: int) -> Discriminator:
    """Return an untrained discriminator of this kind for what a generator makes."""
    if kind == POSE_KIND:
        return PoseDiscriminator(skeleton_named(generator.skeleton), width)
    return ImageDiscriminator(generator.channels, generator.resolution, width)


def freeze_lower(discriminator: Discriminator, count: int) -> None:
    """Freeze the first `count` layers (FreezeD, Mo et al. 2020); raises ConfigError if there are not so many to freeze."""
    layers = discriminator.lower_layers
    if count > len(layers):
        raise ConfigError(f"adaptation.adversarial.frozen: expected at most {len(layers)} layers, found {count}")
    for layer in layers[:count]:
        layer.requires_grad_(False)
