from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.tabulate import tabulate

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    tabulate(
        snakemake.wildcards.table,
        cell["kind"],
        snakemake.params.runs,
        snakemake.input,
        cell["pck_rho"],
        cell["paper_rows"],
        snakemake.output.csv,
        snakemake.output.markdown,
    )
