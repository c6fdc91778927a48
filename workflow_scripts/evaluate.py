import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.evaluate import evaluate
from flexpose_core.stages.reporting import reporting, state_origin

with reporting(snakemake.log[0], snakemake.threads):
    evaluate(
        msgspec.convert(snakemake.params.config["detector"], DetectorOptions),
        snakemake.params.job,
        snakemake.input.detector,
        snakemake.input.poses,
        snakemake.input.train,
        snakemake.input.val,
        snakemake.input.test,
        snakemake.output.metrics,
        snakemake.output.picture,
        snakemake.input.get("shots") or None,
        snakemake.input.get("adaptation") or None,
        snakemake.input.get("measures", []),
    )
    state_origin(
        snakemake.output.metrics, snakemake.params.stamp, snakemake.params.config, snakemake.params.job["seed"]
    )
