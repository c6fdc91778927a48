"""The checked configuration, and what the rules ask of it. Parameters hold plain values of the one cell or dataset alone."""

from flexpose_core.errors import FlexPoseError
from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config
from flexpose_core.stamp import code_stamp
from snakemake.exceptions import WorkflowError

try:
    GRID = Grid(load_config(config))
except FlexPoseError as error:
    raise WorkflowError(str(error))

DATASETS = list(GRID.config.datasets)


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


def memory(megabytes):
    """More memory with every attempt."""
    return lambda wildcards, attempt: megabytes * attempt
