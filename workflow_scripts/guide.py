import msgspec

from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.stages.guide import guide
from flexpose_core.stages.reporting import reporting

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    guide(
        msgspec.convert(job["options"], GuidanceOptions),
        snakemake.input[0],
        job["shots"],
        job["seed"],
        snakemake.output.shots,
        snakemake.output.mixup,
    )
