"""FlexPose: every table as file dependencies.

    snakemake --cores 8 results/table1.csv                 a table, from nothing
    snakemake --cores 8 results/cells/NAME/metrics.json    one cell alone
    snakemake -n ...                                       what would run, and why

Options are in config.yaml; the stages in rules/; what they call in flexpose_core/stages/.
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"


if GRID.config.container:

    container: GRID.config.container


include: "rules/data.smk"
include: "rules/source.smk"
include: "rules/adapt.smk"
include: "rules/detect.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"


rule all:
    default_target: True
    input:
        tables_and_figures,
        "results/cards",
        expand("results/data/{dataset}/contact_sheet.png", dataset=GRID.datasets),


rule tables:
    input:
        tables_and_figures,
