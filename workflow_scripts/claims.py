import msgspec

from flexpose_core.options.claims import ClaimOptions
from flexpose_core.stages.claims import claims
from flexpose_core.stages.reporting import reporting

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    claims(
        dict(msgspec.convert(job["claims"], list[tuple[str, ClaimOptions]])),
        snakemake.input.metrics,
        dict(zip(snakemake.input.adaptations, map(tuple, job["adaptations"]), strict=True)),
        {measure: list(map(tuple, runs)) for measure, runs in job["expected"].items()},
        snakemake.output.csv,
        snakemake.output.markdown,
    )
