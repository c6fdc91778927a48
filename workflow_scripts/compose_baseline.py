import msgspec

from flexpose_core.options.baselines import BaselineOptions
from flexpose_core.stages.compose_baseline import compose_baseline
from flexpose_core.stages.reporting import reporting

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    compose_baseline(
        msgspec.convert(cell["options"], BaselineOptions),
        snakemake.input.get("sources", []),
        snakemake.input.get("shots"),
        snakemake.input.get("mixup"),
        cell["size"],
        cell["take_all_if_short"],
        cell["seed"],
        snakemake.output[0],
    )
