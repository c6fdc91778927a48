"""From the configuration to files and parameters: what each job of each run depends on.

Every parameter set is one dict of plain values, sorted, and holds the factors of its own job alone: Snakemake compares it to
decide what to run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from flexpose_core.datasets import reader_name
from flexpose_core.datasets.catalogue import paper_sizes
from flexpose_core.datasets.drawing.options import DrawingOptions
from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.options import KeypointsJsonOptions
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.errors import ConfigError
from flexpose_core.files import digest
from flexpose_core.options.adaptation import AlignmentOptions, LayerSearchOptions
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.config import Config
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.in_use import detector_in_use, generator_in_use
from flexpose_core.runs import Run, plain, runs_of

_LISTED = 20
"""Names that an error lists; of more, those alike."""


class Grid:
    """All runs of a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.runs = runs_of(config)
        runs = list(self.runs.values())
        # By the run that they are named after, whatever other runs share them.
        self.pose_sets = {run.pose_set: run for run in reversed(runs) if run.pose_set in (run.name, run.cell_name)}
        self.guidance_sets = {run.guidance: run for run in reversed(runs) if run.method.guidance}
        self.priors = {run.prior: run for run in reversed(runs) if run.sources}
        self._plain: dict[tuple[str, str], Any] = {}

    @property
    def datasets(self) -> list[str]:
        """The datasets that the tables' cells use, in the configuration's order."""
        cells = [self.config.cells[name] for table in self.config.tables.values() for name in table.cells]
        used = {dataset for cell in cells for dataset in (cell.target, *cell.sources)}
        return [name for name in self.config.datasets if name in used]

    @property
    def tabled_runs(self) -> list[str]:
        """The runs of all tables."""
        return [f"{cell}_s{seed}" for cell in self.config.tabled for seed in self.config.seed_numbers]

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
        return [f"{cell}_s{seed}" for cell in cells for seed in self.config.seed_numbers]

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
        """Return the options of a dataset."""
        return plain({"options": self.config.datasets[dataset]})

    def drawn_params(self, dataset: str, split: str) -> dict[str, Any]:
        """Return the options of a drawn dataset as far as a split depends on them: not how many images a later one has."""
        options = self.config.datasets[dataset]
        if not isinstance(options, PeopleOptions | FacesOptions):
            raise ConfigError(f"dataset {dataset}: expected a drawn one, found one of {reader_name(options)}")
        return plain({"options": options.of_split(split)})

    def shard_params(self, dataset: str, split: str) -> dict[str, Any]:
        """Return the options of an annotated dataset as far as reading a split depends on them: without its limits.

        Nor does training depend on which of one's own files is the test's, but for the scenes of cameras that stand still.
        """
        own = self.config.datasets[dataset]
        options = self.dataset_params(dataset)["options"]
        left_out = {"limit"}
        if isinstance(own, KeypointsJsonOptions):
            of_test = split == "test" or own.val_from == "test" or own.still_cameras
            left_out |= set() if of_test else {"test"}
        return {"options": {key: value for key, value in options.items() if key not in left_out}}

    def annotation_files(self, dataset: str, split: str) -> list[str]:
        """Return the files of one's own annotations that a split is read from: when they change, it does.

        Other datasets are published, and stay as they are.
        """
        own = self.config.datasets[dataset]
        if not isinstance(own, KeypointsJsonOptions):
            return []
        if own.still_cameras:
            files = [own.train, own.val, own.test]
        elif split == "val" and own.val_from == "test":
            files = [own.test]
        else:
            files = [{"train": None, "val": own.val, "test": own.test}[split] or own.train]
        return [str(Path(own.root) / file) for file in files if file is not None]

    def gather_params(self, dataset: str, split: str) -> dict[str, Any]:
        """Return how many poses of a split are kept, None for all, how many the paper counts, and the options for the card."""
        options = self.config.datasets[dataset]
        reader = reader_name(options)
        own = {"reader": reader, "limit": options.known_size(split), "paper": paper_sizes(reader)}
        return {**self.shard_params(dataset, split), **own}

    def regressor_params(self, prior: str) -> dict[str, Any]:
        run = _look_up(self.priors, prior, "prior")
        return plain({"channels": run.cell.channels, "options": self.config.regressor})

    def generator_params(self, prior: str) -> dict[str, Any]:
        run = _look_up(self.priors, prior, "prior")
        return plain({"channels": run.cell.channels, "options": generator_in_use(self.config.generator)})

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
        if not run.chooses_layers:
            options = msgspec.structs.replace(options, layer_search=LayerSearchOptions())
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
        return plain({"poses": run.method.poses, **baseline, **size, "seed": run.pose_seed})

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
        options = msgspec.structs.replace(
            self._detector(run), sketches=usual.sketches, gan=usual.gan, supervision=usual.supervision
        )
        return plain({"options": options, "seed": run.pose_seed})

    def detector_params(self, name: str) -> dict[str, Any]:
        run = self.run(name)
        animation = {"animation": self._animation(run)} if run.method.animates else {}
        options = detector_in_use(self._detector(run), run.method)
        return plain({"options": options, **animation, "seed": run.seed, "supervision": run.method.supervision})

    def run_params(self, name: str) -> dict[str, Any]:
        """Return what a metrics file says of its run."""
        run = self.run(name)
        adaptation, layers = run.method.adaptation, None
        if adaptation is not None:
            layers = "all" if adaptation.trained == "generator" else run.cell.layers or adaptation.layers
        cell = {**msgspec.to_builtins(run.cell), "layers": layers, "guidance": run.method.guidance}
        return plain({"name": run.cell_name, "cell": cell, "seed": run.seed})

    def run_config(self, name: str) -> dict[str, Any]:
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

    def shares_guidance(self, run: Run) -> bool:
        """Return whether the run that a run's poses are named after has the same shots, or neither has any."""
        ways = {way.guidance if way.method.guidance else None for way in (run, self.pose_sets[run.pose_set])}
        return len(ways) == 1

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
        return [f"{name}_s{seed}" for name in self.config.tabled if name in cells for seed in self.config.seed_numbers]

    @property
    def layer_runs(self) -> list[str]:
        """The runs of Figure 4, a layer's seeds together."""
        return [f"{name}_s{seed}" for name in self.config.layer_study for seed in self.config.seed_numbers]

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
        return self.run(f"{getattr(shown, 'cell', shown)}_s{self.config.first_seed}")

    def runs_of_figure(self, figure: str) -> list[str]:
        """Return the runs of a figure of several cells, a cell's seeds together."""
        return [f"{name}_s{seed}" for name in getattr(self.config.figures, figure) for seed in self.config.seed_numbers]

    def first_runs_of_figure(self, figure: str) -> list[str]:
        """Return the runs of the first seed of a figure of several cells."""
        return [f"{name}_s{self.config.first_seed}" for name in getattr(self.config.figures, figure)]

    def painted_people_params(self) -> dict[str, Any]:
        """Return what Figure 5 depends on beside its cell; nothing if it is not made."""
        options = self.config.figures.figure5
        if options is None:
            return {}
        device = self._detector(self.figure_run("figure5")).device
        return plain({"cycle_gan": options.cycle_gan, "people": options.people, "seed": 0, "device": device})

    def figure6_params(self) -> dict[str, Any]:
        """Return what Figure 6 depends on beside its files; nothing if it is not made."""
        cells = list(self.config.figures.figure6)
        return (
            {"cells": cells, "device": self._detector(self.run(f"{cells[0]}_s{self.config.first_seed}")).device}
            if cells
            else {}
        )

    def explorer_params(self) -> dict[str, Any]:
        """Return how generators are sampled, as the page to explore does it."""
        return plain(self.config.sampling)

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


def _look_up(table: dict[str, Any], name: str, kind: str) -> Any:
    if name not in table:
        expected = f"one of {', '.join(table)}"
        if len(table) > _LISTED:
            nearest = get_close_matches(name, table, n=3, cutoff=0)
            expected = f"one of {len(table)} names, {', '.join(nearest)} the nearest"
        raise ConfigError(f"{kind}: expected {expected}, found {name!r}")
    return table[name]
