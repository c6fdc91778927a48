import msgspec

from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.stages.convert import convert_shard
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    convert_shard(
        msgspec.convert(snakemake.params.job["options"], DatasetOptions),
        snakemake.wildcards.split,
        shard=int(snakemake.wildcards.shard),
        shards=snakemake.params.shards,
        seed=0,
        out=snakemake.output[0],
    )
