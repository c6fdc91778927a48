import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.reporting import reporting, state_origin
from flexpose_core.stages.train_detector import pretrain_eta

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    pretrain_eta(
        msgspec.convert(cell["options"], DetectorOptions),
        snakemake.input[0],
        snakemake.output.weights,
        snakemake.output.metrics,
        cell["seed"],
        snakemake.params.work,
    )
    state_origin(snakemake.output.metrics, snakemake.params.stamp, cell, cell["seed"])
