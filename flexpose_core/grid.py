"""From the configuration to files and parameters: which cells there are, what they share, and what each depends on.

A run is a cell with a seed. Runs share what does not depend on what differs between them: a generator and a β a set of
sources and channel count, a guidance set a target, shots and seed, an η a pose set. Every parameter set is one dict of plain
values, sorted, and holds the factors of its own job alone: Snakemake compares it to decide what to run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec

from flexpose_core.datasets import reader_name
from flexpose_core.datasets.catalogue import paper_sizes
from flexpose_core.datasets.drawing.options import DrawingOptions
from flexpose_core.errors import ConfigError
from flexpose_core.files import digest
from flexpose_core.options.adaptation import AdaptationOptions, AlignmentOptions, Joints
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.config import Config
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.grid import Cell, MethodOptions

_LISTED = 20
"""Names that an error lists; of more, those alike."""


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


class Grid:
    """All runs of a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        owners = _owners_of_poses(config)
        self._names = {cell: name for name, cell in reversed(config.cells.items())}
        self.runs: dict[str, Run] = {}
        runs = [self._make(name, seed, owners) for name in config.cells for seed in range(config.seeds)]
        self.runs = {run.name: run for run in runs}  # in the configuration's order
        self.pose_sets = {run.pose_set: run for run in reversed(runs)}
        self.guidance_sets = {run.guidance: run for run in reversed(runs) if run.method.guidance}
        self.priors = {run.prior: run for run in reversed(runs) if run.sources}
        self._plain: dict[tuple[str, str], Any] = {}

    def _make(self, name: str, seed: int, owners: dict[str, str]) -> Run:
        """Return the run of a cell, made once, and its chooser's before it."""
        made = f"{name}_s{seed}"
        if made not in self.runs:
            cell, owner = self.config.cells[name], owners[name]
            method = self.config.methods[cell.method]
            chooser = None
            if method.chosen_by:
                chooser = self._make(self._names[msgspec.structs.replace(cell, method=method.chosen_by)], seed, owners)
            pose_set = owner if method.poses == "target" else f"{owner}_s{seed}"
            placed = method.supervision == "renewed" and method.sees_sources
            sees_placed = placed and self.config.animation.renewal.placed > 0
            self.runs[made] = Run(made, name, cell, method, seed, pose_set, chooser, sees_placed)
        return self.runs[made]

    @property
    def datasets(self) -> list[str]:
        """The datasets that the tables' cells use, in the configuration's order."""
        cells = [self.config.cells[name] for table in self.config.tables.values() for name in table.cells]
        used = {dataset for cell in cells for dataset in (cell.target, *cell.sources)}
        return [name for name in self.config.datasets if name in used]

    @property
    def tabled_runs(self) -> list[str]:
        """The runs of all tables."""
        return [f"{cell}_s{seed}" for cell in self.config.tabled for seed in range(self.config.seeds)]

    @property
    def checksum(self) -> str:
        """A checksum of all options, whatever their order."""
        return digest(repr(plain(self.config)).encode())

    def run(self, name: str) -> Run:
        """Return a run by name; raises ConfigError naming the unknown cell."""
        return _look_up(self.runs, name, "cell")

    def table_runs(self, table: str) -> list[str]:
        """Return the names of all runs of a table, a cell's seeds together, in the table's order."""
        cells = _look_up(self.config.tables, table, "table").cells
        return [f"{cell}_s{seed}" for cell in cells for seed in range(self.config.seeds)]

    def splits(self, dataset: str) -> list[str]:
        """Return the splits that a dataset has: without images there is nothing to test a detector on."""
        return ["train", "val", "test"] if self.config.datasets[dataset].images else ["train", "val"]

    def in_shards(self, dataset: str) -> bool:
        """Return whether several jobs share the conversion of a dataset; drawn ones are made at once."""
        return not isinstance(self.config.datasets[dataset], DrawingOptions)

    def shards(self, dataset: str) -> int:
        """Return how many jobs share the conversion of a split."""
        options = self.config.datasets[dataset]
        return 1 if isinstance(options, DrawingOptions) else options.shards

    def dataset_params(self, dataset: str) -> dict[str, Any]:
        """Return the options of a drawn dataset."""
        return plain({"options": self.config.datasets[dataset]})

    def shard_params(self, dataset: str) -> dict[str, Any]:
        """Return the options of an annotated dataset as far as reading depends on them: without its limits."""
        options = self.dataset_params(dataset)["options"]
        return {"options": {key: value for key, value in options.items() if key != "limit"}}

    def gather_params(self, dataset: str, split: str) -> dict[str, Any]:
        """Return how many poses of a split are kept, None for all, and how many the paper counts."""
        options = self.config.datasets[dataset]
        reader = reader_name(options)
        return {"reader": reader, "limit": options.known_size(split), "paper": paper_sizes(reader)}

    def regressor_params(self, prior: str) -> dict[str, Any]:
        run = _look_up(self.priors, prior, "prior")
        return plain({"channels": run.cell.channels, "options": self.config.regressor})

    def generator_params(self, prior: str) -> dict[str, Any]:
        run = _look_up(self.priors, prior, "prior")
        return plain({"channels": run.cell.channels, "options": self.config.generator})

    def guidance_params(self, guidance: str) -> dict[str, Any]:
        run = _look_up(self.guidance_sets, guidance, "guidance")
        options = self.config.guidance[run.method.guidance or ""]
        return plain({"options": options, "shots": run.cell.shots, "seed": run.seed})

    def adaptation_params(self, pose_set: str) -> dict[str, Any]:
        run = _look_up(self.pose_sets, pose_set, "pose set")
        options = run.adaptation
        if options is None:
            raise ConfigError(f"pose set {pose_set}: expected an adapted method, found {run.cell.method!r}")
        # To choose layers, guidance is made of a part of the shots.
        guidance = self.config.guidance[run.method.guidance or ""] if run.chooses_layers else None
        return plain({"options": options, "seed": run.seed, "guidance": guidance})

    def sample_params(self, pose_set: str) -> dict[str, Any]:
        run = _look_up(self.pose_sets, pose_set, "pose set")
        count = (run.cell.annotation_set_size or 0) - self.config.guidance[run.method.guidance or ""].mixup_size
        return plain({**self._sampling(run), "count": count, "seed": run.seed, "shards": self.config.sample_shards})

    def _sampling(self, run: Run) -> dict[str, Any]:
        """Return how a run's generator is sampled."""
        return {"options": self.config.sampling, "joints": run.joints}

    def pose_set_params(self, pose_set: str) -> dict[str, Any]:
        run = _look_up(self.pose_sets, pose_set, "pose set")
        size = {"size": run.cell.annotation_set_size, "take_all_if_short": run.cell.take_all_if_short}
        baseline = {} if run.method.baseline is None else {"options": run.method.baseline}
        return plain({"poses": run.method.poses, **baseline, **size, "seed": run.seed})

    def placing_params(self, pose_set: str) -> dict[str, Any]:
        """Return what placed poses depend on beside their files: how proportions are estimated, and a generator is sampled."""
        run = _look_up(self.pose_sets, pose_set, "pose set")
        sampled = self._sampling(run) if run.method.poses == "adapted" else {}
        alignment = (run.adaptation.alignment if run.adaptation else None) or AlignmentOptions()
        return plain({**sampled, "alignment": alignment, "seed": run.seed})

    def finder_params(self, name: str) -> dict[str, Any]:
        """Return what finding poses in the training images depends on beside the detector."""
        run = self.run(name)
        return plain({"device": self._detector(run).device, "seed": run.seed})

    def eta_params(self, pose_set: str) -> dict[str, Any]:
        """Return the detector's options as far as η's pretraining depends on them."""
        run = _look_up(self.pose_sets, pose_set, "pose set")
        usual = DetectorOptions()
        options = msgspec.structs.replace(self._detector(run), gan=usual.gan, supervision=usual.supervision)
        return plain({"options": options, "seed": run.seed})

    def detector_params(self, name: str) -> dict[str, Any]:
        run = self.run(name)
        options, animation = self._detector(run), {}
        if run.method.animates:
            # KeypointGAN's and the plain images' options do not shape it, but for what both share.
            usual, own = DetectorOptions(), options.supervision
            gan = msgspec.structs.replace(usual.gan, average_decay=options.gan.average_decay)
            own = msgspec.structs.replace(own, steps=usual.supervision.steps, weight=usual.supervision.weight)
            options = msgspec.structs.replace(options, gan=gan, supervision=own)
            animation = {"animation": self._animation(run)}
        return plain({"options": options, **animation, "seed": run.seed, "supervision": run.method.supervision})

    def cell_params(self, name: str) -> dict[str, Any]:
        """Return what a metrics file says of its run."""
        run = self.run(name)
        adaptation, layers = run.method.adaptation, None
        if adaptation is not None:
            layers = run.cell.layers or ("all" if adaptation.trained == "generator" else adaptation.layers)
        cell = {**msgspec.to_builtins(run.cell), "layers": layers, "guidance": run.method.guidance}
        return plain({"name": run.cell_name, "cell": cell, "seed": run.seed})

    def cell_config(self, name: str) -> dict[str, Any]:
        """Return the least configuration in which a run is what it is here, all options written out; `load_config` takes it.

        The cell whose poses the run uses is in it too, as its name is in their path.
        """
        run = self.run(name)
        behind = self.behind(run)
        methods = {of.cell.method: of.method for of in behind}
        guidance = sorted({method.guidance for method in methods.values() if method.guidance})
        # Options that the run does not depend on stay the usual ones: changing them must not evaluate it anew.
        learnt = any(of.method.poses == "adapted" for of in behind)
        target = run.cell.target
        animated = any(of.method.animates for of in behind)
        return {
            **({"animation": plain(self._animation(*behind))} if animated else {}),
            "cells": plain({of.cell_name: of.cell for of in behind}),
            "datasets": self._plain_parts("datasets", sorted({run.cell.target, *run.cell.sources})),
            "detector": self._plain_part(
                *(("detectors", target) if target in self.config.detectors else ("detector",))
            ),
            "generator": self._plain_part("generator") if learnt else {},
            "guidance": self._plain_parts("guidance", guidance),
            "methods": self._plain_parts("methods", sorted(methods)),
            "regressor": self._plain_part("regressor") if learnt else {},
            "sampling": self._plain_part("sampling") if learnt else {},
            "seeds": run.seed + 1,
            "tables": {},
        }

    def behind(self, run: Run) -> list[Run]:
        """Return the runs whose poses or detector a run depends on, the first one first, and itself at the end."""
        owner = self.pose_sets[run.pose_set]
        before = self.behind(owner.chooser) if owner.chooser else []
        return list(dict.fromkeys([*before, owner, run]))

    def _plain_parts(self, key: str, names: list[str]) -> dict[str, Any]:
        return {name: self._plain_part(key, name) for name in names}

    def _plain_part(self, key: str, name: str = "") -> Any:
        """Return a part of the configuration as plain values; made once, as thousands of runs share it."""
        if (key, name) not in self._plain:
            part = getattr(self.config, key)
            self._plain[key, name] = plain(part[name] if name else part)
        return self._plain[key, name]

    def table_params(self, table: str) -> dict[str, Any]:
        options = self.config.tables[table]
        return plain({"kind": options.kind, "pck_rho": options.pck_rho, "paper_rows": options.paper_rows})

    @property
    def claim_runs(self) -> list[str]:
        """The runs whose metrics the claims are tested on: those of cells that stand in a table."""
        cells = self._claimed("mse")
        return [f"{name}_s{seed}" for name in self.config.tabled if name in cells for seed in range(self.config.seeds)]

    @property
    def layer_runs(self) -> list[str]:
        """The runs of Figure 4, a layer's seeds together."""
        return [f"{name}_s{seed}" for name in self.config.layer_study for seed in range(self.config.seeds)]

    @property
    def claim_adaptations(self) -> list[str]:
        """The runs of Figure 4, if a claim is tested on them."""
        return self.layer_runs if self._claimed("adaptation") else []

    def claims_params(self, adaptations: Sequence[str]) -> dict[str, Any]:
        """Return the claims as pairs of name and options, in their order, the cell and seed of each of some adaptations, and
        the cells and seeds that there should be for each measure."""

        def told(names: Sequence[str]) -> list[tuple[str, int]]:
            return [(self.runs[name].cell_name, self.runs[name].seed) for name in names]

        expected = {"mse": told(self.claim_runs), "adaptation": told(self.claim_adaptations)}
        claims = list(self.config.claims.items())
        return plain({"claims": claims, "adaptations": told(adaptations), "expected": expected})

    def layer_params(self, runs: Sequence[str]) -> dict[str, Any]:
        """Return the layer of each of some adaptations of Figure 4."""
        return plain({"layers": [(self.run(name).cell.layers or [0])[0] for name in runs]})

    def figure_run(self, figure: str) -> Run:
        """Return the run of the first seed that a figure of one cell shows."""
        shown = getattr(self.config.figures, figure)
        return self.run(f"{getattr(shown, 'cell', shown)}_s0")

    def runs_of_figure(self, figure: str) -> list[str]:
        """Return the runs of a figure of several cells, a cell's seeds together."""
        return [f"{name}_s{seed}" for name in getattr(self.config.figures, figure) for seed in range(self.config.seeds)]

    def first_runs_of_figure(self, figure: str) -> list[str]:
        """Return the runs of the first seed of a figure of several cells."""
        return [f"{name}_s0" for name in getattr(self.config.figures, figure)]

    def painted_people_params(self) -> dict[str, Any]:
        """Return what Figure 5 depends on beside its cell; nothing if it is not made."""
        options = self.config.figures.figure5
        return plain({"cycle_gan": options.cycle_gan, "people": options.people, "seed": 0}) if options else {}

    def animation_params(self) -> dict[str, Any]:
        """Return what the picture of animated people depends on beside its files."""
        shown = msgspec.structs.replace(self._animation(), share=AnimationOptions().share)
        return plain({"animation": shown, "seed": 0})

    @property
    def figures(self) -> list[str]:
        """The figures that the configuration gives cells to, the page to explore apart."""
        names = [name for name in self.config.figures.__struct_fields__ if name != "explorer"]
        return [name for name in names if getattr(self.config.figures, name)]

    def _animation(self, *runs: Run) -> AnimationOptions:
        """Return the options of animating, the usual ones in the place of those that do not count for these runs."""
        options, usual = self.config.animation, AnimationOptions()
        if not any(run.method.supervision == "animated" for run in runs):
            options = msgspec.structs.replace(options, steps=usual.steps)
        renewed = [run for run in runs if run.method.supervision == "renewed"]
        if not renewed:
            options = msgspec.structs.replace(options, renewal=usual.renewal)
        elif not any(run.method.sees_sources for run in renewed):
            renewal = msgspec.structs.replace(options.renewal, placed=usual.renewal.placed)
            options = msgspec.structs.replace(options, renewal=renewal)
        return options

    def _detector(self, run: Run) -> DetectorOptions:
        return self.config.detectors.get(run.cell.target, self.config.detector)

    def _claimed(self, measure: str) -> set[str]:
        claims = [claim for claim in self.config.claims.values() if claim.measure == measure]
        return {cell for claim in claims for pair in claim.comparisons for cell in pair}


def plain(value: Any) -> Any:
    """Return options as plain values with sorted keys, comparable as text."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _owners_of_poses(config: Config) -> dict[str, str]:
    """Return for each cell the cell whose poses it uses: its own, or one's that is alike but for labelled images."""

    def unlabelled(cell: Cell) -> str:
        method = msgspec.structs.replace(config.methods[cell.method], supervision="none")
        if method.poses == "target":
            # The target's own poses do not depend on the shots.
            method, cell = msgspec.structs.replace(method, guidance=None), msgspec.structs.replace(cell, shots=None)
        return str(plain([method, msgspec.structs.replace(cell, method="")]))

    labelled = {name for name, cell in config.cells.items() if config.methods[cell.method].supervision != "none"}
    # The first of several that are alike.
    owners = {unlabelled(cell): name for name, cell in reversed(config.cells.items()) if name not in labelled}
    return {
        name: owners.get(unlabelled(cell), name) if name in labelled else name for name, cell in config.cells.items()
    }


def _look_up(table: dict[str, Any], name: str, kind: str) -> Any:
    if name not in table:
        expected = f"one of {', '.join(table)}"
        if len(table) > _LISTED:
            nearest = get_close_matches(name, table, n=3, cutoff=0)
            expected = f"one of {len(table)} names, {', '.join(nearest)} the nearest"
        raise ConfigError(f"{kind}: expected {expected}, found {name!r}")
    return table[name]
