import msgspec

from flexpose_core.options.cycle_gan import CycleGanOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.train_cycle_gan import train_cycle_gan

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    train_cycle_gan(
        msgspec.convert(cell["cycle_gan"], CycleGanOptions),
        snakemake.input.images,
        snakemake.input.poses,
        cell["people"],
        snakemake.output[0],
        cell["seed"],
        snakemake.params.work,
    )
