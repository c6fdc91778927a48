"""Conversion of many frames through the workflow: `python benchmarks/convert_surreal.py [frames] [cores]`.

Writes SURREAL's annotation files for so many frames (clips of 100) and converts them by Snakemake in eight shards. Prints
seconds and the peak memory of any job for a tenth of the frames and for all of them, and the size of the cache.
"""

import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import yaml

ROOT = Path(__file__).parents[1]
FRAMES_A_CLIP, CLIPS_A_SEQUENCE = 100, 5


def main(frames: int = 1_000_000, cores: int = 2) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in (frames // 10, frames):
            root = Path(folder) / f"surreal{part}"
            write(root, part)
            seconds, memory, size, poses = convert(Path(folder) / f"run{part}", root, cores)
            print(
                f"{part} frames: {seconds:.0f} s on {cores} cores, no job above {memory:.0f} MB, "
                f"{poses} poses in {size / 1e6:.0f} MB"
            )
            shutil.rmtree(root)


def write(root: Path, frames: int) -> None:
    """Write clips of joints on a random walk within the picture."""
    random = np.random.default_rng(0)
    names = ["train"] * (frames // FRAMES_A_CLIP) + ["val"]
    for number, split in enumerate(names):
        sequence = f"{number // CLIPS_A_SEQUENCE:05d}_01"
        path = root / f"data/cmu/{split}/run{number % 3}/{sequence}/{sequence}_c{number:04d}_info.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        joints = (
            random.uniform([[[60]], [[50]]], [[[260]], [[190]]], (2, 24, 1))
            + random.normal(0, 2, (2, 24, FRAMES_A_CLIP)).cumsum(axis=2) / 4
        )
        stored = {
            "joints2D": np.round(joints).astype(np.float32),
            "joints3D": np.zeros((3, 24, FRAMES_A_CLIP), np.float32),
        }
        stored |= {
            "pose": np.zeros((72, FRAMES_A_CLIP), np.float32),
            "shape": np.zeros((10, FRAMES_A_CLIP), np.float32),
        }
        scipy.io.savemat(path, stored)


def convert(run: Path, root: Path, cores: int) -> tuple[float, float, int, int]:
    """Return seconds, the largest job's peak memory in MB, the cache's bytes and its poses."""
    run.mkdir()
    config = run / "surreal.yaml"
    config.write_text(yaml.safe_dump({"datasets": {"surreal": {"reader": "surreal", "root": str(root), "shards": 8}}}))
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores)]
    command += ["--directory", str(run), "results/data/surreal/train.h5"]
    command += ["--configfile", str(ROOT / "config.yaml"), str(config)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    seconds = time.perf_counter() - start
    peaks = []
    for path in (run / "results/benchmarks/convert").glob("*.tsv"):
        with path.open() as file:
            peaks += [float(row["max_rss"]) for row in csv.DictReader(file, delimiter="\t")]
    cache = run / "results/data/surreal/train.h5"
    with h5py.File(cache) as file:
        return seconds, max(peaks), cache.stat().st_size, int(file.attrs["count"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
