"""The figures of the paper, and those beside them: which cells each shows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from flexpose_core.options.cycle_gan import CycleGanOptions
from flexpose_core.options.grid import Cell


class LayerStudyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adaptations like a cell's but each to a single style layer, with no detector behind them."""

    cell: str
    layers: tuple[int, ...] | None = None
    """Style layers; None for all of the generator."""

    def cells(self, cells: dict[str, Cell], style_layers: int) -> dict[str, Cell]:
        """Return the cells by name, CELL-only-LAYER, from the first layer to the last."""
        layers = self.layers or range(1, style_layers + 1)
        return {
            f"{self.cell}-only-{layer}": msgspec.structs.replace(cells[self.cell], layers=(layer,)) for layer in layers
        }


class PaintedPeopleOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """People painted in the poses of a cell, before backgrounds of its target's test split, and looked at by its detector.

    Parameters
    ----------
    people
        How many are painted, in as many poses that the training does not see.
    """

    cell: str
    people: Annotated[int, Meta(ge=1)] = 1000
    cycle_gan: CycleGanOptions = CycleGanOptions()


class FigureOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each figure shows; a figure without cells is not made. Pictures of poses show the first seed.

    Parameters
    ----------
    figure2
        The adapted cell of Figure 2: source samples, the same latent codes adapted, the nearest shots.
    figure3
        The adapted cell of Figure 3: a t-SNE of source, target and adapted poses.
    figure4
        Figure 4: the adaptation loss against the layer.
    figure5
        Figure 5: people painted in the poses of an adapted cell.
    figure6
        Cells of one target whose predictions Figure 6 shows on the same test images, beside the truth.
    animated
        The cell whose annotated people are shown as animated, in its poses.
    joint_errors
        Cells whose errors are shown joint by joint.
    curves
        Cells whose detectors' learning curves are shown.
    explorer
        The adapted cell of the page results/explorer.html.
    """

    figure2: str | None = None
    figure3: str | None = None
    figure4: LayerStudyOptions | None = None
    figure5: PaintedPeopleOptions | None = None
    figure6: tuple[str, ...] = ()
    animated: str | None = None
    joint_errors: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    explorer: str | None = None

    @property
    def tested(self) -> tuple[str, ...]:
        """The cells whose detectors are shown on test images, whatever else is."""
        painted = (self.figure5.cell,) if self.figure5 else ()
        return (*painted, *self.figure6, *((self.explorer,) if self.explorer else ()))
