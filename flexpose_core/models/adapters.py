"""What may be learnt of a target, each in one weights file, and all used alike: `adapter.host(source)(z, adapter)`.

τ, full or diagonal, is `Transfer`. `LowRank` adds a matrix of low rank to each affine layer A_l (Hu et al. 2022).
`FineTuned` is a generator of which all weights have learnt (Wang et al. 2018). An adapter is given to its `host`, the
generator that runs with it.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from flexpose_core import streams
from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.models import transfer as transfers
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.models.transfer import Transfer, parse_layers
from flexpose_core.options.adaptation import AdaptationOptions
from flexpose_core.training.checkpoint import load_into, load_weights, read_header, save_weights

LOW_RANK_KIND, FINE_TUNED_KIND = "low_rank", "fine_tuned_generator"


class LowRankArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is needed to build a `LowRank` again: widths of w and of all style codes, the chosen layers, the rank."""

    width_of_w: int
    style_widths: tuple[int, ...]
    style: tuple[int, ...]
    rank: int


class LowRank(nn.Module):
    """A_l(w) + B_l C_l w, B_l of shape (width, rank) and 0 at the start, C_l (rank, width of w) (Hu et al. 2022, Eq. 3)."""

    def __init__(self, architecture: LowRankArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        inputs, rank = architecture.width_of_w, architecture.rank
        chosen = {str(layer): architecture.style_widths[layer - 1] for layer in architecture.style}
        self.down = nn.ParameterDict({layer: torch.zeros(rank, inputs) for layer in chosen})
        self.up = nn.ParameterDict({layer: torch.zeros(width, rank) for layer, width in chosen.items()})

    @classmethod
    def for_generator(cls, generator: StyleGenerator, layers: transfers.Layers, rank: int, seed: int) -> LowRank:
        """Return an adapter that changes nothing yet; raises ConfigError for layers that are not style layers."""
        style, mapping = parse_layers(layers, len(generator.style_widths), len(generator.mapping_widths))
        if mapping:
            raise ConfigError(f"layers: expected style layers for 'low-rank', found f{mapping[0]}")
        adapter = cls(_low_rank_of(generator, style, rank))
        random = streams.torch_generator(seed, "adapt/low_rank")
        for matrix in adapter.down.values():
            nn.init.normal_(matrix, std=1 / math.sqrt(matrix.shape[1]), generator=random)
        return adapter

    def host(self, source: StyleGenerator) -> StyleGenerator:
        """Return the source's generator as it is."""
        return source

    def mapping(self, layer: int, hidden: Tensor) -> Tensor:
        """Return `hidden`: f stays as it is."""
        return hidden

    def style(self, layer: int, style: Tensor, w: Tensor) -> Tensor:
        """Return the (B, width) style code of layer `layer` with the added affine's output."""
        name = str(layer)
        if name not in self.up:
            return style
        # In full precision also under autocast, as τ.
        with torch.autocast(style.device.type, enabled=False):
            return (style.float() + w.float() @ self.down[name].t() @ self.up[name].t()).to(style.dtype)

    def save(self, path: str | Path, extra: dict | None = None) -> None:
        """Write the added matrices alone, atomically."""
        save_weights(path, dict(self.state_dict()), LOW_RANK_KIND, msgspec.to_builtins(self.architecture), extra)

    @classmethod
    def load(cls, path: str | Path, generator: StyleGenerator) -> LowRank:
        """Read an adapter; raises CheckpointError if the file is damaged, foreign, or made for another generator."""
        tensors, header = load_weights(path, LOW_RANK_KIND)
        try:
            architecture = msgspec.convert(header["architecture"], LowRankArchitecture)
            style, _ = parse_layers(architecture.style, len(generator.style_widths), 0)
        except (msgspec.ValidationError, ConfigError) as error:
            raise CheckpointError(f"{path}: expected the architecture of a low-rank adapter, found {error}") from error
        wanted = _low_rank_of(generator, style, architecture.rank)
        for name in ("width_of_w", "style_widths"):
            expected, found = getattr(wanted, name), getattr(architecture, name)
            if expected != found:
                raise CheckpointError(f"{path}: {name}: expected {expected}, as the generator's, found {found}")
        adapter = cls(architecture)
        load_into(adapter, tensors, path)
        return adapter


class FineTuned(nn.Module):
    """A copy of the source's generator, all of whose weights learn."""

    def __init__(self, source: StyleGenerator) -> None:
        super().__init__()
        self.generator = copy.deepcopy(source).requires_grad_(True)

    def host(self, source: StyleGenerator) -> StyleGenerator:
        """Return the copy."""
        return self.generator

    def mapping(self, layer: int, hidden: Tensor) -> Tensor:
        """Return `hidden`: the change is in the weights."""
        return hidden

    def style(self, layer: int, style: Tensor, w: Tensor) -> Tensor:
        """Return `style`: the change is in the weights."""
        return style

    def save(self, path: str | Path, extra: dict | None = None) -> None:
        """Write all of the generator's weights, atomically."""
        architecture = msgspec.to_builtins(self.generator.architecture)
        save_weights(path, dict(self.generator.state_dict()), FINE_TUNED_KIND, architecture, extra)

    @classmethod
    def load(cls, path: str | Path, generator: StyleGenerator) -> FineTuned:
        """Read a generator; raises CheckpointError if the file is damaged, foreign, or of another architecture."""
        # As JSON holds it, so that tuples are lists as in the file.
        architecture = msgspec.json.decode(msgspec.json.encode(generator.architecture))
        tensors, _ = load_weights(path, FINE_TUNED_KIND, architecture)
        adapter = cls(generator)
        load_into(adapter.generator, tensors, path)
        return adapter


AnyAdapter = Transfer | LowRank | FineTuned
_BY_KIND: dict[str, type[AnyAdapter]] = {
    transfers.KIND: Transfer,
    LOW_RANK_KIND: LowRank,
    FINE_TUNED_KIND: FineTuned,
}


def build_adapter(options: AdaptationOptions, generator: StyleGenerator, seed: int) -> AnyAdapter:
    """Return what is to learn, changing nothing yet.

    Raises
    ------
    ConfigError
        If the generator lacks a layer, or the layer is of the wrong sort.
    """
    if options.trained == "generator":
        return FineTuned(generator)
    if options.trained == "low-rank":
        return LowRank.for_generator(generator, options.layers, options.rank, seed)
    form: transfers.Form = "full" if options.trained == "transfer" else "diagonal"
    return Transfer.for_generator(generator, options.layers, options.bias, form=form)


def load_adapter(path: str | Path, generator: StyleGenerator) -> AnyAdapter:
    """Read an adapter of any kind, made for a generator of this architecture.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, no adapter, or made for another generator.
    """
    kind = read_header(path)["kind"]
    if kind not in _BY_KIND:
        raise CheckpointError(f"{path}: expected weights of kind {', '.join(_BY_KIND)}, found {kind!r}")
    return _BY_KIND[kind].load(path, generator)


def _low_rank_of(generator: StyleGenerator, style: tuple[int, ...], rank: int) -> LowRankArchitecture:
    return LowRankArchitecture(
        width_of_w=generator.f.width_of_w, style_widths=tuple(generator.style_widths), style=style, rank=rank
    )
