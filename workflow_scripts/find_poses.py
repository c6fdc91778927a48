from flexpose_core.stages.find_poses import find_poses
from flexpose_core.stages.reporting import reporting

job = snakemake.params.job
with reporting(snakemake.log[0], snakemake.threads):
    find_poses(
        job["device"],
        snakemake.input.detector,
        snakemake.input.images,
        snakemake.output.poses,
        snakemake.output.picture,
        job["seed"],
    )
