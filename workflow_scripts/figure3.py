from flexpose_core.stages.pose_figures import draw_embedding
from flexpose_core.stages.reporting import reporting

files, out = snakemake.input, snakemake.output
with reporting(snakemake.log[0], snakemake.threads):
    draw_embedding(files.sources, files.target, files.adapted, 0, out.png, out.svg)
