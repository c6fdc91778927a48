"""τ: the linear transfer function between a source's and a target's generator (paper, Eq. 4 and 6).

τ is block-diagonal. The block of a chosen layer is a matrix U_l (and a shift b_l, our extension), all others are the
identity. At the start U_l = I and b_l = 0, so that g_t is g_s to the bit. With diagonal U_l, τ is a scale and a shift a
channel, what Noguchi & Harada 2019 adapt of a generator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec
import torch
from torch import Tensor, nn

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.training.checkpoint import load_into, load_weights, save_weights

KIND = "transfer"
ALL_STYLES, ALL_MAPPING = "all", "mapping"

Layers = Sequence[int | str] | str
"""Layers that τ may change: integers l for the style code of layer l, counted from 1 at the coarsest; "f1", "f2", ...
for the output of a layer of the mapping network f; "all" for all style codes; "mapping" for all of f."""


Generator = TypeVar("Generator")
Form = Literal["full", "diagonal"]


class Transferable(Protocol):
    """What `Transfer` asks of a generator: the width of what each layer hands on."""

    style_widths: tuple[int, ...]
    mapping_widths: tuple[int, ...]


class TransferArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build a `Transfer` again.

    Parameters
    ----------
    style_widths, mapping_widths
        Widths of all style codes and of the outputs of all layers of f, whether chosen or not.
    style, mapping
        The layers, counted from 1, whose block is not the identity.
    bias
        Whether these blocks also shift.
    form
        "full" matrices U_l, or "diagonal" ones.
    """

    style_widths: tuple[int, ...]
    mapping_widths: tuple[int, ...]
    style: tuple[int, ...] = ()
    mapping: tuple[int, ...] = ()
    bias: bool = False
    form: Form = "full"


def parse_layers(
    layers: Layers, n_style: int, n_mapping: int, where: str = "layers"
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the chosen style layers and mapping layers, sorted, each once.

    Raises
    ------
    ConfigError
        If a layer is unknown or beyond the generator's `n_style` style codes and `n_mapping` mapping layers.
    """
    style: set[int] = set()
    mapping: set[int] = set()
    for layer in [layers] if isinstance(layers, str) else layers:
        if layer == ALL_STYLES:
            style |= set(range(1, n_style + 1))
        elif layer == ALL_MAPPING:
            mapping |= set(range(1, n_mapping + 1))
        elif isinstance(layer, int) and 1 <= layer <= n_style:
            style.add(layer)
        elif isinstance(layer, str) and re.fullmatch(r"f\d+", layer) and 1 <= int(layer[1:]) <= n_mapping:
            mapping.add(int(layer[1:]))
        else:
            raise ConfigError(
                f"{where}: expected 1..{n_style}, f1..f{n_mapping}, {ALL_STYLES} or {ALL_MAPPING}, found {layer!r}"
            )
    if not style and not mapping:
        raise ConfigError(f"{where}: expected at least one layer, found none")
    return tuple(sorted(style)), tuple(sorted(mapping))


class LinearBlock(nn.Module):
    """One block of τ: h ↦ U h + b."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.U = nn.Parameter(torch.eye(width))
        self.b = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        # In full precision also under autocast: in bfloat16 U could not leave I by less than 0.4 %.
        with torch.autocast(hidden.device.type, enabled=False):
            changed = hidden.float() @ self.U.t()
            if self.b is not None:
                changed = changed + self.b
        return changed.to(hidden.dtype)


class DiagonalBlock(nn.Module):
    """One block of a diagonal τ: h ↦ u h + b, channel by channel."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.ones(width))
        self.b = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        changed = hidden.float() * self.u
        return (changed if self.b is None else changed + self.b).to(hidden.dtype)


class Transfer(nn.Module):
    """τ = diag(I, ..., U_l, ..., I) (Eq. 6) on the style codes, and by choice on the outputs of f's layers."""

    def __init__(self, architecture: TransferArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.style_blocks = _blocks(architecture.style, architecture.style_widths, architecture)
        self.mapping_blocks = _blocks(architecture.mapping, architecture.mapping_widths, architecture)

    @classmethod
    def for_generator(
        cls, generator: Transferable, layers: Layers, bias: bool, where: str = "layers", form: Form = "full"
    ) -> Transfer:
        """Return τ at the identity for these layers of a generator; see `Layers`.

        Raises
        ------
        ConfigError
            If the generator lacks a layer; the message starts with `where`.
        """
        style_widths, mapping_widths = tuple(generator.style_widths), tuple(generator.mapping_widths)
        style, mapping = parse_layers(layers, len(style_widths), len(mapping_widths), where)
        return cls(
            TransferArchitecture(
                style_widths=style_widths,
                mapping_widths=mapping_widths,
                style=style,
                mapping=mapping,
                bias=bias,
                form=form,
            )
        )

    def host(self, source: Generator) -> Generator:
        """Return the generator that runs with this τ: the source's as it is."""
        return source

    def mapping(self, layer: int, hidden: Tensor) -> Tensor:
        """Return the transferred (B, width) output of layer `layer` of f."""
        return _apply(self.mapping_blocks, layer, hidden)

    def style(self, layer: int, style: Tensor, w: Tensor | None = None) -> Tensor:
        """Return the transferred (B, width) style code of layer `layer`."""
        return _apply(self.style_blocks, layer, style)

    def save(self, path: str | Path, extra: dict | None = None) -> None:
        """Write τ alone, atomically."""
        save_weights(path, dict(self.state_dict()), KIND, msgspec.to_builtins(self.architecture), extra)

    @classmethod
    def load(cls, path: str | Path, generator: Transferable | None = None) -> Transfer:
        """Read τ; with `generator`, check that it was made for one of the same widths.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged, foreign, or made for another generator.
        """
        tensors, header = load_weights(path, KIND)
        try:
            architecture = msgspec.convert(header["architecture"], TransferArchitecture)
        except msgspec.ValidationError as error:
            raise CheckpointError(f"{path}: expected the architecture of a transfer, found {error}") from error
        if generator is not None:
            for name in ("style_widths", "mapping_widths"):
                expected, found = tuple(getattr(generator, name)), getattr(architecture, name)
                if expected != found:
                    raise CheckpointError(f"{path}: {name}: expected {expected}, as the generator's, found {found}")
        transfer = cls(architecture)
        load_into(transfer, tensors, path)
        return transfer


def _blocks(layers: tuple[int, ...], widths: tuple[int, ...], architecture: TransferArchitecture) -> nn.ModuleDict:
    block = LinearBlock if architecture.form == "full" else DiagonalBlock
    return nn.ModuleDict({str(layer): block(widths[layer - 1], architecture.bias) for layer in layers})


def _apply(blocks: nn.ModuleDict, layer: int, hidden: Tensor) -> Tensor:
    return blocks[str(layer)](hidden) if str(layer) in blocks else hidden
