"""Every random draw derives from (seed, stage, step).

No global random state is used: a resumed run draws what an uninterrupted one would have drawn, and two stages with the same
seed never share a stream.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


def derive(seed: int, stage: str, *steps: int) -> int:
    """Return a 63-bit seed: a hash of the arguments, so that neighbouring steps are unrelated."""
    text = ":".join([str(int(seed)), stage, *(str(int(step)) for step in steps)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(seed: int, stage: str, *steps: int) -> np.random.Generator:
    """Return a NumPy generator for this stage and step."""
    return np.random.default_rng(derive(seed, stage, *steps))


def torch_generator(seed: int, stage: str, *steps: int) -> torch.Generator:
    """Return a torch generator on the CPU, so that the draws are the same whatever the device they are moved to."""
    return torch.Generator().manual_seed(derive(seed, stage, *steps))


@dataclass(frozen=True)
class StepRandom:
    """The random streams of one training step."""

    seed: int
    stage: str
    step: int

    @cached_property
    def numpy(self) -> np.random.Generator:
        return rng(self.seed, self.stage + "/numpy", self.step)

    @cached_property
    def torch(self) -> torch.Generator:
        return torch_generator(self.seed, self.stage + "/torch", self.step)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers of this shape."""
        return torch.randn(*shape, generator=self.torch)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers of this shape, uniform on [0, 1)."""
        return torch.rand(*shape, generator=self.torch)

    def indices(self, count: int, below: int) -> Tensor:
        """Return `count` integers drawn with replacement from [0, below)."""
        return torch.randint(below, (count,), generator=self.torch)
