"""Which runs a configuration has, and what they share.

A run is a cell with a seed. Runs share what does not depend on what differs between them: a generator and a β a set of
sources and channel count, a guidance set a target, shots and seed, an η a pose set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from flexpose_core.options.adaptation import AdaptationOptions, Joints
from flexpose_core.options.config import Config
from flexpose_core.options.grid import Cell, MethodOptions


@dataclass(frozen=True)
class Run:
    """A cell with a seed: one training of the detector."""

    name: str
    cell_name: str
    cell: Cell
    method: MethodOptions
    seed: int
    pose_set: str
    """The unpaired poses; a run whose detector sees labelled images besides shares those of the run that is alike but for
    that, and the target's own do not depend on the seed."""
    chooser: Run | None = None
    """The run whose detector chooses the poses, from those that it learnt from."""
    sees_placed: bool = False
    """Whether the detector also sees poses that the source has of itself, placed where the shots are."""

    @property
    def sources(self) -> str:
        """The sources, joined as in paths."""
        return "+".join(self.cell.sources)

    @property
    def prior(self) -> str:
        """The generator and β that this run adapts."""
        return f"{self.sources}_c{self.cell.channels}"

    @property
    def guidance(self) -> str:
        """The few-shot set and its pose-mixup."""
        return f"{self.cell.target}_{self.method.guidance}_m{self.cell.shots}_s{self.seed}"

    @property
    def pose_seed(self) -> int:
        """The seed of its poses, and of η's pretraining on them: the target's own are those of all seeds."""
        return 0 if self.method.poses == "target" else self.seed

    @property
    def adaptation(self) -> AdaptationOptions | None:
        """How this run adapts the generator, if it does: the method's options with the cell's layers."""
        options = self.method.adaptation
        if options is None or self.cell.layers is None:
            return options
        return msgspec.structs.replace(options, layers=self.cell.layers)

    @property
    def joints(self) -> Joints:
        """Where the joints of its generator's samples are from."""
        return self.adaptation.joints if self.adaptation else "read"

    @property
    def chooses_layers(self) -> bool:
        """Whether the adaptation chooses its layers from the shots."""
        return self.adaptation is not None and self.adaptation.chooses_layers


def runs_of(config: Config) -> dict[str, Run]:
    """Return all runs by name, in the configuration's order."""
    owners = _owners_of_poses(config)
    names = {cell: name for name, cell in reversed(config.cells.items())}
    runs: dict[str, Run] = {}

    def make(name: str, seed: int) -> Run:
        """Return the run of a cell, made once, and its chooser's before it."""
        made = f"{name}_s{seed}"
        if made not in runs:
            cell, owner = config.cells[name], owners[name]
            method = config.methods[cell.method]
            chooser = None
            if method.chosen_by:
                chooser = make(names[msgspec.structs.replace(cell, method=method.chosen_by)], seed)
            pose_set = owner if method.poses == "target" else f"{owner}_s{seed}"
            placed = method.supervision == "renewed" and method.sees_sources
            sees_placed = placed and config.animation.renewal.placed > 0
            runs[made] = Run(made, name, cell, method, seed, pose_set, chooser, sees_placed)
        return runs[made]

    ordered = [make(name, seed) for name in config.cells for seed in config.seed_numbers]
    return {run.name: run for run in ordered}


def _owners_of_poses(config: Config) -> dict[str, str]:
    """Return for each cell the cell whose poses it uses: its own, or one's that is alike but for labelled images.

    If there is one without these, it is that one, so that where it is added later, the poses are made anew under its name; else the
    first by name, whatever their order.
    """

    def unlabelled(cell: Cell) -> str:
        method = msgspec.structs.replace(config.methods[cell.method], supervision="none")
        if method.poses == "target":
            # The target's own poses do not depend on the shots.
            method, cell = msgspec.structs.replace(method, guidance=None), msgspec.structs.replace(cell, shots=None)
        return str(plain([method, msgspec.structs.replace(cell, method="")]))

    labelled = {name for name, cell in config.cells.items() if config.methods[cell.method].supervision != "none"}
    # The first of several that are alike.
    ordered = [*(name for name in config.cells if name not in labelled), *sorted(labelled)]
    owners = {unlabelled(config.cells[name]): name for name in reversed(ordered)}
    return {name: owners[unlabelled(cell)] if name in labelled else name for name, cell in config.cells.items()}


def plain(value: Any) -> Any:
    """Return options as plain values with sorted keys, comparable as text."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
