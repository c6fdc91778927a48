"""Tables over cells."""


rule table:
    input:
        lambda wildcards: files(METRICS, GRID.table_runs(wildcards.table)),
    output:
        csv=report(
            "results/{table}.csv",
            category="Tables",
            caption="../report/table.rst",
            labels={"table": "{table}", "form": "CSV"},
        ),
        markdown="results/{table}.md",
    log:
        "results/logs/{table}.log",
    wildcard_constraints:
        table=names(GRID.config.tables),
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        job=lambda wildcards: GRID.table_params(wildcards.table),
        runs=lambda wildcards: [GRID.run_params(run) for run in GRID.table_runs(wildcards.table)],
        stamp=stamp("tabulate"),
    script:
        "../workflow_scripts/tabulate.py"


rule page:
    input:
        markdown="results/{page}.md",
        template=beside_snakefile("report/page.html"),
    output:
        report(
            "results/pages/{page}.html",
            category="Tables",
            caption="../report/page.rst",
            labels={"table": "{page}", "form": "to read"},
        ),
    log:
        "results/logs/{page}_page.log",
    wildcard_constraints:
        page=names([*GRID.config.tables, "claims"]),
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        stamp=stamp("page"),
    script:
        "../workflow_scripts/page.py"


rule cards:
    input:
        metrics=lambda wildcards: files(METRICS, GRID.tabled_runs),
        template=beside_snakefile("report/run.html"),
    output:
        report(
            directory("results/cards"),
            patterns=["{card}.html"],
            category="Runs",
            caption="../report/cards.rst",
            labels={"run": "{card}", "view": "options and run times"},
        ),
    log:
        "results/logs/cards.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=10,
    params:
        # All options, as a checksum: the report repeats what stands here for every cell.
        config=GRID.checksum,
        benchmarks="results/benchmarks",
        stamp=stamp("cards"),
    script:
        "../workflow_scripts/cards.py"


rule claims:
    input:
        metrics=lambda wildcards: files(METRICS, GRID.claim_runs),
        adaptations=lambda wildcards: files(ADAPTATION, GRID.claim_adaptations),
    output:
        csv=report(
            "results/claims.csv",
            category="Tables",
            caption="../report/claims.rst",
            labels={"table": "claims", "form": "CSV"},
        ),
        markdown="results/claims.md",
    log:
        "results/logs/claims.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        job=lambda wildcards: GRID.claims_params(there(ADAPTATION, GRID.claim_adaptations)),
        stamp=stamp("claims"),
    script:
        "../workflow_scripts/claims.py"
