"""Tables over cells."""


rule table:
    input:
        lambda wildcards: files(METRICS, GRID.table_runs(wildcards.table)),
    output:
        csv=report(
            "results/{table}.csv",
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "{table}"},
        ),
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
        runs=lambda wildcards: [GRID.cell_params(run) for run in GRID.table_runs(wildcards.table)],
        stamp=stamp("tabulate"),
    script:
        "../workflow_scripts/tabulate.py"


rule claims:
    input:
        metrics=lambda wildcards: files(METRICS, GRID.claim_runs),
        adaptations=lambda wildcards: files(ADAPTATION, GRID.claim_adaptations),
    output:
        csv=report(
            "results/claims.csv",
            category="Tables",
            caption="../report/claims.rst",
            labels={"table": "claims"},
        ),
        markdown="results/claims.md",
    log:
        "results/logs/claims.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        cell=lambda wildcards: GRID.claims_params(there(ADAPTATION, GRID.claim_adaptations)),
        stamp=stamp("claims"),
    script:
        "../workflow_scripts/claims.py"
