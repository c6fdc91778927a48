"""From a source's prior and a few shots of the target to an annotation set."""

# One job samples, or several share it and another gathers what they have.
SHARDS = range(GRID.config.sample_shards) if GRID.config.sample_shards > 1 else None
SHARD = "_{shard}" if SHARDS else ""
SAMPLES = f"results/pose_sets/{{pose_set}}/samples{SHARD}.h5"


rule guide:
    input:
        lambda wildcards: f"results/data/{GRID.guidance_sets[wildcards.guidance].cell.target}/train.h5",
    output:
        shots="results/guidance/{guidance}/shots.h5",
        mixup="results/guidance/{guidance}/mixup.h5",
    log:
        "results/logs/guidance/{guidance}.log",
    benchmark:
        "results/benchmarks/guide/{guidance}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        job=lambda wildcards: GRID.guidance_params(wildcards.guidance),
        stamp=stamp("guide"),
    script:
        "../workflow_scripts/guide.py"


rule adapt:
    input:
        unpack(adaptation_inputs),
    output:
        transfer="results/pose_sets/{pose_set}/transfer.safetensors",
        metrics="results/pose_sets/{pose_set}/adaptation.json",
        picture=report(
            "results/pose_sets/{pose_set}/adaptation.png",
            category="Adaptation",
            caption="../report/adaptation.rst",
            labels={"pose set": "{pose_set}"},
        ),
    log:
        "results/logs/pose_sets/{pose_set}_adaptation.log",
    benchmark:
        "results/benchmarks/adapt/{pose_set}.tsv"
    priority: 10
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=50,
        gpu=1,
    params:
        job=lambda wildcards: GRID.adaptation_params(wildcards.pose_set),
        stamp=stamp("adapt"),
        work="results/trainings/{pose_set}/adaptation",
    script:
        "../workflow_scripts/adapt.py"


rule sample:
    input:
        unpack(sampler_inputs),
        transfer="results/pose_sets/{pose_set}/transfer.safetensors",
    output:
        temp(SAMPLES) if SHARDS else SAMPLES,
    log:
        f"results/logs/pose_sets/{{pose_set}}_samples{SHARD}.log",
    benchmark:
        f"results/benchmarks/sample/{{pose_set}}{SHARD}.tsv"
    priority: 10
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=20,
        gpu=1,
    params:
        job=lambda wildcards: GRID.sample_params(wildcards.pose_set),
        stamp=stamp("sample"),
    script:
        "../workflow_scripts/sample.py"


if SHARDS:

    rule gather_samples:
        input:
            expand(SAMPLES, shard=SHARDS, allow_missing=True),
        output:
            "results/pose_sets/{pose_set}/samples.h5",
        log:
            "results/logs/pose_sets/{pose_set}_samples.log",
        benchmark:
            "results/benchmarks/gather_samples/{pose_set}.tsv"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=10,
        params:
            stamp=stamp("gather_samples"),
        script:
            "../workflow_scripts/gather_samples.py"


rule compose:
    input:
        unpack(annotation_set_inputs),
    output:
        "results/pose_sets/{pose_set}/poses.h5",
    log:
        "results/logs/pose_sets/{pose_set}_compose.log",
    benchmark:
        "results/benchmarks/compose/{pose_set}.tsv"
    # As early as it can be: a source with too few poses then shows while little has been trained.
    priority: 40
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        job=lambda wildcards: GRID.pose_set_params(wildcards.pose_set),
        stamp=composer_stamp,
    script:
        "../workflow_scripts/compose.py"


rule place:
    input:
        unpack(placing_inputs),
    output:
        "results/pose_sets/{pose_set}/placed.h5",
    log:
        "results/logs/pose_sets/{pose_set}_placed.log",
    benchmark:
        "results/benchmarks/place/{pose_set}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=15,
        gpu=1,
    params:
        job=lambda wildcards: GRID.placing_params(wildcards.pose_set),
        stamp=placer_stamp,
    script:
        "../workflow_scripts/place.py"
