import msgspec

from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.place import place_samples, place_source
from flexpose_core.stages.reporting import reporting

cell, given, out = snakemake.params.cell, snakemake.input, snakemake.output[0]
with reporting(snakemake.log[0], snakemake.threads):
    if "options" in cell:
        options = msgspec.convert(cell["options"], SampleOptions)
        place_samples(options, given.generator, given.regressor, given.shots, given.mixup, out, cell["seed"])
    else:
        place_source(given.sources, given.shots, given.mixup, out, cell["seed"])
