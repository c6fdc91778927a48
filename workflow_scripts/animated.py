import msgspec

from flexpose_core.options.animation import AnimationOptions
from flexpose_core.stages.animated_figure import draw_animated_people
from flexpose_core.stages.reporting import reporting

files, out, job = snakemake.input, snakemake.output, snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    draw_animated_people(
        msgspec.convert(job["animation"], AnimationOptions),
        files.shots,
        files.images,
        files.poses,
        job["seed"],
        out.png,
        out.svg,
    )
