from flexpose_core.stages.image_figures import draw_predictions
from flexpose_core.stages.reporting import reporting

files, out = snakemake.input, snakemake.output
with reporting(snakemake.log[0], snakemake.threads):
    draw_predictions(
        dict(zip(snakemake.params.cells, files.detectors, strict=True)), files.metrics, files.test, out.png, out.svg
    )
