import msgspec

from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.reporting import reporting

job, given, out = snakemake.params.job, snakemake.input, snakemake.output[0]
# Of the two only the one that is used: the source's own poses are placed without torch, which takes seconds to import.
if "options" in job:
    from flexpose_core.stages.place_samples import place_samples
else:
    from flexpose_core.stages.place_source import place_source

with reporting(snakemake.log[0], snakemake.threads):
    alignment = msgspec.convert(job["alignment"], AlignmentOptions)
    if "options" in job:
        sampling = msgspec.convert(job["options"], SampleOptions)
        weights = given.generator, given.regressor
        place_samples(alignment, sampling, *weights, given.shots, given.mixup, out, job["seed"], job["joints"])
    else:
        place_source(alignment, given.sources, given.shots, given.mixup, out, job["seed"])
