import msgspec

from flexpose_core.options.baselines import BaselineOptions
from flexpose_core.stages.compose import compose_adapted, compose_source, compose_target
from flexpose_core.stages.compose_baseline import compose_baseline
from flexpose_core.stages.compose_chosen import compose_chosen
from flexpose_core.stages.reporting import reporting

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    given, size, take_all, out = snakemake.input, job["size"], job["take_all_if_short"], snakemake.output[0]
    if job["poses"] == "target":
        compose_target(given.target, size, take_all, job["seed"], out)
    elif job["poses"] == "source":
        compose_source(given.sources, given.mixup, size, take_all, job["seed"], out)
    elif job["poses"] == "adapted":
        compose_adapted(given.samples, given.mixup, size, given.get("sources"), out)
    elif job["poses"] == "chosen":
        compose_chosen(given.pool, given.found, given.mixup, size, job["seed"], out)
    else:
        options = msgspec.convert(job["options"], BaselineOptions)
        shots, mixup = given.get("shots"), given.get("mixup")
        compose_baseline(options, given.get("sources", []), shots, mixup, size, take_all, job["seed"], out)
