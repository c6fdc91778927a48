"""How long Snakemake plans a grid of so many cells: `python benchmarks/plan_grid.py [--profile] [cells …] [-- …]`.

Plans one table of so many cells, four methods on each of many pairs of target and sources, over the default configuration and in
an empty folder. Prints jobs, CPU and wall seconds and peak memory, and with `--profile` where the time goes; further arguments
for Snakemake, such as `--batch table=1/10`, follow `--`.
"""

import argparse
import math
import os
import pstats
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
METHODS = ("direct", "flexpose-paper", "flexpose", "affine")
SOURCES = ("everyday", "studio", "synthetic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=int, nargs="*", default=[1000])
    parser.add_argument("--profile", action="store_true")
    own, more = sys.argv[1:], []
    if "--" in own:
        place = own.index("--")
        own, more = own[:place], own[place + 1 :]
    arguments = parser.parse_args(own)
    for cells in arguments.cells:
        with tempfile.TemporaryDirectory() as folder:
            plan(Path(folder), cells, arguments.profile, more)


def many_cells(cells: int) -> dict:
    """Return a configuration with a table "many" of that many cells, to be laid over the default one."""
    pairs = {
        f"pair{number}": {
            "target": ("people-upright", "people-all")[number % 2],
            "sources": [SOURCES[number % 3]],
            "annotation_set_size": 33000,
            # What sets the pairs of a target and a source apart.
            "shots": 12 + number // 6,
        }
        for number in range(math.ceil(cells / len(METHODS)))
    }
    grid = {"pairs": pairs, "methods": list(METHODS)}
    return {
        "grids": {"many": grid},
        "tables": {"many": {"grids": ["many"], "pck_rho": {"people-upright": 0.1, "people-all": 0.2}}},
    }


def plan(folder: Path, cells: int, profile: bool, more: list[str]) -> None:
    """Plan in that folder, and print what it took."""
    (folder / "many.yaml").write_text(yaml.safe_dump(many_cells(cells)))
    command = [sys.executable, *(["-m", "cProfile", "-o", "profile"] if profile else [])]
    command += ["-m", "snakemake", "--dry-run", "--quiet", "rules", "--directory", ".", "results/many.csv", *more]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "config.yaml"), "many.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    with open(folder / "said.txt", "w+") as said:
        running = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        # Of this child alone; the peak of all children never falls.
        _, status, took = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    wall, text = time.perf_counter() - start, (folder / "said.txt").read_text()
    if running.returncode:
        sys.exit(text)
    spent = took.ru_utime + took.ru_stime
    jobs = re.search(r"^total +(\d+)", text, re.MULTILINE)
    print(
        f"{cells} cells, {jobs[1] if jobs else '?'} jobs: {spent:.1f} s CPU, {wall:.1f} s wall, {took.ru_maxrss / 1e3:.0f} MB",
        flush=True,
    )
    if profile:
        pstats.Stats(str(folder / "profile")).sort_stats("tottime").print_stats(25)
        pstats.Stats(str(folder / "profile")).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
