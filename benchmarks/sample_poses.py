"""Time, memory and disk of sampling against the number of poses: `python benchmarks/sample_poses.py RESULTS [sizes …]`.

Samples the first adapted pose set of a results folder anew, in shards that are then gathered, each size in a process of its own and
on one thread. The sizes take turns, a shard each, so that what else the machine does meets them all. Prints CPU seconds, the
process's peak memory and the bytes of the gathered file, the straight line through the seconds, how far each lies off it, and what
the line says of ten million.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from flexpose_core.allocation import keep_freed_memory
from flexpose_core.options.generator import SampleOptions
from flexpose_core.stages.gather_samples import gather
from flexpose_core.stages.sample import sample_shard

SIZES = (125_000, 250_000, 500_000, 1_000_000)
SHARDS = 20


def main(results: Path, sizes: list[int]) -> None:
    transfer = sorted(results.glob("pose_sets/*-flexpose_s0/transfer.safetensors"))[0]
    # PRIOR_c3 of TARGET-PRIOR-flexpose_s0, as the default configuration names its cells.
    prior = results / "priors" / f"{transfer.parent.name.split('-')[1]}_c3"
    weights = (prior / "generator.safetensors", prior / "regressor.safetensors", transfer)
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    pools = {count: context.Pool(1, as_in_a_job) for count in sizes}
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / str(count) for count in sizes}
        spent = dict.fromkeys(sizes, 0.0)
        for shard in range(SHARDS):
            for count, pool in pools.items():
                spent[count] += pool.apply(sample, (weights, count, shard, folders[count]))
            print(f"shard {shard + 1} of {SHARDS}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        print(f"{transfer.parent.name}, {SHARDS} shards\n")
        print("| poses | CPU, s | of it gathering, s | ms a pose | peak MB | MB on disk |\n|---|---|---|---|---|---|")
        for count, pool in pools.items():
            gathering, peak, size = pool.apply(gathered, (folders[count],))
            spent[count] += gathering
            figures = (
                f"{spent[count]:.0f} | {gathering:.1f} | {spent[count] / count * 1e3:.3f} | {peak:.0f} | {size:.1f}"
            )
            print(f"| {count:,} | {figures} |")
    if len(sizes) > 1:
        slope, start = np.polyfit(sizes, [spent[count] for count in sizes], 1)
        off = [100 * (spent[count] / (start + slope * count) - 1) for count in sizes]
        print(f"\n{start:.1f} s + {slope * 1e3:.3f} ms a pose; off the line by {', '.join(f'{o:+.1f} %' for o in off)}")
        print(f"ten million on this line: {(start + slope * 1e7) / 3600:.2f} h")


def as_in_a_job() -> None:
    """Set up a process as `stages.reporting` does."""
    torch.set_num_threads(1)
    keep_freed_memory()


def sample(weights: tuple[Path, Path, Path], count: int, shard: int, folder: Path) -> float:
    """Write a shard; return the CPU seconds that it took."""
    start = time.process_time()
    sample_shard(SampleOptions(device="cpu"), *weights, count, shard, SHARDS, folder / f"{shard}.h5", seed=0)
    return time.process_time() - start


def gathered(folder: Path) -> tuple[float, float, float]:
    """Gather the shards; return the CPU seconds that it took, the process's peak memory in MB and the file's size in MB."""
    start = time.process_time()
    out = folder / "samples.h5"
    gather([folder / f"{shard}.h5" for shard in range(SHARDS)], out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return time.process_time() - start, peak, out.stat().st_size / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]] or list(SIZES))
