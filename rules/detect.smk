"""The detector of a cell: η on its annotation set, KeypointGAN on the target's images, metrics on val and test."""


rule pretrain_eta:
    input:
        "results/pose_sets/{pose_set}/poses.h5",
    output:
        weights="results/pose_sets/{pose_set}/eta.safetensors",
        metrics="results/pose_sets/{pose_set}/eta.json",
    log:
        "results/logs/pose_sets/{pose_set}_eta.log",
    benchmark:
        "results/benchmarks/pretrain_eta/{pose_set}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
        gpu=1,
    params:
        job=lambda wildcards: GRID.eta_params(wildcards.pose_set),
        stamp=stamp("train_detector"),
        work="results/trainings/{pose_set}/eta",
    script:
        "../workflow_scripts/pretrain_eta.py"


rule train_detector:
    input:
        unpack(detector_inputs),
    output:
        "results/cells/{run}/detector.safetensors",
    log:
        "results/logs/cells/{run}_detector.log",
    benchmark:
        "results/benchmarks/train_detector/{run}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2500),
        runtime=70,
        gpu=1,
    params:
        job=lambda wildcards: GRID.detector_params(wildcards.run),
        stamp=trainer_stamp,
        work="results/trainings/{run}/detector",
    script:
        "../workflow_scripts/train_detector.py"


rule find_poses:
    input:
        detector="results/cells/{run}/detector.safetensors",
        images=lambda wildcards: f"results/data/{GRID.run(wildcards.run).cell.target}/train.h5",
    output:
        poses="results/cells/{run}/found.h5",
        picture=report(
            "results/cells/{run}/found.png",
            category="Runs",
            caption="../report/found.rst",
            labels={"run": "{run}", "view": "training images"},
        ),
    log:
        "results/logs/cells/{run}_found.log",
    benchmark:
        "results/benchmarks/find_poses/{run}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
        gpu=1,
    params:
        job=lambda wildcards: GRID.finder_params(wildcards.run),
        stamp=stamp("find_poses"),
    script:
        "../workflow_scripts/find_poses.py"


rule measure_poses:
    input:
        unpack(measures_inputs),
    output:
        temp("results/pose_sets/{pose_set}/measures_{shard}.json"),
    log:
        "results/logs/pose_sets/{pose_set}_measures_{shard}.log",
    benchmark:
        "results/benchmarks/measure_poses/{pose_set}_{shard}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        shards=GRID.config.measure_shards,
        stamp=stamp("measure_poses"),
    script:
        "../workflow_scripts/measure_poses.py"


rule evaluate:
    input:
        unpack(evaluation_inputs),
        detector="results/cells/{run}/detector.safetensors",
    output:
        metrics=ensure("results/cells/{run}/metrics.json", non_empty=True),
        picture=report(
            "results/cells/{run}/predictions.png",
            category="Runs",
            caption="../report/predictions.rst",
            labels={"run": "{run}", "view": "test images"},
        ),
    log:
        "results/logs/cells/{run}_evaluate.log",
    benchmark:
        "results/benchmarks/evaluate/{run}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=15,
        gpu=1,
    params:
        job=lambda wildcards: GRID.run_params(wildcards.run),
        config=lambda wildcards: GRID.run_config(wildcards.run),
        stamp=stamp("evaluate"),
    script:
        "../workflow_scripts/evaluate.py"
