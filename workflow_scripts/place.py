import msgspec

from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.reporting import reporting

cell, given, out = snakemake.params.cell, snakemake.input, snakemake.output[0]
# Of the two only the one that is used: the source's own poses are placed without torch, which takes seconds to import.
if "options" in cell:
    from flexpose_core.stages.place_samples import place_samples
else:
    from flexpose_core.stages.place_source import place_source

with reporting(snakemake.log[0], snakemake.threads):
    alignment = msgspec.convert(cell["alignment"], AlignmentOptions)
    if "options" in cell:
        sampling = msgspec.convert(cell["options"], SampleOptions)
        weights = given.generator, given.regressor
        place_samples(alignment, sampling, *weights, given.shots, given.mixup, out, cell["seed"], cell["joints"])
    else:
        place_source(alignment, given.sources, given.shots, given.mixup, out, cell["seed"])
