"""The size of a cache of MPI-INF-3DHP's poses: `python benchmarks/cache_3dhp.py [poses] [cameras]`.

Writes annotation files of the original's lengths, 16 sequences of 131,592 frames in 14 cameras, with joints on a random walk, and
converts the poses of so many cameras, of which as many as asked for are kept. Prints seconds, the cache's size, and how many
times larger the videos are.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.io

from flexpose_core.datasets.mpi_inf_3dhp import CAMERAS, TRAINING_FRAMES, TRAINING_JOINTS
from flexpose_core.datasets.options import Mpi3dhpOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.stages.convert import convert_shard, gather_shards

VIDEO_BYTES = 25e9
"""The training set's, by the download script's `conf.ig`: "approx 25GB space … to download the complete training set"."""


def main(count: int = 121_000, cameras: int = 8) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, shard, cache = (Path(folder) / name for name in ("3dhp", "shard.h5", "train.h5"))
        write(root)
        options = Mpi3dhpOptions(root=str(root), held_out=0.0, cameras=(0, 1, 2, 4, 5, 6, 7, 8)[:cameras])
        start = time.perf_counter()
        convert_shard(options, "train", 0, 1, 0, shard)
        gather_shards("3dhp", "mpi-inf-3dhp", "train", count, 0, [shard], cache, Path(folder) / "card.json")
        seconds, size = time.perf_counter() - start, cache.stat().st_size
        frames = cameras * sum(TRAINING_FRAMES.values())
        print(f"{frames} frames read and {len(load_cache(cache))} poses kept in {seconds:.0f} s")
        print(
            f"{size / 1e6:.1f} MB, {size / count:.0f} bytes a pose; the videos are {VIDEO_BYTES / size:.0f} times larger"
        )


def write(root: Path) -> None:
    """Write annotations as the original's layout has them, people of about 600 pixels well inside the pictures."""
    random = np.random.default_rng(0)
    for (subject, sequence), length in TRAINING_FRAMES.items():
        annot2 = np.empty((CAMERAS, 1), object)
        for camera in range(CAMERAS):
            steps = random.normal(0, 2, (length, len(TRAINING_JOINTS), 2))
            walk = steps.cumsum(axis=0) % 400  # jumps at the edge, as no person does: harder to pack, if anything
            annot2[camera, 0] = (700 + random.uniform(0, 200, (1, len(TRAINING_JOINTS), 2)) + walk).reshape(length, -1)
        path = root / f"S{subject}/Seq{sequence}/annot.mat"
        path.parent.mkdir(parents=True)
        scipy.io.savemat(path, {"annot2": annot2})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
