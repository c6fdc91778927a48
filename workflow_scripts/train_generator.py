import msgspec

from flexpose_core.options.generator import GeneratorOptions
from flexpose_core.stages.reporting import reporting, state_origin
from flexpose_core.stages.train_generator import train_generator

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    train_generator(
        msgspec.convert(job["options"], GeneratorOptions),
        job["channels"],
        snakemake.input.train,
        snakemake.input.val,
        snakemake.input.regressor,
        snakemake.output.weights,
        snakemake.output.metrics,
        snakemake.output.picture,
        seed=0,
        work=snakemake.params.work,
        out_discriminator=snakemake.output.discriminator,
    )
    state_origin(snakemake.output.metrics, snakemake.params.stamp, job, seed=0)
