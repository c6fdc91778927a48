"""Tables over cells."""


rule table:
    input:
        lambda wildcards: expand("results/cells/{cell}/metrics.json", cell=GRID.table_runs(wildcards.table)),
    output:
        csv=report("results/{table}.csv", category="Tables", labels={"table": "{table}"}),
        markdown="results/{table}.md",
    log:
        "results/logs/{table}.log",
    wildcard_constraints:
        table="|".join(GRID.config.tables),
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        cell=lambda wildcards: GRID.table_params(wildcards.table),
        stamp=stamp("tabulate"),
    script:
        "../workflow_scripts/tabulate.py"
