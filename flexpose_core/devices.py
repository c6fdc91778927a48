"""Where networks run, and in which number format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache

import torch

from flexpose_core.errors import ConfigError

_BFLOAT16 = ("amx_bf16", "avx512_bf16", "sve_bf16")
"""What processors with instructions for products of bfloat16 call these."""


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


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device, without waiting for the work that the device has still to do, as `Tensor.to` does.

    CUDA has taken ordinary memory before this returns, so that the tensor may be changed at once.
    """
    return tensor.to(device, non_blocking=True)


def mixed_precision(device: torch.device, enabled: bool = True) -> AbstractContextManager:
    """Return an autocast context to bfloat16, which needs no loss scaling, where the device computes with it; else to nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and computes_bfloat16(device))


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies in bfloat16; others only imitate it.

    A convolution of 64 to 64 channels took ten times as long in bfloat16 as in float32 on a processor with AVX2 alone.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch do not say.
    able: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name, False) for name in _BFLOAT16)


def arithmetic(device: torch.device, mixed: bool = True) -> str:
    """Return what numbers computed there depend on beside the libraries, such as "AVX512 with bfloat16".

    Parameters
    ----------
    mixed
        Whether bfloat16 is allowed.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"{name} {'with' if mixed and computes_bfloat16(device) else 'without'} bfloat16"


@contextmanager
def single_precision() -> Iterator[None]:
    """Keep convolutions of float32 from GPUs' TensorFloat-32, which has ten bits of mantissa and is PyTorch's default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
