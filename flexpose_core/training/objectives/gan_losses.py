"""Losses that the GAN on joints and the GAN on images share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E softplus(D(fake)) + E softplus(-D(real)), logits (B,): logistic loss (Goodfellow et al. 2014)."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """E softplus(-D(fake)): non-saturating (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E |∇ D(x)|² / 2 over real data (Mescheder et al. 2018, Eq. 9), with a graph; to be multiplied by γ."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2


def require_gradients(parameters: Iterable[nn.Parameter], wanted: bool) -> None:
    """Say whether gradients are taken with respect to these parameters."""
    for parameter in parameters:
        parameter.requires_grad_(wanted)
