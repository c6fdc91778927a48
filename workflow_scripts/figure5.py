from flexpose_core.stages.image_figures import draw_painted_people
from flexpose_core.stages.reporting import reporting

files, out, cell = snakemake.input, snakemake.output, snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    draw_painted_people(
        files.weights,
        files.poses,
        cell["people"],
        files.detector,
        files.test,
        files.metrics,
        cell["seed"],
        out.metrics,
        out.png,
        out.svg,
        cell["device"],
    )
