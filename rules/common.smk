"""The checked configuration, and what the rules ask of it. Parameters hold plain values of the one cell or dataset alone."""

import os
import re

from flexpose_core.datasets import reader_module
from flexpose_core.errors import FlexPoseError
from flexpose_core.grid import Grid
from flexpose_core.lineage import facts
from flexpose_core.options.config import load_config
from flexpose_core.stamp import code_stamp
from snakemake.exceptions import WorkflowError

try:
    GRID = Grid(load_config(config))
except FlexPoseError as error:
    raise WorkflowError(str(error))

DATASETS = list(GRID.config.datasets)
METRICS = "results/cells/{run}/metrics.json"
ADAPTATION = "results/pose_sets/{run}/adaptation.json"
DETECTOR = "results/cells/{run}/detector.safetensors"


wildcard_constraints:
    dataset="|".join(DATASETS),
    split="train|val|test",
    sources=r"[A-Za-z0-9.+-]+",
    pose_set=r"[A-Za-z0-9.+_-]+",
    cell=r"[A-Za-z0-9.+_-]+",
    shots=r"\d+",
    seed=r"\d+",
    shard=r"\d+",


def stamp(stage):
    """The code stamp of a stage: editing the library reruns the stages that use what was edited."""
    return code_stamp(f"flexpose_core.stages.{stage}")


def reader_stamp(wildcards):
    """The code stamp of reading one dataset: editing another dataset's reader does not rerun it."""
    return stamp("convert") + code_stamp(reader_module(GRID.config.datasets[wildcards.dataset]))


def names(datasets):
    """A pattern that matches these names and no others, also if there are none."""
    return "|".join(map(re.escape, datasets)) or "(?!)"


def memory(megabytes):
    """More memory with every attempt."""
    return lambda wildcards, attempt: megabytes * attempt


def there(pattern, runs):
    """The runs that have such a file; all of them unless the configuration allows that some are missing."""
    return [run for run in runs if GRID.config.missing == "refused" or os.path.exists(pattern.format(run=run))]


def absent(pattern, runs):
    """The runs that are left out."""
    return sorted(set(runs) - set(there(pattern, runs)))


def files(pattern, runs):
    """The files of the runs that are not left out."""
    return [pattern.format(run=run) for run in there(pattern, runs)]


def drawable(figure):
    """Whether there is anything to draw a figure from; taken to be so unless missing runs are allowed."""
    if GRID.config.missing == "refused":
        return True
    if figure == "figure4":
        return bool(there(ADAPTATION, GRID.layer_runs))
    if figure in ("joint_errors", "curves"):
        return bool(there(METRICS if figure == "joint_errors" else DETECTOR, GRID.runs_of_figure(figure)))
    run = GRID.figure_run(figure)
    # What the others show of their cell is there with the last of its files.
    return bool(there(ADAPTATION, [run.pose_set]) if figure == "figure2" else there(METRICS, [run.name]))


def tables_and_figures(wildcards):
    """All that is made of cells."""
    figures = {name: f"results/figures/{name}.png" for name in GRID.figures}
    if GRID.config.figures.explorer:
        figures["explorer"] = "results/explorer.html"
    return [
        *(f"results/{table}.csv" for table in GRID.config.tables),
        "results/claims.csv",
        *(path for figure, path in figures.items() if drawable(figure)),
    ]


def caches(split, images):
    """A split of all datasets with, or without, images."""
    return [f"results/data/{name}/{split}.h5" for name in GRID.datasets if GRID.config.datasets[name].images == images]


def source_caches(split):
    """A split of the sources of a prior."""
    return lambda wildcards: expand(
        f"results/data/{{dataset}}/{split}.h5",
        dataset=GRID.priors[wildcards.prior].cell.sources,
    )


def of_pose_set(pattern):
    """An input that names the prior and guidance of a pose set's run."""
    return lambda wildcards: pattern.format(run=GRID.pose_sets[wildcards.pose_set])


def discriminator_of_pose_set(wildcards):
    """What a generator was trained against, for methods that go on training against it."""
    run = GRID.pose_sets[wildcards.pose_set]
    return f"results/priors/{run.prior}/discriminator.safetensors" if run.method.is_adversarial else []


def annotation_set_inputs(wildcards):
    """What a pose set is composed of, by its method."""
    run = GRID.pose_sets[wildcards.pose_set]
    if run.method.poses == "target":
        return {"target": f"results/data/{run.cell.target}/train.h5"}
    inputs = {"mixup": f"results/guidance/{run.guidance}/mixup.h5"}
    if run.method.poses == "source" or run.cell.take_all_if_short:
        inputs["sources"] = expand("results/data/{dataset}/train.h5", dataset=run.cell.sources)
    if run.method.poses == "adapted":
        inputs["samples"] = f"results/pose_sets/{wildcards.pose_set}/samples.h5"
    return inputs


def baseline_inputs(wildcards):
    """What a baseline's pose set is composed of."""
    run = GRID.pose_sets[wildcards.pose_set]
    inputs = {}
    if run.method.sees_sources:
        inputs["sources"] = expand("results/data/{dataset}/train.h5", dataset=run.cell.sources)
    if run.method.sees_shots:
        inputs["shots"] = f"results/guidance/{run.guidance}/shots.h5"
        inputs["mixup"] = f"results/guidance/{run.guidance}/mixup.h5"
    return inputs


def shots_of_cell(wildcards):
    """The annotated shots of a cell whose method has any."""
    run = GRID.run(wildcards.cell)
    return f"results/guidance/{run.guidance}/shots.h5" if run.method.guidance else []


def choice_of_layers(wildcards):
    """What an adaptation says of the layers it chose, for runs that have it choose."""
    run = GRID.run(wildcards.cell)
    return f"results/pose_sets/{run.pose_set}/adaptation.json" if run.chooses_layers else []


def labelled_shots(wildcards):
    """The annotated shots, for methods whose detector sees their images."""
    return shots_of_cell(wildcards) if GRID.run(wildcards.cell).method.supervision != "none" else []


def target_cache(split):
    """A split of a cell's target."""
    return lambda wildcards: f"results/data/{GRID.run(wildcards.cell).cell.target}/{split}.h5"


def beside_snakefile(path):
    """A file of the workflow, wherever the working directory is."""
    return os.path.relpath(os.path.join(workflow.basedir, path))


def explorer_inputs(wildcards):
    """What the page of one cell shows: its generator before and after, its shots, its detector and the target's images."""
    run = GRID.figure_run("explorer")
    return {
        "template": beside_snakefile("report/explorer.html"),
        "generator": f"results/priors/{run.prior}/generator.safetensors",
        "regressor": f"results/priors/{run.prior}/regressor.safetensors",
        "transfer": f"results/pose_sets/{run.pose_set}/transfer.safetensors",
        "shots": f"results/guidance/{run.guidance}/shots.h5",
        "detector": f"results/cells/{run.name}/detector.safetensors",
        "test": f"results/data/{run.cell.target}/test.h5",
    }
