from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.sample import gather

with reporting(snakemake.log[0], snakemake.threads):
    gather(snakemake.input, snakemake.output[0])
