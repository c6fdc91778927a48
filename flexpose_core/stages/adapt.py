"""From a source's generator and a few shots of the target to τ (paper, section 3.3), or to another adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from flexpose_core import streams
from flexpose_core.devices import pick_device
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import digest, write_json
from flexpose_core.geometry import inside_image
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.models.adapters import AnyAdapter, FineTuned, build_adapter
from flexpose_core.models.perceptual import build_observer, features_stamp
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.options.adaptation import AdaptationOptions, GuidanceOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import check_enough, check_extent, pooled_poses
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.rendering.pictures import tile, write_png
from flexpose_core.skeletons import Skeleton, skeleton_named
from flexpose_core.stages.choose_layers import choose_layers
from flexpose_core.stages.few_shot import enrich, pair
from flexpose_core.stages.fine_tune import fine_tune
from flexpose_core.stages.priors import check_fit, joints_of, load_generator, load_regressor
from flexpose_core.stamp import code_stamp
from flexpose_core.training.checkpoint import read_header
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.adaptation import AdaptationObjective

_STAGE = "adapt"
_MEASURED, _PAIRS, _SHOWN, _SHOWN_SIDE = 1000, 256, 12, 96


def adapt(
    options: AdaptationOptions,
    generator_weights: Path,
    regressor_weights: Path,
    sources: Sequence[Path],
    shots: Path,
    mixup: Path,
    out_transfer: Path,
    out_metrics: Path,
    out_picture: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
    discriminator_weights: Path | None = None,
    guidance_options: GuidanceOptions | None = None,
) -> None:
    """Fit τ, or what else the options say, and write it alone, with metrics and a picture.

    The metrics say how far the generator's joints are from the guidance before and after, of those poses that are `inside` the
    image, as samples are, and what share that is; and what the loss of Eq. 5 is on the same 256 pairs before and after, if it
    was fitted; nothing of the target but the shots is looked at. The picture has three rows: poses of the source's generator,
    poses of the same latent codes after the adaptation, and the shot nearest to each of these.

    Parameters
    ----------
    discriminator_weights
        What the generator was trained against; for adversarial fine-tuning.
    guidance_options
        How the shots were enriched; for layers "auto", which makes guidance of a part of the shots.

    Raises
    ------
    ConfigError
        If a layer, or a candidate for "auto", is beyond the generator's, or the generator has no pose for Γ to read.
    DataError
        If there are too few source poses, or no adapted pose is inside the image.
    CheckpointError
        If weights are missing, damaged or of other networks.
    """
    device = pick_device(options.device)
    generator, regressor = load_generator(generator_weights).to(device), load_regressor(regressor_weights).to(device)
    check_fit(generator.architecture, regressor.architecture, regressor_weights)
    skeleton = skeleton_named(generator.architecture.skeleton)
    drawn, mixed = load_cache(shots), load_cache(mixup)
    own = pooled_poses(sources)[0] if options.alignment is not None else None
    if own is not None:
        check_enough(own, sources, mixed.poses)
        check_extent(own, skeleton, sources)
    guidance = enrich(own, mixed.poses, len(drawn), skeleton, options, seed)
    used = [generator_weights, regressor_weights, *([discriminator_weights] if discriminator_weights else [])]
    weights = [read_header(path)["checksum"] for path in used]
    shaping = msgspec.to_builtins(msgspec.structs.replace(options, device="auto"))
    if options.adversarial is None:
        weights.append(features_stamp(options.perceptual, seed))
    identity = json.dumps([code_stamp(__name__), shaping, weights, digest(guidance.tobytes())])
    chosen: dict[str, Any] = {}
    if options.chooses_layers:
        if guidance_options is None:
            raise ConfigError("adaptation.layers: expected the guidance's options for 'auto', found none")
        layers, search = choose_layers(
            options, guidance_options, generator, regressor, own, drawn.poses, seed, work, identity, loop
        )
        options = msgspec.structs.replace(options, layers=layers)
        chosen = {"layers": layers, "layer_search": search}
        # A checkpoint of other layers does not fit.
        identity = json.dumps([identity, layers])
    transfer = build_adapter(options, generator, seed).to(device)
    if options.adversarial is None:
        fitted = _fit(options, transfer, generator, regressor, guidance, seed, work, identity, loop)
    else:
        if discriminator_weights is None or not isinstance(transfer, FineTuned):
            raise ConfigError("adaptation.adversarial: expected the discriminator of the source, found none")
        mixed_precision = options.mixed_precision
        fine_tune(
            options.adversarial, mixed_precision, transfer, discriminator_weights, guidance, seed, work, identity, loop
        )
        fitted = {"perceptual": "discriminator", "loss": None}

    latent = generator.architecture.latent_width
    z = torch.randn(_MEASURED, latent, generator=streams.torch_generator(seed, "adapt/measure")).to(device)
    before, after = (
        joints_of(network, regressor, z, tau, options.mixed_precision, options.joints).cpu().numpy()
        for network, tau in ((generator, None), (transfer.host(generator), transfer))
    )
    transfer.save(out_transfer, {"seed": seed})
    inside = {"before": inside_image(before), "after": inside_image(after)}
    # What β reads is inside; of the generator's own poses only those inside are sampled.
    if not inside["after"].any():
        raise DataError(f"{generator_weights}: expected adapted poses inside the image, found none of {_MEASURED}")
    metrics: dict[str, Any] = {
        **fitted,
        "parameters": sum(parameter.numel() for parameter in transfer.parameters()),
        "inside": {name: float(rows.mean()) for name, rows in inside.items()},
        "before": distribution_metrics(guidance, before[inside["before"]], seed) if inside["before"].any() else None,
        "after": distribution_metrics(guidance, after[inside["after"]], seed),
        "guidance": mixed.attributes,
        **chosen,
    }
    write_json(out_metrics, metrics)
    # Those outside last.
    shown = np.argsort(~(inside["before"] & inside["after"]), kind="stable")[:_SHOWN]
    write_png(out_picture, triptych(before[shown], after[shown], drawn.poses, skeleton))


def _fit(
    options: AdaptationOptions,
    transfer: AnyAdapter,
    generator: StyleGenerator,
    regressor: Regressor,
    guidance: np.ndarray,
    seed: int,
    work: Path,
    identity: str,
    loop: LoopOptions | None,
) -> dict[str, Any]:
    """Fit to pairs and to the distribution; return what Γ is, and the loss of Eq. 5 before and after if pairs are fitted."""
    device, skeleton = next(transfer.parameters()).device, skeleton_named(generator.architecture.skeleton)
    observer, perceptual = build_observer(options, transfer.host(generator), regressor, seed)
    z = pair(options, observer, guidance, generator.architecture.latent_width, seed, device)
    objective = AdaptationObjective(transfer, observer, z, torch.as_tensor(guidance), skeleton, options)
    before = objective.pair_loss(_PAIRS)  # before a checkpoint is loaded
    train(objective, objective.steps, _STAGE, seed, work, identity, loop)
    after = objective.pair_loss(_PAIRS)
    return {"perceptual": perceptual, "loss": None if before is None else {"before": before, "after": after}}


def triptych(source: np.ndarray, adapted: np.ndarray, shots: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return an (H, W, 3) uint8 picture of three rows: source, adapted, and the nearest shot of each adapted pose."""
    distances = np.linalg.norm(adapted[:, None] - shots[None], axis=-1).mean(axis=-1)
    nearest = shots[distances.argmin(axis=1)]
    return tile(draw_lines(np.concatenate([source, adapted, nearest]), skeleton, _SHOWN_SIDE), len(source))
