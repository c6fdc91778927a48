from flexpose_core.stages.image_figures import draw_painted_people
from flexpose_core.stages.reporting import reporting

files, out, job = snakemake.input, snakemake.output, snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    draw_painted_people(
        files.weights,
        files.poses,
        job["people"],
        files.detector,
        files.test,
        files.metrics,
        job["seed"],
        out.metrics,
        out.png,
        out.svg,
        job["device"],
    )
