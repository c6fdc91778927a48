"""Many parameters as one vector, so that clipping and an optimiser's step are a few operations and not a few a parameter.

Small networks on a CPU otherwise spend a fifteenth of a step on these. Nothing changes but the last bits of what is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatParameters:
    """Parameters that from now on are views of one vector, each laid out in memory as it was.

    What they are part of stays whole: networks are run, saved and loaded as before, as long as they stay on their device.

    Attributes
    ----------
    vector
        All numbers, (n,): what an optimiser is to be given.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]
        self.vector = nn.Parameter(first.new_empty(sum(parameter.numel() for parameter in self.parameters)))
        self.vector.grad = torch.zeros_like(self.vector)
        for parameter, place in zip(self.parameters, self._views(self.vector.detach()), strict=True):
            parameter.data = place.copy_(parameter.detach())
        self._gradients = self._views(self.vector.grad)

    def differentiate(self, loss: Tensor, retain: bool = False) -> None:
        """Set the vector's gradient to that of `loss` with respect to these parameters and nothing else.

        Parameters
        ----------
        retain
            Whether the graph is needed again.
        """
        gradients = torch.autograd.grad(loss, self.parameters, retain_graph=retain)
        for place, gradient in zip(self._gradients, gradients, strict=True):
            place.copy_(gradient)

    def _views(self, vector: Tensor) -> list[Tensor]:
        views, start = [], 0
        for parameter in self.parameters:
            views.append(vector.as_strided(parameter.shape, parameter.stride(), start))
            start += parameter.numel()
        return views
