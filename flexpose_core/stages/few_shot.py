"""From the mixup of a few shots to what a fit sees of the target: source poses brought to it, latent codes paired with it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flexpose_core import seeds, streams
from flexpose_core.models.adapters import AnyAdapter
from flexpose_core.models.perceptual import Observer
from flexpose_core.options.adaptation import AdaptationOptions
from flexpose_core.poses.alignment import align
from flexpose_core.poses.pairing import assigned_pairs, random_pairs
from flexpose_core.skeletons import Skeleton
from flexpose_core.stages.priors import CHUNK


def enrich(
    source: np.ndarray | None,
    guidance: np.ndarray,
    n_shots: int,
    skeleton: Skeleton,
    options: AdaptationOptions,
    seed: int,
    *keys: int,
) -> np.ndarray:
    """Return the guidance (E, K, 2), moved towards source poses (N, K, 2) if the options have an alignment."""
    if options.alignment is None or source is None:
        return guidance
    return align(source, guidance, n_shots, skeleton, options.alignment, seeds.rng(seed, "adapt/alignment", *keys))


def pair(
    options: AdaptationOptions,
    observer: Observer,
    guidance: np.ndarray,
    width: int,
    seed: int,
    device: torch.device,
    *keys: int,
) -> Tensor:
    """Return the latent code (E, width), on the CPU, that stands for each guidance pose."""
    assigned = options.pairing == "assignment"
    pool = max(options.pool, len(guidance)) if assigned else len(guidance)
    z = torch.randn(pool, width, generator=streams.torch_generator(seed, "adapt/pool", *keys))
    if assigned:
        return z[torch.as_tensor(assigned_pairs(guidance, observed_joints(observer, z.to(device), None)))]
    return z[torch.as_tensor(random_pairs(len(guidance), pool, seeds.rng(seed, "adapt/pairs", *keys)))]


def observed_joints(observer: Observer, z: Tensor, adapter: AnyAdapter | None) -> np.ndarray:
    """Return the joints (N, K, 2) in 0..1 of g_t(z), as Γ's observer reads them; of g_s(z) without an adapter."""
    with torch.inference_mode():
        return torch.cat([observer.joints(chunk, adapter) for chunk in z.split(CHUNK)]).cpu().numpy()
