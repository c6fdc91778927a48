import msgspec

from flexpose_core.options.adaptation import AdaptationOptions, GuidanceOptions
from flexpose_core.stages.adapt import adapt
from flexpose_core.stages.reporting import reporting, state_origin

job = snakemake.params.job
guidance = job["guidance"]
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    adapt(
        msgspec.convert(job["options"], AdaptationOptions),
        snakemake.input.generator,
        snakemake.input.regressor,
        snakemake.input.sources,
        snakemake.input.shots,
        snakemake.input.mixup,
        snakemake.output.transfer,
        snakemake.output.metrics,
        snakemake.output.picture,
        job["seed"],
        snakemake.params.work,
        discriminator_weights=snakemake.input.get("discriminator") or None,
        guidance_options=None if guidance is None else msgspec.convert(guidance, GuidanceOptions),
    )
    state_origin(snakemake.output.metrics, snakemake.params.stamp, job, job["seed"])
