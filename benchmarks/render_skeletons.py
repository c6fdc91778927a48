"""How long α takes: `python benchmarks/render_skeletons.py [count] [size]`, on one thread.

Prints seconds and images a second for the drawn and the differentiable form, and the machine's matrix product rate beside them.
"""

import sys
import time

import cv2
import numpy as np
import torch

from flexpose_core.rendering import differentiable, drawn
from flexpose_core.skeletons import BODY15

BATCH = 1000


def main(count: int = 100_000, size: int = 64) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    poses = np.random.default_rng(0).random((BATCH, len(BODY15), 2), np.float32)
    seconds = {}
    for channels in (3, 1):
        start = time.perf_counter()
        for _ in range(count // BATCH):
            drawn.draw_lines(poses, BODY15, size, channels)
        seconds[f"drawn, {channels} channels"] = time.perf_counter() - start
    some = torch.from_numpy(poses[:100])
    start = time.perf_counter()
    for _ in range(10):
        differentiable.draw_lines(some, BODY15, size)
    seconds["differentiable, 3 channels"] = (time.perf_counter() - start) * count / 1000
    for name, value in seconds.items():
        print(f"{name}: {count} of {size} px in {value:.2f} s, {count / value:.0f}/s")
    print(f"matrix product of this thread: {matmul_rate():.0f} GFLOP/s")


def matmul_rate(n: int = 1024, times: int = 10) -> float:
    a = torch.randn(n, n)
    a @ a
    start = time.perf_counter()
    for _ in range(times):
        a @ a
    return 2 * n**3 * times / (time.perf_counter() - start) / 1e9


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
