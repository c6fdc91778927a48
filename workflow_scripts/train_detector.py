import msgspec

from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.stages.reporting import reporting
from flexpose_core.stages.train_animated import train_animated
from flexpose_core.stages.train_detector import train_detector

job, files = snakemake.params.job, snakemake.input
options, seed = msgspec.convert(job["options"], DetectorOptions), job["seed"]
work, out = snakemake.params.work, snakemake.output[0]
with reporting(snakemake.log[0], snakemake.threads, snakemake.params.work):
    if "animation" in job:
        animation, renewed = msgspec.convert(job["animation"], AnimationOptions), job["supervision"] == "renewed"
        placed = files.get("placed") or None
        train_animated(
            options,
            animation,
            files.images,
            files.poses,
            files.eta,
            files.shots,
            out,
            seed,
            work,
            renewed,
            placed_cache=placed,
        )
    else:
        shots = files.get("shots") or None
        train_detector(
            options, files.images, files.poses, files.eta, out, seed, work, supervision=job["supervision"], shots=shots
        )
