"""When a training has left the numbers it can recover from: what is not finite, and what grows far beyond how it began.

Each scalar is compared with its own reference, the median of its first healthy magnitudes. Losses of healthy trainings, adversarial
ones included, stay within a few tens of it; what diverges passes any multiple. Only a long run of steps counts, so that single
spikes, such as the steps on which a penalty falls due, do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from flexpose_core.errors import TrainingError

WEIGHTS = "weights"
"""The name of the norm of all weights, which is not noisy: one value beyond the limit is enough."""
SUSPICIOUS = 10.0
"""Beyond so many references nothing is wrong yet, but a checkpoint is not to replace one from before."""
_LEARNT_FROM = 100
_JUDGED_FROM = 20  # fewer values, of the first steps, say nothing of what is usual
# References are at least these: a loss that begins at 0 has no scale, nor have weights that do.
_LEAST, _LEAST_WEIGHTS = 0.1, 1.0


@dataclass
class Health:
    """The references of a training's scalars, and how long each has been beyond its limit.

    Parameters
    ----------
    factor
        How many references a value may reach.
    patience
        After how many steps beyond that, one after the other, the training counts as diverged.
    """

    factor: float
    patience: int
    early: dict[str, list[float]] = field(default_factory=dict)
    """The first healthy magnitudes of each scalar."""
    beyond: dict[str, int] = field(default_factory=dict)
    """For how many steps each has been beyond the limit."""
    suspicious: set[str] = field(default_factory=set)
    """What was beyond `SUSPICIOUS` references when it was last seen."""

    def observe(self, step: int, values: Mapping[str, float]) -> None:
        """Take the scalars of one step.

        Raises
        ------
        TrainingError
            If one is not finite, or was beyond the limit for too long; the message names it, the step and the limit.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(f"{name} is {value} at step {step}: expected a finite number")
            # The norm of the weights is compared with that before the first step.
            judged_from, learnt_from, patience, least = (
                (1, 1, 1, _LEAST_WEIGHTS) if name == WEIGHTS else (_JUDGED_FROM, _LEARNT_FROM, self.patience, _LEAST)
            )
            early, size = self.early.setdefault(name, []), abs(value)
            reference = max(median(early), least) if len(early) >= judged_from else math.inf
            if size > SUSPICIOUS * reference:
                self.suspicious.add(name)
            else:
                self.suspicious.discard(name)
                if len(early) < learnt_from:
                    early.append(size)
            self.beyond[name] = self.beyond.get(name, 0) + 1 if size > self.factor * reference else 0
            if self.beyond[name] >= patience:
                raise TrainingError(
                    f"{name} is {value:.3g} at step {step}, and has been for {self.beyond[name]} steps: expected at most "
                    f"{self.factor * reference:.3g}, {self.factor:g} times as much as at the start"
                )

    def state(self) -> dict[str, Any]:
        """Return what a resumed training must know, as plain JSON values."""
        return {"early": self.early, "beyond": self.beyond, "suspicious": sorted(self.suspicious)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.early = {name: list(values) for name, values in state["early"].items()}
        self.beyond, self.suspicious = dict(state["beyond"]), set(state["suspicious"])


def gradient_norms(optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the 2-norm of the gradients that each optimiser last used, as "gradient/NAME"."""
    norms = {}
    for name, optimiser in optimisers.items():
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            norms[f"gradient/{name}"] = nn.utils.get_total_norm(gradients)
    return norms


@torch.no_grad()
def weights_norm(networks: Mapping[str, nn.Module]) -> float:
    """Return the 2-norm of all weights and buffers, which is not finite if one of them is not.

    A network whose attribute `watched` is False does not count.
    """
    watched = [network for network in networks.values() if getattr(network, "watched", True)]
    tensors = [value for network in watched for value in network.state_dict().values()]
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    return float(nn.utils.get_total_norm(floating)) if floating else 0.0
