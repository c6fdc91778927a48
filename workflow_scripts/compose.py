from flexpose_core.stages.compose import compose_adapted, compose_source, compose_target
from flexpose_core.stages.reporting import reporting

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    if cell["poses"] == "target":
        compose_target(snakemake.input.target, cell["size"], cell["seed"], snakemake.output[0])
    elif cell["poses"] == "source":
        compose_source(snakemake.input.sources, snakemake.input.mixup, cell["size"], cell["seed"], snakemake.output[0])
    else:
        compose_adapted(snakemake.input.samples, snakemake.input.mixup, cell["size"], snakemake.output[0])
