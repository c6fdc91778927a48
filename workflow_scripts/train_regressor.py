import msgspec

from flexpose_core.options.generator import RegressorOptions
from flexpose_core.stages.reporting import reporting, state_origin
from flexpose_core.stages.train_regressor import train_regressor

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    train_regressor(
        msgspec.convert(job["options"], RegressorOptions),
        job["channels"],
        snakemake.input.train,
        snakemake.input.val,
        snakemake.output.weights,
        snakemake.output.metrics,
        seed=0,
        work=snakemake.params.work,
    )
    state_origin(snakemake.output.metrics, snakemake.params.stamp, job, seed=0)
