"""Time, memory and disk of sampling against the number of poses: `python benchmarks/sample_poses.py RESULTS [sizes …]`.

Samples the first adapted pose set of a results folder anew, in four shards that are then gathered, for each size in a process of
its own and on one thread. Prints CPU seconds, the process's peak memory and the bytes of the gathered file, the straight line
through the seconds, how far each lies off it, and what the line says of ten million.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.sample import gather, sample_shard

SIZES = (125_000, 250_000, 500_000, 1_000_000)
SHARDS = 4


def main(results: Path, sizes: list[int]) -> None:
    transfer = sorted(results.glob("pose_sets/*-flexpose_s0/transfer.safetensors"))[0]
    # PRIOR_c3 of TARGET-PRIOR-flexpose_s0, as the default configuration names its cells.
    prior = results / "priors" / f"{transfer.parent.name.split('-')[1]}_c3"
    print(
        f"{transfer.parent.name}, {SHARDS} shards\n\n| poses | CPU s | gathering, s | ms a pose | peak MB | MB on disk |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    seconds = []
    for count in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            spent, gathering, peak, size = pool.apply(measure, (prior, transfer, count))
        seconds.append(spent)
        print(
            f"| {count:,} | {spent:.0f} | {gathering:.1f} | {spent / count * 1e3:.3f} | {peak:.0f} | {size:.1f} |",
            flush=True,
        )
    if len(sizes) > 1:
        slope, start = np.polyfit(sizes, seconds, 1)
        off = [100 * (spent / (start + slope * count) - 1) for count, spent in zip(sizes, seconds, strict=True)]
        print(f"\n{start:.1f} s + {slope * 1e3:.3f} ms a pose; off the line by {', '.join(f'{o:+.1f} %' for o in off)}")
        print(f"ten million on this line: {(start + slope * 1e7) / 3600:.2f} h")


def measure(prior: Path, transfer: Path, count: int) -> tuple[float, float, float, float]:
    """Return CPU seconds in all and of gathering, peak memory in MB and the file's size in MB."""
    torch.set_num_threads(1)
    weights = (prior / "generator.safetensors", prior / "regressor.safetensors", transfer)
    with tempfile.TemporaryDirectory() as folder:
        shards = [Path(folder) / f"{shard}.h5" for shard in range(SHARDS)]
        out = Path(folder) / "samples.h5"
        start = time.process_time()
        for shard, path in enumerate(shards):
            sample_shard(SampleOptions(device="cpu"), *weights, count, shard, SHARDS, path, seed=0)
        sampled = time.process_time()
        gather(shards, out)
        end = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        return end - start, end - sampled, peak, out.stat().st_size / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]] or list(SIZES))
