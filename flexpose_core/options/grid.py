"""The cells of the ablation grid."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.options.adaptation import AdaptationOptions

Positive = Annotated[int, Meta(ge=1)]


class MethodOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a method takes its unpaired poses from."""

    poses: Literal["target", "source", "adapted"]
    """target: the target's own training poses; source: source poses and pose-mixup; adapted: generated poses and pose-mixup."""
    guidance: str | None = None
    """The key in `guidance` that enriches the few shots."""
    adaptation: AdaptationOptions | None = None
    """How τ is fitted; for adapted poses only."""


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the grid; with a seed it names one training of the detector."""

    method: str
    target: str
    sources: tuple[str, ...] = ()
    annotation_set_size: Positive | None = None
    """Poses the detector sees, the pose-mixup included; None for all of the target's own."""
    take_all_if_short: bool = False
    """Where the sources hold fewer poses than `annotation_set_size` asks for, take all there are, and generate no more either,
    instead of an error: methods that share their sources then still share the size."""
    shots: Positive | None = None
    channels: Literal[1, 3] = 3
    """Channels of the generator's skeleton images."""
    layers: tuple[int | str, ...] | str | None = None
    """Layers that τ may change; None for the method's."""


class TableOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table: cells in order, and the PCK threshold of each target."""

    cells: tuple[str, ...]
    pck_rho: dict[str, float]
