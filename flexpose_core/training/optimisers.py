"""Muon for the weight matrices of convolutions and style affines, Adam for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the update of a matrix. It learns to draw
skeletons in less than half the steps that Adam takes, which is what matters on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from flexpose_core.models.convolution import EqualisedConvolution

_MOMENTUM = 0.9
_ADAM_BETAS = (0.9, 0.99)
# Weights of linear layers are not equalised: they are smaller, and so must be their steps.
LINEAR_RATE = 0.2


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the matrices of all equalised convolutions."""
    return [module.weight for module in network.modules() if isinstance(module, EqualisedConvolution)]


def linear_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the matrices of all linear layers."""
    return [cast(nn.Parameter, module.weight) for module in network.modules() if isinstance(module, nn.Linear)]


def muon(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """Return Muon, its step's root mean square a fifth of the rate whatever the matrix's shape (Liu et al. 2025, Eq. 4)."""
    return torch.optim.Muon(
        list(parameters), rate, weight_decay=0.0, momentum=_MOMENTUM, adjust_lr_fn="match_rms_adamw"
    )


def adam(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """Return Adam with the usual betas of the distillation and of β."""
    return torch.optim.Adam(list(parameters), rate, _ADAM_BETAS, fused=True)


def others(network: nn.Module, *taken: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the trainable parameters of `network` that are in none of the lists."""
    known = {id(parameter) for parameters in taken for parameter in parameters}
    return [parameter for parameter in network.parameters() if parameter.requires_grad and id(parameter) not in known]
