import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.evaluate import evaluate
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    evaluate(
        msgspec.convert(snakemake.params.detector["options"], DetectorOptions),
        snakemake.params.cell,
        snakemake.input.detector,
        snakemake.input.poses,
        snakemake.input.train,
        snakemake.input.val,
        snakemake.input.test,
        snakemake.output.metrics,
        snakemake.output.picture,
        snakemake.input.get("shots") or None,
        snakemake.input.get("adaptation") or None,
    )
