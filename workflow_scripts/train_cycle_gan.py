import msgspec

from flexpose_core.options.cycle_gan import CycleGanOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.train_cycle_gan import train_cycle_gan

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    train_cycle_gan(
        msgspec.convert(job["cycle_gan"], CycleGanOptions),
        snakemake.input.images,
        snakemake.input.poses,
        job["people"],
        snakemake.output[0],
        job["seed"],
        snakemake.params.work,
    )
