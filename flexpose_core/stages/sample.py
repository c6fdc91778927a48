"""Target poses from the adapted generator: t̂ = β(g_t(z)), ŷ = α(t̂) (paper, Eq. 8), or its own poses where it has any.

Samples come in blocks of a fixed size, each with a seed of its own, so that they are the same to the byte however many shards
share the work, and the first n of N samples are those of a run that asks for n.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from flexpose_core import streams
from flexpose_core.devices import pick_device
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.models.adapters import AnyAdapter, load_adapter
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.options.adaptation import Joints
from flexpose_core.options.generator import SampleOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.skeletons import skeleton_named
from flexpose_core.stages.priors import CHUNK, check_fit, generate, load_generator, load_regressor, redraw
from flexpose_core.training.checkpoint import read_header

BLOCK = 1000
_ROUNDS = 20
"""Draws of a block's size before giving up on poses inside the image."""
_STAGE = "sample"
_CLIP = "generated"


def sample_shard(
    options: SampleOptions,
    generator_weights: Path,
    regressor_weights: Path,
    transfer_weights: Path | None,
    count: int,
    shard: int,
    shards: int,
    out: Path,
    seed: int,
    joints: Joints = "read",
) -> None:
    """Write shard `shard` of `shards` (counted from 0) of `count` samples; memory does not grow with `count`.

    Parameters
    ----------
    transfer_weights
        τ or another adapter; None samples the source's generator as it is.
    joints
        See `AdaptationOptions`.

    Raises
    ------
    DataError
        If hardly any of the generator's own poses is inside the image.
    ConfigError
        If the shard is not among the shards, or there are more shards than samples.
    CheckpointError
        If weights are missing, damaged, or do not belong together.
    """
    if not 0 <= shard < shards <= count:
        raise ConfigError(f"sampling: expected 0 <= shard < shards <= count, found {shard}, {shards}, {count}")
    device = pick_device(options.device)
    generator, regressor = load_generator(generator_weights).to(device), load_regressor(regressor_weights).to(device)
    check_fit(generator.architecture, regressor.architecture, regressor_weights)
    transfer = None
    if transfer_weights is not None:
        transfer = load_adapter(transfer_weights, generator).to(device).requires_grad_(False)
        generator = transfer.host(generator)

    first, last = count * shard // shards, count * (shard + 1) // shards

    def batches() -> Iterator[PoseBatch]:
        for block in range(first // BLOCK, -(-last // BLOCK)):
            start = block * BLOCK
            poses = sample_block(generator, regressor, transfer, options, seed, block, joints)
            kept = slice(max(first - start, 0), min(last - start, BLOCK))
            yield plain_batch(poses[kept].numpy(), _CLIP, first=start + kept.start)

    weights = {"generator": generator_weights, "regressor": regressor_weights, "transfer": transfer_weights}
    attributes = {
        "source": "generated",
        "seed": seed,
        "count": count,
        "keep": options.keep,
        "joints": joints,
        "weights": {name: read_header(path)["checksum"] for name, path in weights.items() if path is not None},
    }
    write_cache(out, batches(), skeleton_named(generator.architecture.skeleton), attributes)


def sample_block(
    generator: StyleGenerator,
    regressor: Regressor,
    transfer: AnyAdapter | None,
    options: SampleOptions,
    seed: int,
    block: int,
    joints: Joints = "read",
) -> Tensor:
    """Return the `BLOCK` poses (BLOCK, K, 2) of one block, on the CPU."""
    random = streams.torch_generator(seed, _STAGE, block)
    if joints == "own":
        return _own_poses(generator, transfer, random)
    device = next(generator.parameters()).device
    # Whole chunks, as the number of images a pass may change the last bits.
    wanted = round(BLOCK / options.keep)
    drawn = -(-wanted // CHUNK) * CHUNK
    z = torch.randn(drawn, generator.architecture.latent_width, generator=random).to(device)
    images, poses = generate(generator, regressor, z, transfer, options.mixed_precision)
    if options.keep < 1:
        inconsistency = (images - redraw(poses, generator.architecture)).abs().mean((1, 2, 3))
        poses = poses[inconsistency[:wanted].argsort(stable=True)[:BLOCK].sort().values]
    return poses.cpu()


@torch.inference_mode()
def _own_poses(generator: StyleGenerator, transfer: AnyAdapter | None, random: torch.Generator) -> Tensor:
    """Return the generator's first `BLOCK` own poses with all joints inside the image, as what β reads is."""
    device = next(generator.parameters()).device
    kept: list[Tensor] = []
    for _ in range(_ROUNDS):
        z = torch.randn(BLOCK, generator.architecture.latent_width, generator=random).to(device)
        poses = generator.pose(z, transfer)
        kept.append(poses[((poses >= 0) & (poses <= 1)).flatten(1).all(dim=1)].float().cpu())
        if sum(map(len, kept)) >= BLOCK:
            return torch.cat(kept)[:BLOCK]
    raise DataError(
        f"generator: expected {BLOCK} of {_ROUNDS * BLOCK} poses inside the image, found {sum(map(len, kept))}"
    )
