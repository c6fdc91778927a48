from flexpose_core.stages.figures import draw_curves
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    draw_curves(
        dict(zip(snakemake.params.runs, snakemake.params.works, strict=True)),
        snakemake.output.png,
        snakemake.output.svg,
        snakemake.params.missing,
    )
