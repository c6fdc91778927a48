"""The checked configuration, and what the rules ask of it. Parameters hold plain values of the one cell or dataset alone."""

import gc
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

# What is planned stays until the end, by millions of objects: looking for garbage among them so often takes a seventh of the time.
gc.freeze()
gc.set_threshold(100_000, 50, 50)

# `workflow.basedir` is another one's where that uses this workflow as a module.
RULES = workflow.current_basedir
OWN_FOLDER = os.path.join(RULES, "..") if isinstance(RULES, os.PathLike) else workflow.basedir

DATASETS = list(GRID.config.datasets)
METRICS = "results/cells/{run}/metrics.json"
ADAPTATION = "results/pose_sets/{run}/adaptation.json"
DETECTOR = "results/cells/{run}/detector.safetensors"


def names(known):
    """A pattern that matches these names and no others, also if there are none."""
    return "|".join(map(re.escape, known)) or "(?!)"


wildcard_constraints:
    dataset=names(DATASETS),
    split="train|val|test",
    prior=r"[A-Za-z0-9.+_-]+",
    guidance=r"[A-Za-z0-9.+_-]+",
    pose_set=r"[A-Za-z0-9.+_-]+",
    run=r"[A-Za-z0-9.+_-]+",
    shard=r"\d+",


def stage_stamp(stage):
    """The code stamp of a stage: editing the library reruns the stages that use what was edited."""
    return code_stamp(f"flexpose_core.stages.{stage}")


def stamp(stage):
    """A parameter, a stage's stamp. Asked for when a job is planned: each job of a cluster reads this file, twice, for one rule."""
    return lambda wildcards: stage_stamp(stage)


def reader_stamp(wildcards):
    """The code stamp of reading one dataset: editing another dataset's reader does not rerun it."""
    return stage_stamp("convert") + code_stamp(reader_module(GRID.config.datasets[wildcards.dataset]))


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
    if figure == "figure6":
        runs = GRID.first_runs_of_figure(figure)
        return there(METRICS, runs) == runs
    # Its painter is trained for it alone, and what is missing is left untrained.
    if figure == "figure5" and not os.path.exists("results/figures/figure5.safetensors"):
        return False
    run = GRID.figure_run(figure)
    # What the others show of their cell is there with the last of its files.
    return bool(there(ADAPTATION, [run.pose_set]) if figure == "figure2" else there(METRICS, [run.name]))


def figure_labels(figure):
    """What the report calls a figure: its name, and the cells that it shows."""
    shown = getattr(GRID.config.figures, figure)
    shown = getattr(shown, "cell", shown) or "none"
    return {"figure": figure.replace("_", " "), "cell": shown if isinstance(shown, str) else ", ".join(shown)}


def tables_and_figures(wildcards):
    """All that is made of cells."""
    figures = {name: f"results/figures/{name}.png" for name in GRID.figures}
    if GRID.config.figures.explorer:
        figures["explorer"] = "results/explorer.html"
    return [
        *(f"results/{table}.csv" for table in GRID.config.tables),
        "results/claims.csv",
        *(f"results/pages/{table}.html" for table in [*GRID.config.tables, "claims"]),
        *(["results/data/distances.csv"] if GRID.config.missing == "refused" else []),
        *(path for figure, path in figures.items() if drawable(figure)),
    ]


def annotation_files(wildcards):
    """The files of one's own annotations that a split is read from. They may be elsewhere once it has been read."""
    there = os.path.exists(f"results/data/{wildcards.dataset}/{wildcards.split}.h5")
    found = GRID.annotation_files(wildcards.dataset, wildcards.split)
    return [path for path in found if os.path.isfile(path) or not there]


def target_caches(split):
    """A split of all datasets with images."""
    return [f"results/data/{name}/{split}.h5" for name in GRID.datasets if GRID.config.datasets[name].images]


def source_caches():
    """The training poses of all sources: of datasets without images, and of those with images that cells adapt from."""
    adapted = {source for run in GRID.runs.values() for source in run.cell.sources}
    return [
        f"results/data/{name}/train.h5"
        for name in GRID.datasets
        if not GRID.config.datasets[name].images or name in adapted
    ]


def train_caches(datasets):
    """The training poses of some datasets."""
    return [f"results/data/{dataset}/train.h5" for dataset in datasets]


def prior_inputs(wildcards):
    """What a prior is learnt from, both splits of its sources."""
    sources = GRID.priors[wildcards.prior].cell.sources
    return {"train": train_caches(sources), "val": [f"results/data/{source}/val.h5" for source in sources]}


# One function a rule for all its inputs, as Snakemake's planning takes longer the more it has to call for a job.


def sampler_inputs(wildcards):
    """The prior of a pose set's run."""
    run = GRID.pose_sets[wildcards.pose_set]
    return {name: f"results/priors/{run.prior}/{name}.safetensors" for name in ("generator", "regressor")}


def adaptation_inputs(wildcards):
    """What the adaptation of a pose set's generator starts from and is guided by."""
    run = GRID.pose_sets[wildcards.pose_set]
    inputs = {**sampler_inputs(wildcards), **guidance_inputs(run), "sources": train_caches(run.cell.sources)}
    if run.method.is_adversarial:
        inputs["discriminator"] = f"results/priors/{run.prior}/discriminator.safetensors"
    elif run.adaptation and run.adaptation.perceptual.file:
        # Missed when the jobs are planned, not after the generator has been trained.
        inputs["perceptual"] = run.adaptation.perceptual.file
    return inputs


def guidance_inputs(run):
    """The few shots of a run and their mixup."""
    return {name: f"results/guidance/{run.guidance}/{name}.h5" for name in ("shots", "mixup")}


def annotation_set_inputs(wildcards):
    """What a pose set is composed of, by its method."""
    run = GRID.pose_sets[wildcards.pose_set]
    if run.method.poses == "target":
        return {"target": f"results/data/{run.cell.target}/train.h5"}
    if run.method.poses == "baseline":
        sources = {"sources": train_caches(run.cell.sources)} if run.method.sees_sources else {}
        return {**sources, **guidance_inputs(run)} if run.method.sees_shots else sources
    inputs = {"mixup": guidance_inputs(run)["mixup"]}
    if run.method.poses == "chosen":
        chooser = run.chooser
        inputs["pool"] = f"results/pose_sets/{chooser.pose_set}/poses.h5"
        inputs["found"] = f"results/cells/{chooser.name}/found.h5"
        return inputs
    if run.method.poses == "source" or run.cell.take_all_if_short:
        inputs["sources"] = train_caches(run.cell.sources)
    if run.method.poses == "adapted":
        inputs["samples"] = f"results/pose_sets/{wildcards.pose_set}/samples.h5"
    return inputs


def placing_inputs(wildcards):
    """The mixed shots, and what is placed where they are: of the generator, or the source's own poses."""
    run = GRID.pose_sets[wildcards.pose_set]
    inputs = guidance_inputs(run)
    if run.method.poses == "adapted":
        return {**sampler_inputs(wildcards), **inputs}
    return {"sources": train_caches(run.cell.sources), **inputs}


def placer_stamp(wildcards):
    """The code stamp of placing poses: editing the generator does not place the source's own again."""
    return stage_stamp(GRID.pose_sets[wildcards.pose_set].method.placer)


def composer_stamp(wildcards):
    """The code stamp of composing a pose set: editing the baselines does not compose the others again."""
    return stage_stamp(GRID.pose_sets[wildcards.pose_set].method.composer)


def trainer_stamp(wildcards):
    """The code stamp of training a detector: editing how images are animated does not train the others again."""
    return stage_stamp(GRID.run(wildcards.run).method.trainer)


def detector_inputs(wildcards):
    """What a cell's detector learns from; the shots where it sees their images."""
    run = GRID.run(wildcards.run)
    inputs = {
        "images": f"results/data/{run.cell.target}/train.h5",
        "poses": f"results/pose_sets/{run.pose_set}/poses.h5",
        "eta": f"results/pose_sets/{run.pose_set}/eta.safetensors",
    }
    if run.method.supervision != "none":
        inputs["shots"] = guidance_inputs(run)["shots"]
    if run.sees_placed:
        inputs["placed"] = f"results/pose_sets/{run.pose_set}/placed.h5"
    return inputs


def measures_inputs(wildcards):
    """What a pose set is measured against: its target's own poses, and the shots where its method has any."""
    run = GRID.pose_sets[wildcards.pose_set]
    inputs = {split: f"results/data/{run.cell.target}/{split}.h5" for split in ("train", "val")}
    inputs["poses"] = f"results/pose_sets/{run.pose_set}/poses.h5"
    if run.method.guidance:
        inputs["shots"] = guidance_inputs(run)["shots"]
    return inputs


def evaluation_inputs(wildcards):
    """What a cell's detector is evaluated on; the shots where its method has any."""
    run = GRID.run(wildcards.run)
    inputs = {split: f"results/data/{run.cell.target}/{split}.h5" for split in ("train", "val", "test")}
    inputs["poses"] = f"results/pose_sets/{run.pose_set}/poses.h5"
    if run.method.guidance:
        inputs["shots"] = guidance_inputs(run)["shots"]
    shards = GRID.config.measure_shards
    if shards > 1 and GRID.shares_guidance(run):
        inputs["measures"] = [f"results/pose_sets/{run.pose_set}/measures_{shard}.json" for shard in range(shards)]
    if run.chooses_layers:
        inputs["adaptation"] = f"results/pose_sets/{run.pose_set}/adaptation.json"
    return inputs


def beside_snakefile(path):
    """A file of the workflow, wherever the working directory is."""
    return os.path.relpath(os.path.join(OWN_FOLDER, path))


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
