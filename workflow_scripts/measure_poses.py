import os

# The arrays are NumPy's; without this, measuring imports torch as well, which takes longer.
os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")

from flexpose_core.stages.measure_poses import measure_poses
from flexpose_core.stages.reporting import reporting

with reporting(snakemake.log[0], snakemake.threads):
    measure_poses(
        snakemake.input.poses,
        snakemake.input.train,
        snakemake.input.val,
        snakemake.output[0],
        snakemake.input.get("shots") or None,
        int(snakemake.wildcards.shard),
        snakemake.params.shards,
    )
