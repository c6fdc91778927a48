"""What a run is and comes from, for people: its facts, and every job that it depends on with that job's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flexpose_core.grid import Grid
from flexpose_core.runs import Run


@dataclass(frozen=True)
class Job:
    """A job behind a run.

    Parameters
    ----------
    stage
        The module of `flexpose_core.stages` that did it.
    of
        What it was done for: a dataset, a prior, a guidance set, a pose set or the run itself. Runs share jobs of one name.
    options
        All that it depends on beside its input files.
    benchmarks
        Where its run times are, below the results folder.
    """

    stage: str
    of: str
    options: dict[str, Any]
    benchmarks: tuple[str, ...] = ()


def facts(grid: Grid, name: str) -> dict[str, str]:
    """Return what a run is, in words."""
    run = grid.run(name)
    layers, size = grid.run_params(name)["cell"]["layers"], run.cell.annotation_set_size
    told = {
        "Cell": run.cell_name,
        "Method": run.cell.method,
        "Source": run.sources,
        "Target": run.cell.target,
        "Shots": run.cell.shots if run.method.guidance else None,
        "Layers": ", ".join(map(str, layers)) if isinstance(layers, list) else layers,
        "Annotation set": f"{size:,} poses" if size else None,
        "Seed": run.seed,
    }
    return {key: str(value) for key, value in told.items() if value not in (None, "")}


def jobs_of(grid: Grid, name: str) -> list[Job]:
    """Return the jobs that a run depends on, in their order."""
    run = grid.run(name)
    behind = grid.behind(run)
    jobs = [_conversion(grid, dataset) for dataset in dict.fromkeys((*run.cell.sources, run.cell.target))]
    if any(of.method.poses == "adapted" for of in behind):
        jobs += _of_prior(grid, run.prior)
    if run.method.guidance:
        jobs.append(Job("guide", run.guidance, grid.guidance_params(run.guidance), (f"guide/{run.guidance}.tsv",)))
    for pose_set in dict.fromkeys(of.pose_set for of in behind):
        owner = grid.pose_sets[pose_set]
        if owner.chooser:
            chooser = owner.chooser.name
            jobs += [
                *_of_detector(grid, chooser),
                Job("find_poses", chooser, grid.finder_params(chooser), (f"find_poses/{chooser}.tsv",)),
            ]
        jobs += _of_poses(grid, owner)
    return [*jobs, *_of_detector(grid, name)]


def _of_detector(grid: Grid, name: str) -> list[Job]:
    run, jobs = grid.run(name), []
    if run.sees_placed:
        options = grid.placing_params(run.pose_set)
        jobs.append(Job(run.method.placer, run.pose_set, options, (f"place/{run.pose_set}.tsv",)))
    return [*jobs, Job(run.method.trainer, name, grid.detector_params(name), (f"train_detector/{name}.tsv",))]


def _conversion(grid: Grid, dataset: str) -> Job:
    splits = [f"convert/{dataset}_{split}" for split in grid.splits(dataset)]
    if grid.in_shards(dataset):
        parts = [*(f"shard{shard}" for shard in range(grid.shards(dataset))), "gather"]
        timed = tuple(f"{split}_{part}.tsv" for split in splits for part in parts)
    else:
        timed = tuple(f"{split}.tsv" for split in splits)
    return Job("convert", dataset, grid.dataset_params(dataset)["options"], timed)


def _of_prior(grid: Grid, prior: str) -> list[Job]:
    params = {"train_regressor": grid.regressor_params(prior), "train_generator": grid.generator_params(prior)}
    return [Job(stage, prior, options, (f"{stage}/{prior}.tsv",)) for stage, options in params.items()]


def _of_poses(grid: Grid, run: Run) -> list[Job]:
    name, jobs = run.pose_set, []
    if run.method.poses == "adapted":
        shards = grid.config.sample_shards
        parts = [f"_{shard}" for shard in range(shards)] if shards > 1 else [""]
        jobs = [
            Job("adapt", name, grid.adaptation_params(name), (f"adapt/{name}.tsv",)),
            Job("sample", name, grid.sample_params(name), tuple(f"sample/{name}{part}.tsv" for part in parts)),
        ]
    jobs.append(Job(run.method.composer, name, grid.pose_set_params(name), (f"compose/{name}.tsv",)))
    return [*jobs, Job("pretrain_eta", name, grid.eta_params(name), (f"pretrain_eta/{name}.tsv",))]
