"""torch's random streams: generators of a stage and step, and all that one training step draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor, device

from flexpose_core import seeds
from flexpose_core.devices import sent


def torch_generator(seed: int, stage: str, *steps: int) -> torch.Generator:
    """Return a torch generator on the CPU, so that the draws are the same whatever the device they are moved to."""
    return torch.Generator().manual_seed(seeds.derive(seed, stage, *steps))


@dataclass(frozen=True)
class StepRandom:
    """The random streams of one training step."""

    seed: int
    stage: str
    step: int

    @cached_property
    def numpy(self) -> np.random.Generator:
        return seeds.rng(self.seed, self.stage + "/numpy", self.step)

    @cached_property
    def torch(self) -> torch.Generator:
        return torch_generator(self.seed, self.stage + "/torch", self.step)

    @cached_property
    def _of_gpu(self) -> Generator:
        return Generator("cuda").manual_seed(seeds.derive(self.seed, self.stage + "/noise", self.step))

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers of this shape."""
        return torch.randn(*shape, generator=self.torch)

    def noise(self, *shape: int, on: device) -> Tensor:
        """Return standard normal numbers of this shape on a device. A GPU draws its own, other ones than a CPU: for every pixel of
        a batch, the CPU would take longer than the GPU for the step."""
        if on.type != "cuda":
            return sent(self.normal(*shape), on)
        return torch.randn(*shape, generator=self._of_gpu, device=on)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers of this shape, uniform on [0, 1)."""
        return torch.rand(*shape, generator=self.torch)

    def indices(self, count: int, below: int) -> Tensor:
        """Return `count` integers drawn with replacement from [0, below)."""
        return torch.randint(below, (count,), generator=self.torch)
