from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.tabulate import tabulate

with reporting(snakemake.log[0], snakemake.threads):
    tabulate(
        snakemake.wildcards.table,
        snakemake.input,
        snakemake.params.cell["pck_rho"],
        snakemake.output.csv,
        snakemake.output.markdown,
    )
