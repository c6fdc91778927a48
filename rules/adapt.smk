"""From a source's prior and a few shots of the target to an annotation set."""


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
        cell=lambda wildcards: GRID.guidance_params(wildcards.guidance),
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
        cell=lambda wildcards: GRID.adaptation_params(wildcards.pose_set),
        stamp=stamp("adapt"),
        work="results/trainings/{pose_set}/adaptation",
    script:
        "../workflow_scripts/adapt.py"


rule sample_shard:
    input:
        unpack(sampler_inputs),
        transfer="results/pose_sets/{pose_set}/transfer.safetensors",
    output:
        temp("results/pose_sets/{pose_set}/samples_{shard}.h5"),
    log:
        "results/logs/pose_sets/{pose_set}_samples_{shard}.log",
    benchmark:
        "results/benchmarks/sample/{pose_set}_{shard}.tsv"
    priority: 10
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=20,
        gpu=1,
    params:
        cell=lambda wildcards: GRID.sample_params(wildcards.pose_set),
        stamp=stamp("sample"),
    script:
        "../workflow_scripts/sample.py"


rule gather_samples:
    input:
        [f"results/pose_sets/{{pose_set}}/samples_{shard}.h5" for shard in range(GRID.config.sample_shards)],
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
        cell=lambda wildcards: GRID.pose_set_params(wildcards.pose_set),
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
        cell=lambda wildcards: GRID.placing_params(wildcards.pose_set),
        stamp=placer_stamp,
    script:
        "../workflow_scripts/place.py"
