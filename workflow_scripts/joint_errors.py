from flexpose_core.stages.figures import draw_joint_errors
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    draw_joint_errors(snakemake.input, snakemake.output.png, snakemake.output.svg, snakemake.params.missing)
