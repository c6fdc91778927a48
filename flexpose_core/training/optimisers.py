"""Muon for the weight matrices of convolutions and style affines, Adam for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the update of a matrix. It learns to draw
skeletons in less than half the steps that Adam takes, which is what matters on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn

from flexpose_core.devices import computes_bfloat16
from flexpose_core.models.convolution import EqualisedConvolution
from flexpose_core.training.eager import Adam, eager

_MOMENTUM, _RMS = 0.9, 0.2
_ADAM_BETAS = (0.9, 0.99)
# Weights of linear layers are not equalised: they are smaller, and so must be their steps.
LINEAR_RATE = 0.2


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the matrices of all equalised convolutions."""
    return [module.weight for module in network.modules() if isinstance(module, EqualisedConvolution)]


def linear_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the matrices of all linear layers."""
    return [cast(nn.Parameter, module.weight) for module in network.modules() if isinstance(module, nn.Linear)]


def muon(parameters: Iterable[nn.Parameter], rate: float, mixed: bool = True) -> torch.optim.Muon:
    """Return Muon, its step's root mean square a fifth of the rate whatever the matrix's shape (Liu et al. 2025, Eq. 4).

    Parameters
    ----------
    mixed
        Whether it may compute in bfloat16, where the device does.
    """
    parameters = list(parameters)
    native = mixed and computes_bfloat16(parameters[0].device)
    kind = eager(torch.optim.Muon if native else SinglePrecisionMuon)
    return kind(parameters, rate, weight_decay=0.0, momentum=_MOMENTUM, adjust_lr_fn="match_rms_adamw")


class SinglePrecisionMuon(torch.optim.Muon):
    """Torch's Muon in float32: torch's own is in bfloat16 wherever it runs, which takes a processor without it most of a step.

    With Nesterov's momentum, and steps as large as Adam's ("match_rms_adamw"), whatever the options say of these.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; returns what `closure`, which computes the gradients anew, does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                mean = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter.grad))
                mean.lerp_(parameter.grad, 1 - momentum)
                update = orthogonalised(
                    parameter.grad.lerp(mean, momentum), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(update, alpha=-rate * _RMS * math.sqrt(max(parameter.shape)))
        return loss


def orthogonalised(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, least: float) -> Tensor:
    """Return a matrix with the same singular vectors and all singular values near 1, by Newton-Schulz iterations.

    Each is X ↦ a X + b (X Xᵀ) X + c (X Xᵀ)² X. They are made on the small square X Xᵀ, whose polynomials commute: the iterate
    itself, often ten times as wide, is needed at the end alone.

    Parameters
    ----------
    least
        The norm by which the matrix is divided is at least this.
    """
    a, b, c = coefficients
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=least)
    square = wide @ wide.T
    identity = torch.eye(len(square), dtype=square.dtype, device=square.device)
    product = identity
    for _ in range(steps):
        factor = a * identity + b * square + c * (square @ square)
        product = factor @ product
        square = factor @ square @ factor
    result = product @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


def adam(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """Return Adam with the usual betas of the distillation and of β."""
    return Adam(list(parameters), rate, _ADAM_BETAS, fused=True)


def others(network: nn.Module, *taken: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the trainable parameters of `network` that are in none of the lists."""
    known = {id(parameter) for parameters in taken for parameter in parameters}
    return [parameter for parameter in network.parameters() if parameter.requires_grad and id(parameter) not in known]
