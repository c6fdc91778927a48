from flexpose_core.stages.image_figures import draw_predictions
from flexpose_core.stages.reporting import reporting

files, out, figure = snakemake.input, snakemake.output, snakemake.params.figure
with reporting(snakemake.log[0], snakemake.threads):
    draw_predictions(
        dict(zip(figure["cells"], files.detectors, strict=True)),
        files.metrics,
        files.test,
        out.png,
        out.svg,
        figure["device"],
    )
