from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config
from flexpose_core.stages.cards import cards
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    cards(
        Grid(load_config(snakemake.config)),
        snakemake.input.metrics,
        snakemake.params.benchmarks,
        snakemake.input.template,
        snakemake.output[0],
    )
