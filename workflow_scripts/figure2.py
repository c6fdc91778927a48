from flexpose_core.stages.pose_figures import draw_triptych
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    draw_triptych(snakemake.input[0], snakemake.output.png, snakemake.output.svg)
