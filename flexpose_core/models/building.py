"""Networks as they are before anything is learnt: first weights of a seed, laid out as convolutions like them best."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from flexpose_core import seeds

Network = TypeVar("Network", bound=nn.Module)


def initialised(build: Callable[[], Network], seed: int, stream: str, device: torch.device) -> Network:
    """Build a network whose first weights depend on seed and stream alone; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.derive(seed, stream))
        network = build()
    return channels_last(network.to(device))


def channels_last(network: Network) -> Network:
    """Lay the weights out as convolutions on either kind of device like them best."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
