"""Penn Action from its label files: `python benchmarks/read_penn_action.py LABELS`, an archive or the folder above `labels`.

Reads all three splits on one core, without pictures. Prints seconds, and that every frame is kept or counted as dropped.
"""

import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

from render_skeletons import matmul_rate

from flexpose_core.datasets import open_reader
from flexpose_core.datasets.options import PennActionOptions


def main(place: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(place)
        if root.is_file():
            with tarfile.open(root) as archive:
                archive.extractall(folder, filter="data")
            root = Path(folder)
        start, used = time.perf_counter(), time.process_time()
        reader = open_reader(PennActionOptions(root=str(root)), 0)
        clips, kept, dropped = 0, 0, Counter[str]()
        for split in reader.splits():
            units = reader.units(split)
            clips += len(units)
            yielded = sum(len(batch) for batch in reader.read(split, units))
            counts = reader.counts(split)
            assert yielded == counts["kept"]
            kept += yielded
            dropped.update(counts["dropped"])
        seconds, used = time.perf_counter() - start, time.process_time() - used
    print(f"{clips} clips, {kept + dropped.total()} frames: {kept} kept, dropped {dict(dropped)}")
    print(f"{seconds:.1f} s, {used:.1f} s of processor time")
    print(f"matrix product of this thread: {matmul_rate():.0f} GFLOP/s")


if __name__ == "__main__":
    main(sys.argv[1])
