from pathlib import Path

import msgspec

from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.stages.convert import convert
from flexpose_core.stages.reporting import reporting, state_origin

with reporting(snakemake.log[0], snakemake.threads):
    convert(
        snakemake.wildcards.dataset,
        msgspec.convert(snakemake.params.job["options"], DatasetOptions),
        snakemake.wildcards.split,
        seed=0,
        out=Path(snakemake.output.cache),
        card=Path(snakemake.output.card),
    )
    state_origin(snakemake.output.card, snakemake.params.stamp, snakemake.params.job, seed=0)
