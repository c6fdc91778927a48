from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.tabulate import tabulate

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    tabulate(
        snakemake.wildcards.table,
        job["kind"],
        snakemake.params.runs,
        snakemake.input,
        job["pck_rho"],
        job["paper_rows"],
        snakemake.output.csv,
        snakemake.output.markdown,
    )
