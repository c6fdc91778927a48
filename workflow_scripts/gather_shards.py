from pathlib import Path

from flexpose_core.stages.convert import gather_shards
from flexpose_core.stages.reporting import reporting, state_origin

with reporting(snakemake.log[0], snakemake.threads):
    gather_shards(
        snakemake.wildcards.dataset,
        snakemake.params.job["reader"],
        snakemake.wildcards.split,
        limit=snakemake.params.job["limit"],
        seed=0,
        shards=list(map(Path, snakemake.input)),
        out=Path(snakemake.output.cache),
        card=Path(snakemake.output.card),
        paper=snakemake.params.job["paper"],
    )
    state_origin(snakemake.output.card, snakemake.params.stamp, snakemake.params.job, seed=0)
