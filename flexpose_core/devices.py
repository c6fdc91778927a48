"""Where networks run, and in which number format."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from flexpose_core.errors import ConfigError


def pick_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" is the first GPU if there is one.

    Raises
    ------
    ConfigError
        If the name is unknown or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device: expected auto, cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: expected a CUDA device, found none on this machine")
    return torch.device(name)


def mixed_precision(device: torch.device, enabled: bool = True) -> AbstractContextManager:
    """Return an autocast context to bfloat16, which needs no loss scaling on either kind of device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
