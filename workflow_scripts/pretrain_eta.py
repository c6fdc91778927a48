import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.reporting import reporting, state_origin
from flexpose_core.stages.train_detector import pretrain_eta

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    pretrain_eta(
        msgspec.convert(job["options"], DetectorOptions),
        snakemake.input[0],
        snakemake.output.weights,
        snakemake.output.metrics,
        job["seed"],
        snakemake.params.work,
    )
    state_origin(snakemake.output.metrics, snakemake.params.stamp, job, job["seed"])
