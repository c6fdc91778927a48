"""What each rule cost in finished runs, beside what it asks a cluster for: `python tools/rule_costs.py RESULTS …`.

Reads the benchmarks of results folders, and prints for every rule its jobs, the largest wall time, CPU time and memory (resident
set) of one, and what to ask for after them: `FACTOR` times the wall time in steps of five minutes, at least `LEAST_MINUTES`; and
`MEMORY_FACTOR` times the memory and what a cluster's job holds besides, in steps of 500 MB. Exit status 1 if a rule asks for less.
"""

import csv
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

FACTOR, LEAST_MINUTES = 5, 10
MEMORY_FACTOR, BESIDES_MB = 1.5, 400
RULES = Path(__file__).parents[1] / "rules"


def main(folders: list[Path]) -> int:
    benchmarks, stated = rule_benchmarks(), rule_resources()
    costs = defaultdict(list)
    for rule, pattern in benchmarks.items():
        for folder in folders:
            for path in folder.glob(pattern):
                # `convert` and its shards share a folder: a shard's name says so.
                if benchmark_rule(path, benchmarks, folder) == rule:
                    costs[rule] += read(path)
    print("| rule | jobs | wall, s | CPU, s | memory, MB | to ask for: min, MB | asks for: min, MB |")
    print("|---|---|---|---|---|---|---|")
    short = False
    for rule, jobs in sorted(costs.items()):
        wall, cpu, memory = (max(column) for column in zip(*jobs, strict=True))
        wanted = advised(wall, memory)
        asked = stated[rule]
        short |= asked[0] < wanted[0] or asked[1] < wanted[1]
        print(
            f"| {rule} | {len(jobs)} | {wall:.0f} | {cpu:.0f} | {memory:.0f} "
            f"| {wanted[0]}, {wanted[1]} | {asked[0]}, {asked[1]} |"
        )
    return int(short)


def advised(wall: float, memory: float) -> tuple[int, int]:
    """Return minutes and MB to ask for, after seconds and MB."""
    minutes = max(LEAST_MINUTES, 5 * math.ceil(FACTOR * wall / 60 / 5))
    return minutes, 500 * math.ceil((MEMORY_FACTOR * memory + BESIDES_MB) / 500)


def rule_texts() -> dict[str, str]:
    """Return the text of each rule by its name."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.smk")))
    return {body.split(":", 1)[0]: body for body in re.split(r"^ *rule ", text, flags=re.MULTILINE)[1:]}


def rule_benchmarks() -> dict[str, str]:
    """Return a pattern, within a results folder, of the benchmark files of each rule that has any."""
    found = {}
    for rule, text in rule_texts().items():
        stated = re.search(r'benchmark:\s*f?"([^"]+)"', text)
        if stated:
            found[rule] = re.sub(r"(\{+\w+\}+)+", "*", stated[1].removeprefix("results/"))
    return found


def rule_resources() -> dict[str, tuple[int, int]]:
    """Return the minutes and MB that each rule states for its first attempt."""
    found = {}
    for rule, text in rule_texts().items():
        minutes, memory = re.search(r"runtime=(\d+)", text), re.search(r"mem_mb=memory\((\d+)\)", text)
        if minutes and memory:
            found[rule] = (int(minutes[1]), int(memory[1]))
    return found


def benchmark_rule(path: Path, patterns: dict[str, str], root: Path) -> str:
    """Return the rule whose pattern says most about a benchmark file's name."""
    name = path.relative_to(root)
    return max(
        (rule for rule, pattern in patterns.items() if name.match(pattern)), key=lambda rule: len(patterns[rule])
    )


def read(path: Path) -> list[tuple[float, float, float]]:
    """Return wall seconds, CPU seconds and MB of each run in a benchmark file; "NA" or "-" of jobs too short to see is 0."""

    def number(text: str) -> float:
        return 0.0 if text in ("NA", "-", "") else float(text)

    with open(path, encoding="utf-8", newline="") as file:
        return [
            (number(row["s"]), number(row["cpu_time"]), number(row["max_rss"]))
            for row in csv.DictReader(file, delimiter="\t")
        ]


if __name__ == "__main__":
    sys.exit(main([Path(folder).absolute() for folder in sys.argv[1:]]))
