"""How fast images come out of a cache: `python benchmarks/read_images.py [rows] [size]`.

Writes a cache of so many JPEG images with a background each, as conversion leaves it, and reads batches of 64 rows at random, an
image and its background each, as a detector does: from the file, which the system still holds in memory, and from memory. Prints
rows a second, the file's size, and the machine's matrix product rate beside them.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from render_skeletons import matmul_rate

from flexpose_core.poses import cache
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import BODY15

BATCH, READ = 64, 20_000
DISTINCT = 512


def main(rows: int = 100_000, size: int = 128) -> None:
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    # Blurred noise: JPEG bytes about as many as for a photograph.
    pictures = [
        cv2.GaussianBlur(random.integers(0, 256, (size, size, 3)).astype(np.uint8), (0, 0), 2.2)
        for _ in range(DISTINCT)
    ]
    pictures = [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in pictures]
    start = time.perf_counter()
    encoded = encode_images(pictures, "jpeg")
    seconds = time.perf_counter() - start
    print(f"encoding: {DISTINCT / seconds:.0f} images/s, {np.mean([len(data) for data in encoded]) / 1000:.1f} kB each")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.h5"
        start = time.perf_counter()
        cache.write_cache(path, batches(rows, encoded, random), BODY15, {})
        seconds = time.perf_counter() - start
        print(f"writing what is encoded: {rows} rows in {seconds:.1f} s, {path.stat().st_size / 1e6:.0f} MB")
        for name, limit in {"from the file": 0, "from memory": 1 << 40}.items():
            cache.IN_MEMORY = limit
            start = time.perf_counter()
            poses = cache.load_cache(path, images=True)
            opened = time.perf_counter() - start
            start = time.perf_counter()
            for _ in range(READ // BATCH):
                chosen = random.integers(0, rows, BATCH)
                poses.images[chosen], poses.backgrounds[poses.background[chosen]]
            seconds = time.perf_counter() - start
            print(f"{name}: {READ / seconds:.0f} rows/s at random, after {opened:.1f} s to open and verify")
    print(f"matrix product of this thread: {matmul_rate():.0f} GFLOP/s")


def batches(rows: int, encoded: np.ndarray, random: np.random.Generator):
    for first in range(0, rows, 1000):
        n = min(1000, rows - first)
        none = np.zeros(n, np.int32)
        yield PoseBatch(
            poses=np.zeros((n, len(BODY15), 2), np.float32),
            visibility=np.ones((n, len(BODY15)), np.uint8),
            clip=np.full(n, ""),
            subject=none,
            camera=none,
            sequence=none,
            frame=np.arange(first, first + n, dtype=np.int32),
            images=encoded[random.integers(0, DISTINCT, n)],
            backgrounds=encoded[random.integers(0, DISTINCT, n)],
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
