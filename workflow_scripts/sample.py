import msgspec

from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.sample import sample_shard

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    sample_shard(
        msgspec.convert(job["options"], SampleOptions),
        snakemake.input.generator,
        snakemake.input.regressor,
        snakemake.input.transfer,
        count=job["count"],
        shard=int(snakemake.wildcards.get("shard", 0)),
        shards=job["shards"],
        out=snakemake.output[0],
        seed=job["seed"],
        joints=job["joints"],
    )
