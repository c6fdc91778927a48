"""The cells of the ablation grid."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.options.adaptation import AdaptationOptions, SetOfLayers
from flexpose_core.options.baselines import BaselineOptions

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$(?!\n)")]
"""A name that is also a file name, and cannot contain the underscore that joins names in paths."""

Positive = Annotated[int, Meta(ge=1)]


class MethodOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a method takes its unpaired poses from, and whether the detector sees labelled images."""

    poses: Literal["target", "source", "adapted", "baseline", "chosen"]
    """target: the target's own training poses; source: source poses and pose-mixup; adapted: generated poses and pose-mixup;
    baseline: as `baseline` says; chosen: those of the poses of the method `chosen_by` that its detector finds in the target's
    training images, and pose-mixup."""
    guidance: str | None = None
    """The key in `guidance` that enriches the few shots."""
    adaptation: AdaptationOptions | None = None
    """How the generator is adapted; for adapted poses only."""
    baseline: BaselineOptions | None = None
    """How poses are made without a generator; for baselines only."""
    chosen_by: str | None = None
    """The method with whose detector poses are chosen; for chosen poses only. A cell has the detector of the cell that is alike
    but for its method; where there is none, there is one more cell, CELL.METHOD."""
    supervision: Literal["none", "added", "alone", "animated", "renewed"] = "none"
    """What the detector learns from the images of the shots: nothing, a loss beside KeypointGAN's ("added"), or all that it
    learns: from these images "alone", or besides from the people in them, "animated" to take the method's poses; "renewed": as
    "animated", some in poses that the source has of itself, later mostly in those that the detector itself finds in the target's
    images."""

    @property
    def sees_sources(self) -> bool:
        """Whether the poses depend on source datasets; of chosen ones, the method that they are chosen by tells."""
        return self.poses in ("source", "adapted") or (self.baseline is not None and self.baseline.from_source)

    @property
    def composer(self) -> str:
        """The module of `flexpose_core.stages` that composes the annotation set."""
        return {"baseline": "compose_baseline", "chosen": "compose_chosen"}.get(self.poses, "compose")

    @property
    def placer(self) -> str:
        """The module of `flexpose_core.stages` that places the source's poses where the shots are."""
        return "place_samples" if self.poses == "adapted" else "place_source"

    @property
    def trainer(self) -> str:
        """The module of `flexpose_core.stages` that trains the detector."""
        return "train_animated" if self.animates else "train_detector"

    @property
    def animates(self) -> bool:
        """Whether the detector learns from the annotated people in other poses."""
        return self.supervision in ("animated", "renewed")

    @property
    def is_adversarial(self) -> bool:
        """Whether the adaptation needs the discriminator that the generator was trained against."""
        return self.adaptation is not None and self.adaptation.adversarial is not None

    @property
    def sees_shots(self) -> bool:
        """Whether the poses depend on the shots."""
        return self.poses in ("source", "adapted", "chosen") or (
            self.baseline is not None and self.baseline.from_target
        )


class Factors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a cell is beside its method."""

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
    layers: SetOfLayers | None = None
    """Layers that τ may change, or "auto"; None for the method's."""


class Cell(Factors, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the grid; with a seed it names one training of the detector."""

    method: str


class GridOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every method on every pair of target and source: the cells PAIR-METHOD, a pair's together.

    A cell of that name that is written out among the cells takes the place of the grid's.
    """

    pairs: dict[Name, Factors]
    methods: tuple[str, ...]

    def cells(self) -> dict[str, Cell]:
        """Return the cells by name."""
        return {
            f"{pair}-{method}": Cell(
                method=method, **{name: getattr(factors, name) for name in Factors.__struct_fields__}
            )
            for pair, factors in self.pairs.items()
            for method in self.methods
        }


class TableOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table: cells in order, and the PCK threshold of each target."""

    cells: tuple[str, ...] = ()
    grids: tuple[str, ...] = ()
    """Grids whose cells follow."""
    pck_rho: dict[str, float]
    kind: Literal["results", "ablation", "baselines"] = "results"
    """results: the detector's figures and gains over Direct; ablation: what a cell is, the detector's figures, the paper's;
    baselines: the detector's figures and distances between distributions of poses."""
    paper_rows: tuple[int | None, ...] = ()
    """For an ablation: the number of each cell's row in the paper's table of the same name, null for a cell not in it."""
