import msgspec

from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.stages.guide import guide
from flexpose_core.stages.reporting import reporting

cell = snakemake.params.cell
with reporting(snakemake.log[0], snakemake.threads):
    guide(
        msgspec.convert(cell["options"], GuidanceOptions),
        snakemake.input[0],
        cell["shots"],
        cell["seed"],
        snakemake.output.shots,
        snakemake.output.mixup,
    )
