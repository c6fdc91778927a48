from flexpose_core.stages.contact_sheet import contact_sheet
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    contact_sheet(snakemake.input[0], seed=0, out=snakemake.output[0])
