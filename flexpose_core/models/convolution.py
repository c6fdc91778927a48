"""Layers whose weights are matrices of unit variance, so that one learning rate fits all of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualisedConvolution(nn.Module):
    """A 3 × 3 convolution with equalised learning rate (Karras et al. 2018, section 4.1).

    The parameter is the matrix (outputs, 9 inputs), the form in which Muon orthogonalises its updates; the kernel is that matrix
    scaled down by √(9 inputs).
    """

    weight: nn.Parameter

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.inputs, self.stride = inputs, stride
        self.weight = nn.Parameter(torch.randn(outputs, inputs * 9))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernel(self) -> Tensor:
        """Return the kernel (outputs, inputs, 3, 3)."""
        return (self.weight / math.sqrt(self.weight.shape[1])).view(-1, self.inputs, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias, self.stride, padding=1)


class EqualisedLinear(nn.Module):
    """A linear layer with equalised learning rate (Karras et al. 2018, section 4.1).

    Parameters
    ----------
    bias
        What all biases start at.
    rate
        How fast it learns beside others, as the mapping network of Karras et al. 2019 (appendix C) does by 0.01.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * (self.rate / math.sqrt(self.weight.shape[1])), self.bias * self.rate)
