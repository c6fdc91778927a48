from flexpose_core.stages.gather_samples import gather
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    gather(snakemake.input, snakemake.output[0])
