"""Raw datasets to pose caches, cards and contact sheets."""


rule convert:
    output:
        cache="results/data/{dataset}/{split}.h5",
        card="results/data/{dataset}/{split}.card.json",
    log:
        "results/logs/data/{dataset}_{split}.log",
    benchmark:
        "results/benchmarks/convert/{dataset}_{split}.tsv"
    wildcard_constraints:
        dataset=names(dataset for dataset in DATASETS if not GRID.in_shards(dataset)),
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=20,
    params:
        job=lambda wildcards: GRID.drawn_params(wildcards.dataset, wildcards.split),
        stamp=reader_stamp,
    script:
        "../workflow_scripts/convert.py"


rule convert_shard:
    input:
        annotation_files,
    output:
        temp("results/data/{dataset}/{split}_shard{shard}.h5"),
    log:
        "results/logs/data/{dataset}_{split}_shard{shard}.log",
    benchmark:
        "results/benchmarks/convert/{dataset}_{split}_shard{shard}.tsv"
    wildcard_constraints:
        dataset=names(dataset for dataset in DATASETS if GRID.in_shards(dataset)),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=240,
    params:
        job=lambda wildcards: GRID.shard_params(wildcards.dataset, wildcards.split),
        shards=lambda wildcards: GRID.shards(wildcards.dataset),
        stamp=reader_stamp,
    script:
        "../workflow_scripts/convert_shard.py"


rule gather_shards:
    input:
        lambda wildcards: expand(
            "results/data/{dataset}/{split}_shard{shard}.h5",
            dataset=wildcards.dataset,
            split=wildcards.split,
            shard=range(GRID.shards(wildcards.dataset)),
        ),
    output:
        cache="results/data/{dataset}/{split}.h5",
        card="results/data/{dataset}/{split}.card.json",
    log:
        "results/logs/data/{dataset}_{split}.log",
    benchmark:
        "results/benchmarks/convert/{dataset}_{split}_gather.tsv"
    wildcard_constraints:
        dataset=names(dataset for dataset in DATASETS if GRID.in_shards(dataset)),
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=60,
    params:
        job=lambda wildcards: GRID.gather_params(wildcards.dataset, wildcards.split),
        stamp=stamp("convert"),
    script:
        "../workflow_scripts/gather_shards.py"


rule contact_sheet:
    input:
        "results/data/{dataset}/train.h5",
    output:
        report(
            "results/data/{dataset}/contact_sheet.png",
            category="Data",
            caption="../report/contact_sheet.rst",
            labels={"dataset": "{dataset}"},
        ),
    log:
        "results/logs/data/{dataset}_contact_sheet.log",
    benchmark:
        "results/benchmarks/contact_sheet/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        stamp=stamp("contact_sheet"),
    script:
        "../workflow_scripts/contact_sheet.py"


rule distances:
    input:
        targets=target_caches("train"),
        floors=target_caches("val"),
        sources=source_caches(),
    output:
        report(
            "results/data/distances.csv",
            category="Data",
            caption="../report/distances.rst",
            labels={"dataset": "all, compared"},
        ),
    log:
        "results/logs/data/distances.log",
    benchmark:
        "results/benchmarks/distances.tsv"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        stamp=stamp("compare_datasets"),
    script:
        "../workflow_scripts/compare_datasets.py"
