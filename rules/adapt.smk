"""From a source's prior and a few shots of the target to an annotation set."""


rule guide:
    input:
        lambda wildcards: f"results/data/{GRID.guidance_sets[wildcards.guidance].cell.target}/train.h5",
    output:
        shots="results/guidance/{guidance}/shots.h5",
        mixup="results/guidance/{guidance}/mixup.h5",
    log:
        "results/logs/guidance/{guidance}.log",
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=5,
    params:
        cell=lambda wildcards: GRID.guidance_params(wildcards.guidance),
        stamp=stamp("guide"),
    script:
        "../workflow_scripts/guide.py"


rule adapt:
    input:
        generator=of_pose_set("results/priors/{run.prior}/generator.safetensors"),
        regressor=of_pose_set("results/priors/{run.prior}/regressor.safetensors"),
        sources=lambda wildcards: expand(
            "results/data/{dataset}/train.h5",
            dataset=GRID.pose_sets[wildcards.pose_set].cell.sources,
        ),
        shots=of_pose_set("results/guidance/{run.guidance}/shots.h5"),
        mixup=of_pose_set("results/guidance/{run.guidance}/mixup.h5"),
        discriminator=discriminator_of_pose_set,
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
        mem_mb=memory(2000),
        runtime=60,
        gpu=1,
    params:
        cell=lambda wildcards: GRID.adaptation_params(wildcards.pose_set),
        stamp=stamp("adapt"),
        work="results/trainings/{pose_set}/adaptation",
    script:
        "../workflow_scripts/adapt.py"


rule sample_shard:
    input:
        generator=of_pose_set("results/priors/{run.prior}/generator.safetensors"),
        regressor=of_pose_set("results/priors/{run.prior}/regressor.safetensors"),
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
        mem_mb=memory(1500),
        runtime=60,
        gpu=1,
    params:
        cell=lambda wildcards: GRID.sample_params(wildcards.pose_set),
        stamp=stamp("sample"),
    script:
        "../workflow_scripts/sample.py"


rule gather_samples:
    input:
        lambda wildcards: expand(
            "results/pose_sets/{pose_set}/samples_{shard}.h5",
            pose_set=wildcards.pose_set,
            shard=range(GRID.config.sample_shards),
        ),
    output:
        "results/pose_sets/{pose_set}/samples.h5",
    log:
        "results/logs/pose_sets/{pose_set}_samples.log",
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        stamp=stamp("sample"),
    script:
        "../workflow_scripts/gather_samples.py"


rule compose:
    input:
        unpack(annotation_set_inputs),
    output:
        "results/pose_sets/{pose_set}/poses.h5",
    log:
        "results/logs/pose_sets/{pose_set}_compose.log",
    wildcard_constraints:
        pose_set=names(name for name in GRID.pose_sets if name not in GRID.baselines),
    # As early as it can be: a source with too few poses then shows while little has been trained.
    priority: 40
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        cell=lambda wildcards: GRID.pose_set_params(wildcards.pose_set),
        stamp=stamp("compose"),
    script:
        "../workflow_scripts/compose.py"


rule compose_baseline:
    input:
        unpack(baseline_inputs),
    output:
        "results/pose_sets/{pose_set}/poses.h5",
    log:
        "results/logs/pose_sets/{pose_set}_compose.log",
    wildcard_constraints:
        pose_set=names(GRID.baselines),
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        cell=lambda wildcards: GRID.baseline_params(wildcards.pose_set),
        stamp=stamp("compose_baseline"),
    script:
        "../workflow_scripts/compose_baseline.py"
