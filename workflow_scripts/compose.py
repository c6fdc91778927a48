from flexpose_core.stages.compose import compose_adapted, compose_source, compose_target
from flexpose_core.stages.reporting import reporting

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    given, size, take_all, out = snakemake.input, cell["size"], cell["take_all_if_short"], snakemake.output[0]
    if cell["poses"] == "target":
        compose_target(given.target, size, take_all, cell["seed"], out)
    elif cell["poses"] == "source":
        compose_source(given.sources, given.mixup, size, take_all, cell["seed"], out)
    else:
        compose_adapted(given.samples, given.mixup, size, given.get("sources"), out)
