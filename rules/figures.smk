"""The paper's figures and those beside them, each as PNG and SVG with a caption in report/."""


rule figure2:
    input:
        lambda wildcards: f"results/pose_sets/{GRID.figure_run('figure2').pose_set}/adaptation.png",
    output:
        png=report(
            "results/figures/figure2.png",
            category="Figures",
            caption="../report/figure2.rst",
            labels=figure_labels("figure2"),
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
            labels=figure_labels("figure3"),
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
            labels=figure_labels("figure4"),
        ),
        svg="results/figures/figure4.svg",
    log:
        "results/logs/figures/figure4.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        job=lambda wildcards: GRID.layer_params(there(ADAPTATION, GRID.layer_runs)),
        missing=lambda wildcards: absent(ADAPTATION, GRID.layer_runs),
        stamp=stamp("figures"),
    script:
        "../workflow_scripts/figure4.py"


rule train_cycle_gan:
    input:
        images=lambda wildcards: f"results/data/{GRID.figure_run('figure5').cell.target}/train.h5",
        poses=lambda wildcards: f"results/pose_sets/{GRID.figure_run('figure5').pose_set}/poses.h5",
    output:
        "results/figures/figure5.safetensors",
    log:
        "results/logs/figures/train_cycle_gan.log",
    benchmark:
        "results/benchmarks/train_cycle_gan.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=120,
        gpu=1,
    params:
        job=GRID.painted_people_params(),
        stamp=stamp("train_cycle_gan"),
        work="results/trainings/figure5/cycle_gan",
    script:
        "../workflow_scripts/train_cycle_gan.py"


rule figure5:
    input:
        weights="results/figures/figure5.safetensors",
        poses=lambda wildcards: f"results/pose_sets/{GRID.figure_run('figure5').pose_set}/poses.h5",
        detector=lambda wildcards: f"results/cells/{GRID.figure_run('figure5').name}/detector.safetensors",
        metrics=lambda wildcards: f"results/cells/{GRID.figure_run('figure5').name}/metrics.json",
        test=lambda wildcards: f"results/data/{GRID.figure_run('figure5').cell.target}/test.h5",
    output:
        png=report(
            "results/figures/figure5.png",
            category="Figures",
            caption="../report/figure5.rst",
            labels=figure_labels("figure5"),
        ),
        svg="results/figures/figure5.svg",
        metrics=ensure("results/figures/figure5.json", non_empty=True),
    log:
        "results/logs/figures/figure5.log",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
        gpu=1,
    params:
        job=GRID.painted_people_params(),
        stamp=stamp("image_figures"),
    script:
        "../workflow_scripts/figure5.py"


rule figure6:
    input:
        detectors=expand("results/cells/{run}/detector.safetensors", run=GRID.first_runs_of_figure("figure6")),
        metrics=expand("results/cells/{run}/metrics.json", run=GRID.first_runs_of_figure("figure6")),
        test=lambda wildcards: f"results/data/{GRID.run(GRID.first_runs_of_figure('figure6')[0]).cell.target}/test.h5",
    output:
        png=report(
            "results/figures/figure6.png",
            category="Figures",
            caption="../report/figure6.rst",
            labels=figure_labels("figure6"),
        ),
        svg="results/figures/figure6.svg",
    log:
        "results/logs/figures/figure6.log",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
        gpu=1,
    params:
        figure=GRID.figure6_params(),
        stamp=stamp("image_figures"),
    script:
        "../workflow_scripts/figure6.py"


rule animated:
    input:
        shots=lambda wildcards: f"results/guidance/{GRID.figure_run('animated').guidance}/shots.h5",
        images=lambda wildcards: f"results/data/{GRID.figure_run('animated').cell.target}/train.h5",
        poses=lambda wildcards: f"results/pose_sets/{GRID.figure_run('animated').pose_set}/poses.h5",
    output:
        png=report(
            "results/figures/animated.png",
            category="Figures",
            caption="../report/animated.rst",
            labels=figure_labels("animated"),
        ),
        svg="results/figures/animated.svg",
    log:
        "results/logs/figures/animated.log",
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=5,
    params:
        job=lambda wildcards: GRID.animation_params(),
        stamp=stamp("animated_figure"),
    script:
        "../workflow_scripts/animated.py"


rule joint_errors:
    input:
        lambda wildcards: files(METRICS, GRID.runs_of_figure("joint_errors")),
    output:
        png=report(
            "results/figures/joint_errors.png",
            category="Figures",
            caption="../report/joint_errors.rst",
            labels=figure_labels("joint_errors"),
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
            labels=figure_labels("curves"),
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
        report(
            "results/explorer.html",
            category="Figures",
            caption="../report/explorer.rst",
            labels=figure_labels("explorer"),
        ),
    log:
        "results/logs/explorer.log",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
        gpu=1,
    params:
        about=lambda wildcards: facts(GRID, GRID.figure_run("explorer").name),
        joints=lambda wildcards: GRID.figure_run("explorer").joints,
        sampling=GRID.explorer_params(),
        stamp=stamp("explorer"),
    script:
        "../workflow_scripts/explorer.py"
