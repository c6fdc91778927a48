from flexpose_core.stages.figures import draw_layer_losses
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    draw_layer_losses(
        snakemake.input,
        snakemake.params.job["layers"],
        snakemake.output.png,
        snakemake.output.svg,
        snakemake.params.missing,
    )
