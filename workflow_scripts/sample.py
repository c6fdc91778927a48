import msgspec

from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.sample import sample_shard

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    sample_shard(
        msgspec.convert(cell["options"], SampleOptions),
        snakemake.input.generator,
        snakemake.input.regressor,
        snakemake.input.transfer,
        count=cell["count"],
        shard=int(snakemake.wildcards.get("shard", 0)),
        shards=cell["shards"],
        out=snakemake.output[0],
        seed=cell["seed"],
        joints=cell["joints"],
    )
