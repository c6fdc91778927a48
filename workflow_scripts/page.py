from flexpose_core.stages.page import write_page
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    write_page(snakemake.input.markdown, snakemake.input.template, snakemake.output[0])
