"""The paper's figures and those beside them, each as PNG and SVG with a caption in report/."""


rule figure2:
    input:
        lambda wildcards: f"results/pose_sets/{GRID.figure_run('figure2').pose_set}/adaptation.png",
    output:
        png=report(
            "results/figures/figure2.png",
            category="Figures",
            caption="../report/figure2.rst",
            labels={"figure": "figure2"},
        ),
        svg="results/figures/figure2.svg",
    log:
        "results/logs/figures/figure2.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        stamp=stamp("pose_figures"),
    script:
        "../workflow_scripts/figure2.py"


rule figure3:
    input:
        sources=lambda wildcards: expand(
            "results/data/{dataset}/train.h5",
            dataset=GRID.figure_run("figure3").cell.sources,
        ),
        target=lambda wildcards: f"results/data/{GRID.figure_run('figure3').cell.target}/val.h5",
        adapted=lambda wildcards: f"results/pose_sets/{GRID.figure_run('figure3').pose_set}/samples.h5",
    output:
        png=report(
            "results/figures/figure3.png",
            category="Figures",
            caption="../report/figure3.rst",
            labels={"figure": "figure3"},
        ),
        svg="results/figures/figure3.svg",
    log:
        "results/logs/figures/figure3.log",
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=15,
    params:
        stamp=stamp("pose_figures"),
    script:
        "../workflow_scripts/figure3.py"


rule figure4:
    input:
        lambda wildcards: files(ADAPTATION, GRID.layer_runs),
    output:
        png=report(
            "results/figures/figure4.png",
            category="Figures",
            caption="../report/figure4.rst",
            labels={"figure": "figure4"},
        ),
        svg="results/figures/figure4.svg",
    log:
        "results/logs/figures/figure4.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        cell=lambda wildcards: GRID.layer_params(there(ADAPTATION, GRID.layer_runs)),
        missing=lambda wildcards: absent(ADAPTATION, GRID.layer_runs),
        stamp=stamp("figures"),
    script:
        "../workflow_scripts/figure4.py"


rule joint_errors:
    input:
        lambda wildcards: files(METRICS, GRID.runs_of_figure("joint_errors")),
    output:
        png=report(
            "results/figures/joint_errors.png",
            category="Figures",
            caption="../report/joint_errors.rst",
            labels={"figure": "joint errors"},
        ),
        svg="results/figures/joint_errors.svg",
    log:
        "results/logs/figures/joint_errors.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        missing=lambda wildcards: absent(METRICS, GRID.runs_of_figure("joint_errors")),
        stamp=stamp("figures"),
    script:
        "../workflow_scripts/joint_errors.py"


rule curves:
    input:
        # The logs beside a detector appear before it does.
        lambda wildcards: files(DETECTOR, GRID.runs_of_figure("curves")),
    output:
        png=report(
            "results/figures/curves.png",
            category="Figures",
            caption="../report/curves.rst",
            labels={"figure": "curves"},
        ),
        svg="results/figures/curves.svg",
    log:
        "results/logs/figures/curves.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        runs=lambda wildcards: there(DETECTOR, GRID.runs_of_figure("curves")),
        works=lambda wildcards: [
            f"results/trainings/{run}/detector" for run in there(DETECTOR, GRID.runs_of_figure("curves"))
        ],
        missing=lambda wildcards: absent(DETECTOR, GRID.runs_of_figure("curves")),
        stamp=stamp("figures"),
    script:
        "../workflow_scripts/curves.py"


rule explorer:
    input:
        unpack(explorer_inputs),
    output:
        "results/explorer.html",
    log:
        "results/logs/explorer.log",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
    params:
        about=lambda wildcards: facts(GRID, GRID.figure_run("explorer").name),
        stamp=stamp("explorer"),
    script:
        "../workflow_scripts/explorer.py"
