"""One file form for all weights: safetensors with a checked header; nothing is ever unpickled.

The header holds the kind of network, its architecture and a checksum over these and the tensors, so that a truncated, damaged,
foreign or otherwise built file is named and refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from flexpose_core.errors import CheckpointError, ConfigError, OutputError
from flexpose_core.files import atomic_path, digest

FORMAT = "flexpose-weights-2"

Architecture = TypeVar("Architecture", bound=msgspec.Struct)


def save_weights(
    path: str | Path,
    tensors: dict[str, Tensor],
    kind: str,
    architecture: dict[str, Any],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write `tensors` atomically.

    Parameters
    ----------
    kind
        What the tensors are, such as "style_generator".
    architecture
        What is needed to build the network again: plain JSON values.
    extra
        Anything else worth keeping, such as the step: plain JSON values.
    """
    # A copy without shared memory: safetensors refuses views, and a channels-last weight must come back as it was shaped.
    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    header = {
        "format": FORMAT,
        "kind": kind,
        "architecture": architecture,
        "extra": extra or {},
    }
    header["checksum"] = _checksum(plain, header)
    with atomic_path(path) as partial:
        try:
            save_file(plain, partial, metadata={"flexpose": json.dumps(header, sort_keys=True)})
        except SafetensorError as error:
            raise OutputError(f"{path}: could not be written: {error}") from error


def load_weights(
    path: str | Path, kind: str, architecture: dict[str, Any] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header of a file that `save_weights` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another kind, or `architecture` is given and differs.
    """
    header = read_header(path)
    if header["kind"] != kind:
        raise CheckpointError(f"{path}: expected weights of kind {kind!r}, found {header['kind']!r}")
    if architecture is not None and header["architecture"] != architecture:
        stored = header["architecture"]
        key = next(k for k in sorted({*architecture, *stored}) if architecture.get(k) != stored.get(k))
        raise CheckpointError(
            f"{path}: architecture differs in {key!r}: expected {architecture.get(key)!r}, found {stored.get(key)!r}"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    found = _checksum(tensors, header)
    if found != header["checksum"]:
        raise CheckpointError(f"{path}: damaged: expected checksum {header['checksum']}, found {found}")
    return tensors, header


def read_header(path: str | Path) -> dict[str, Any]:
    """Return format, kind, architecture, extra and checksum of a weights file without reading its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file, found {error}") from error
    try:
        header = json.loads(metadata["flexpose"])
        if header["format"] != FORMAT:
            raise KeyError
        return {key: header[key] for key in ("format", "kind", "architecture", "extra", "checksum")}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a {FORMAT} header, found a foreign safetensors file") from error


def architecture_in(header: dict[str, Any], options: type[Architecture], path: str | Path) -> tuple[Architecture, str]:
    """Return the architecture that a header states, and the name of the skeleton that stands beside it.

    Raises
    ------
    CheckpointError
        If these are not what this version of the network has.
    """
    stated = dict(header["architecture"])
    skeleton = stated.pop("skeleton", None)
    try:
        return msgspec.convert(stated, options), msgspec.convert(skeleton, str)
    except (msgspec.ValidationError, ConfigError) as error:
        raise CheckpointError(f"{path}: expected the architecture of a {header['kind']}, found {error}") from error


def load_into(module: torch.nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Load tensors into a module; raises CheckpointError naming the first tensor that does not fit."""
    wanted = module.state_dict()
    for name in sorted({*wanted, *tensors}):
        expected = tuple(wanted[name].shape) if name in wanted else None
        found = tuple(tensors[name].shape) if name in tensors else None
        if expected != found:
            raise CheckpointError(f"{path}: tensor {name!r}: expected shape {expected}, found {found}")
    module.load_state_dict(tensors)


def _checksum(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    stated = {key: header[key] for key in ("format", "kind", "architecture", "extra")}
    chunks: list[bytes | memoryview] = [json.dumps(stated, sort_keys=True).encode()]
    for name in sorted(tensors):
        tensor = tensors[name]
        chunks += [
            f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode(),
            tensor.flatten().view(torch.uint8).numpy().data,
        ]
    return digest(*chunks)
