"""The fit of τ or of another adapter: Eq. 5 on pairs, then, by choice, the energy distance between distributions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from flexpose_core.devices import sent
from flexpose_core.models.adapters import AnyAdapter
from flexpose_core.models.perceptual import Observer
from flexpose_core.options.adaptation import AdaptationOptions
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import tile, to_uint8
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.loop import set_learning_rate, warmup_cosine

_BETAS = (0.9, 0.99)
_WARMUP = 20
_SHOWN, _COLUMNS, _SIDE = 24, 12, 64
_CHUNK = 64


class AdaptationObjective:
    """Fit τ to pairs (z_m, t_m), then g_t's distribution of joints to that of the guidance.

    Parameters
    ----------
    transfer
        τ, or another adapter; its device is where the work is done.
    observer
        Γ and the adapter's host; parameters that are not the adapter's are frozen by the caller.
    z
        (E, latent width) on the CPU, the latent code paired with each guidance pose.
    guidance
        (E, K, 2) in 0..1.
    features
        Γ of the guidance where it is known, as `cache_features` returns it.
    """

    def __init__(
        self,
        transfer: AnyAdapter,
        observer: Observer,
        z: Tensor,
        guidance: Tensor,
        skeleton: Skeleton,
        options: AdaptationOptions,
        features: list[Tensor] | None = None,
    ) -> None:
        self.transfer, self.observer, self.options, self.skeleton = transfer, observer, options, skeleton
        self.mixed = options.mixed_precision and options.perceptual.kind != "pose"
        self.device = next(transfer.parameters()).device
        self.z, self.poses = z.to(self.device), guidance.to(self.device)
        self.targets = []
        if options.pair_steps:
            self.targets = features or cache_features(observer, self.poses)
        # Levels count alike whatever their range; the scale is the guidance's and does not change.
        self.scales = [target.std().clamp(min=1e-6) for target in self.targets]
        self.optimiser = Adam(transfer.parameters(), options.learning_rate, _BETAS)
        self.networks: dict[str, nn.Module] = {"transfer": transfer}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": self.optimiser}

    @property
    def steps(self) -> int:
        """Number of steps of both phases."""
        return self.options.pair_steps + self.options.energy_steps

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        set_learning_rate(
            self.optimiser, self.options.learning_rate * warmup_cosine(step, self.steps, _WARMUP, last=0.0)
        )
        if step < self.options.pair_steps:
            name, loss = "pairs", self._pair_loss(random)
        else:
            name, loss = "energy", self._energy_loss(random)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {name: loss.detach()}

    @torch.no_grad()
    def pair_loss(self, count: int) -> float | None:
        """Return the loss of Eq. 5 on the first `count` pairs, or on all if there are fewer; None if pairs are not fitted."""
        if not self.targets:
            return None
        chunks = torch.arange(min(count, len(self.z)), device=self.device).split(_CHUNK)
        total = sum(float(self._loss_of(chosen)) * len(chosen) for chosen in chunks)
        return total / min(count, len(self.z))

    def _pair_loss(self, random: StepRandom) -> Tensor:
        return self._loss_of(sent(random.indices(self.options.pair_batch, len(self.z)), self.device))

    def _loss_of(self, chosen: Tensor) -> Tensor:
        """Return the mean over Γ's levels of |Γ(g_t(z_m)) - Γ(α(t_m))|² (Eq. 5), each level in units of its spread."""
        generated = self.observer.generated(self.z[chosen], self.transfer)
        losses = [
            ((found - target[chosen]) / scale).square().mean()
            for found, target, scale in zip(generated, self.targets, self.scales, strict=True)
        ]
        return torch.stack(losses).mean()

    def _energy_loss(self, random: StepRandom) -> Tensor:
        count = self.options.energy_batch
        z = sent(random.normal(count, self.z.shape[1]), self.device)
        chosen = sent(random.indices(count, len(self.poses)), self.device)
        return energy_distance(self.observer.joints(z, self.transfer), self.poses[chosen])

    def picture(self, random: StepRandom) -> np.ndarray:
        with torch.no_grad():
            joints = self.observer.joints(self.z[:_SHOWN], self.transfer)
            drawn = draw_lines(joints, self.skeleton, _SIDE)
        return tile(to_uint8(drawn.cpu().numpy()), _COLUMNS)


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 2 E|x - y| - E|x - x'| - E|y - y'|, unbiased, of (N, K, 2) and (M, K, 2) (Székely & Rizzo 2013, Eq. 2)."""
    x, y = first.flatten(1), second.flatten(1)
    # Without matrix products: |x|² - 2xy + |y|² cancels for near poses.
    mode = "donot_use_mm_for_euclid_dist"
    within = [torch.cdist(a, a, compute_mode=mode).sum() / (len(a) * (len(a) - 1)) for a in (x, y)]
    return 2 * torch.cdist(x, y, compute_mode=mode).mean() - within[0] - within[1]


def cache_features(observer: Observer, poses: Tensor) -> list[Tensor]:
    """Return Γ(α(t)) of the guidance poses (E, K, 2), a level a tensor."""
    levels: list[Tensor] = []
    with torch.no_grad():
        for place in range(0, len(poses), _CHUNK):
            features = observer.guidance(poses[place : place + _CHUNK])
            # All at once, and not put together from their parts: they may be gigabytes.
            levels = levels or [level.new_empty(len(poses), *level.shape[1:]) for level in features]
            for level, part in zip(levels, features, strict=True):
                level[place : place + len(part)] = part
    return levels
