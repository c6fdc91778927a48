import msgspec

from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.train_detector import train_detector

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    train_detector(
        msgspec.convert(cell["options"], DetectorOptions),
        snakemake.input.images,
        snakemake.input.poses,
        snakemake.input.eta,
        snakemake.output[0],
        cell["seed"],
        snakemake.params.work,
        supervision=cell["supervision"],
        shots=snakemake.input.get("shots") or None,
    )
