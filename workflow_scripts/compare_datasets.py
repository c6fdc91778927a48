import os

# See measure_poses.py.
os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")

from flexpose_core.stages.compare_datasets import compare_datasets
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    files = snakemake.input
    compare_datasets(files.sources, files.targets, files.floors, snakemake.output[0])
