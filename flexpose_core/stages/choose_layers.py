"""`layers: auto`: which layers τ should change, chosen from the shots alone by cross-validation.

The paper leaves "the best choice of l" to future work. Here every candidate set of layers is fitted to the guidance that a
part of the shots gives, and what the adapted generator then makes forecasts the shots held out, judged by the energy score, a
proper one: E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, Eq. 21). Its mean over shots y is half the energy distance between
generated poses and the target's, but for a constant that all candidates share. The lowest mean wins. Nothing of the target is
looked at but the shots, and a fit sees nothing of those held out: guidance, its symmetry, alignment and pairs are made anew of
the shots that are left. Poses are read as the energy phase reads them, without drawing where Γ = pose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from flexpose_core import seeds, streams
from flexpose_core.devices import arithmetic
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import digest, read_json, write_json
from flexpose_core.measures import PIXELS
from flexpose_core.models.adapters import AnyAdapter, build_adapter
from flexpose_core.models.perceptual import Observer, build_observer
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.models.transfer import parse_layers
from flexpose_core.options.adaptation import AdaptationOptions, GuidanceOptions, SetOfLayers, layers_text
from flexpose_core.poses.guidance import energy_score
from flexpose_core.skeletons import skeleton_named
from flexpose_core.stages.few_shot import enrich, observed_joints, pair
from flexpose_core.stages.mixing import mix
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.adaptation import AdaptationObjective, cache_features
from flexpose_core.training.resuming import remove_checkpoints

LOSS = "energy score of held-out shots, px at 128"
_STAGE = "adapt/layers"


def choose_layers(
    options: AdaptationOptions,
    guidance: GuidanceOptions,
    generator: StyleGenerator,
    regressor: Regressor,
    source: np.ndarray | None,
    shots: np.ndarray,
    seed: int,
    work: str | Path,
    identity: str,
    loop: LoopOptions | None = None,
) -> tuple[SetOfLayers, dict[str, Any]]:
    """Return the candidate with the lowest cross-validated score, and the scores of all.

    A choice that was interrupted goes on from the trial fits that are done, kept in `work`, and ends alike.

    Parameters
    ----------
    generator, regressor
        g_s and β, frozen, on the device where the work is done.
    source
        (N, K, 2) source poses in 0..1, for an alignment.
    shots
        (M, K, 2) in 0..1.
    identity
        A text that states all that shapes the result.

    Returns
    -------
    The layers, as `AdaptationOptions.layers`, and `loss`, `folds`, `steps` of a trial fit, `candidates`: for each its `layers`, its
    `score` in px, and how far that is above the best one's, `excess`, with `excess_error`, the standard error of the mean
    difference over shots.

    Raises
    ------
    ConfigError
        If the generator lacks a candidate's layer, or there are more folds than shots.
    """
    search = options.layer_search
    candidates = search.candidates or default_candidates(options, generator)
    for number, layers in enumerate(candidates):
        where = f"adaptation.layer_search.candidates[{number}]"
        parse_layers(layers, len(generator.style_widths), len(generator.mapping_widths), where)
    if len(shots) < search.folds:
        raise ConfigError(
            f"adaptation.layer_search.folds: expected at most the {len(shots)} shots, found {search.folds}"
        )
    steps = {name: math.ceil(search.steps_share * getattr(options, name)) for name in ("pair_steps", "energy_steps")}
    trial = msgspec.structs.replace(options, **steps)
    # Scores are compared: they are to be of the same arithmetic, whatever node an interrupted choice goes on at.
    mixed = trial.mixed_precision and trial.perceptual.kind != "pose"
    computed = arithmetic(next(generator.parameters()).device, mixed)
    identity = json.dumps([identity, msgspec.to_builtins(guidance), computed])
    observer, _ = build_observer(trial, generator, regressor, seed)
    order = seeds.rng(seed, f"{_STAGE}/folds").permutation(len(shots))
    scores = np.zeros((len(candidates), len(shots)))
    with tqdm(total=len(candidates) * search.folds, desc="choosing layers", position=1) as bar:
        for fold, held_out in enumerate(np.array_split(order, search.folds)):
            rest = np.delete(shots, held_out, axis=0)
            left = _Fold(trial, guidance, generator, observer, source, rest, shots[held_out], seed, fold)
            for number, layers in enumerate(candidates):
                bar.set_postfix(layers=layers_text(layers), fold=fold)
                folder = Path(work) / "layers" / f"{number}_{fold}"
                scores[number, held_out] = left.scores(layers, folder, identity, loop)
                bar.update()
    return _summary(candidates, scores, search.folds, sum(steps.values()))


def default_candidates(options: AdaptationOptions, generator: StyleGenerator) -> tuple[SetOfLayers, ...]:
    """Return the candidates where the options name none.

    With Γ of images these are all of f, each style layer, {1, 3}, {3, 5} and all style layers, f left out for the adapters that
    have style layers alone; with Γ = pose, where style layers are not seen, all of f and each layer of it.
    """
    if options.perceptual.kind == "pose":
        return ("mapping", *((f"f{layer}",) for layer in range(1, len(generator.mapping_widths) + 1)))
    n_style = len(generator.style_widths)
    pairs = [layers for layers in ((1, 3), (3, 5)) if max(layers) <= n_style]
    styles: tuple[SetOfLayers, ...] = (*((layer,) for layer in range(1, n_style + 1)), *pairs, "all")
    return styles if options.trained == "low-rank" else ("mapping", *styles)


@dataclass
class _Fold:
    """The shots without those held out, what is made of them when first asked for, and the fits to it."""

    options: AdaptationOptions
    guidance: GuidanceOptions
    generator: StyleGenerator
    observer: Observer
    source: np.ndarray | None
    rest: np.ndarray
    held_out: np.ndarray
    seed: int
    number: int

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.generator.parameters()).device

    def scores(self, layers: SetOfLayers, folder: Path, identity: str, loop: LoopOptions | None) -> list[float]:
        """Return the score in px of each shot held out, from the fit of these layers or from its file in `folder`."""
        identity = digest(identity.encode(), json.dumps([layers, self.number]).encode(), self.rest.tobytes())
        done = folder / "scores.json"
        if done.exists():
            try:
                found = read_json(done)
            except DataError:
                found = {}
            if found.get("identity") == identity:
                return [float(score) for score in found["scores"]]
        forecast = self.generated(self.fitted(layers, folder, identity, loop)) * PIXELS
        scores = [energy_score(forecast, truth * PIXELS) for truth in self.held_out]
        write_json(done, {"identity": identity, "layers": layers, "scores": scores})
        remove_checkpoints(folder)
        return scores

    def fitted(self, layers: SetOfLayers, folder: Path, identity: str, loop: LoopOptions | None) -> AnyAdapter:
        """Return the adapter after a trial fit; every candidate sees the same guidance, pairs and draws."""
        options = msgspec.structs.replace(self.options, layers=layers)
        adapter = build_adapter(options, self.generator, self.seed).to(self.device)
        z, poses, features = self.seen
        skeleton = skeleton_named(self.generator.architecture.skeleton)
        fit = AdaptationObjective(adapter, self.observer, z, poses, skeleton, options, features)
        train(fit, fit.steps, f"{_STAGE}/{self.number}", self.seed, folder, identity, loop)
        return adapter

    @cached_property
    def seen(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Latent codes, the guidance poses they stand for, and Γ of these."""
        skeleton, width = skeleton_named(self.generator.architecture.skeleton), self.generator.architecture.latent_width
        mixed, _ = mix(self.rest, skeleton, self.guidance, self.seed, _STAGE, self.number)
        near = enrich(self.source, mixed, len(self.rest), skeleton, self.options, self.seed, self.number)
        z = pair(self.options, self.observer, near, width, self.seed, self.device, self.number)
        poses = torch.as_tensor(near).to(self.device)
        return z, poses, cache_features(self.observer, poses) if self.options.pair_steps else []

    def generated(self, adapter: AnyAdapter) -> np.ndarray:
        """Return poses (N, K, 2) in 0..1 of the adapted generator, of the same latent codes for all candidates."""
        random = streams.torch_generator(self.seed, f"{_STAGE}/score", self.number)
        width = self.generator.architecture.latent_width
        z = torch.randn(self.options.layer_search.samples, width, generator=random)
        return observed_joints(self.observer, z.to(self.device), adapter)


def _summary(
    candidates: Sequence[SetOfLayers], scores: np.ndarray, folds: int, steps: int
) -> tuple[SetOfLayers, dict[str, Any]]:
    """Return the best candidate and all scores; `scores` is (candidates, shots)."""
    best = int(scores.mean(axis=1).argmin())
    excess = scores - scores[best]
    rows = [
        {
            "layers": layers,
            "score": float(own.mean()),
            "excess": float(more.mean()),
            "excess_error": float(more.std(ddof=1) / np.sqrt(len(more))),
        }
        for layers, own, more in zip(candidates, scores, excess, strict=True)
    ]
    return candidates[best], {"loss": LOSS, "folds": folds, "steps": steps, "candidates": rows}
