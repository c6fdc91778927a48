from flexpose_core.stages.explorer import explore
from flexpose_core.stages.reporting import reporting

files = snakemake.input
with reporting(snakemake.log[0], snakemake.threads):
    explore(
        snakemake.params.about,
        files.template,
        files.generator,
        files.regressor,
        files.transfer,
        files.shots,
        files.detector,
        files.test,
        0,
        snakemake.output[0],
        snakemake.params.joints,
        snakemake.params.sampling["device"],
        snakemake.params.sampling["mixed_precision"],
    )
