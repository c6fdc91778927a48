"""What is learnt from the sources alone: β and the generator g_s, one of each a set of sources and channel count.

The longest chain of jobs starts here, and so first.
"""


rule train_regressor:
    input:
        unpack(prior_inputs),
    output:
        weights="results/priors/{prior}/regressor.safetensors",
        metrics="results/priors/{prior}/regressor.json",
    log:
        "results/logs/priors/{prior}_regressor.log",
    benchmark:
        "results/benchmarks/train_regressor/{prior}.tsv"
    priority: 30
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
        gpu=1,
    params:
        job=lambda wildcards: GRID.regressor_params(wildcards.prior),
        stamp=stamp("train_regressor"),
        work="results/trainings/{prior}/regressor",
    script:
        "../workflow_scripts/train_regressor.py"


rule train_generator:
    input:
        unpack(prior_inputs),
        regressor="results/priors/{prior}/regressor.safetensors",
    output:
        weights="results/priors/{prior}/generator.safetensors",
        discriminator="results/priors/{prior}/discriminator.safetensors",
        metrics="results/priors/{prior}/generator.json",
        picture=report(
            "results/priors/{prior}/generator.png",
            category="Priors",
            caption="../report/generator.rst",
            labels={"prior": "{prior}"},
        ),
    log:
        "results/logs/priors/{prior}_generator.log",
    benchmark:
        "results/benchmarks/train_generator/{prior}.tsv"
    priority: 20
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=40,
        gpu=1,
    params:
        job=lambda wildcards: GRID.generator_params(wildcards.prior),
        stamp=stamp("train_generator"),
        work="results/trainings/{prior}/generator",
    script:
        "../workflow_scripts/train_generator.py"
