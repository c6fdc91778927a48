"""Kills the jobs of a tiny run at random points of every stage, and compares its outputs with an undisturbed run's.

    python tests/kill_run.py                               a few kills over one cell of every stage
    python tests/kill_run.py --kills 100 --log kills.jsonl until the log has a hundred, over as many calls as it takes

A kill takes all processes of the run at once, as a reboot does, or one job alone, as a system short of memory does. After each,
the same command is given again. The stages with the fewest kills are hit first, so that all have as many.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
COPIED = (
    "Snakefile",
    "config.yaml",
    "rules",
    "workflow_scripts",
    "flexpose_core",
    "config",
    "profiles",
    "report",
    "tests",
)
LOG = "snakemake.log"


def prepare(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def start(folder: Path, arguments: argparse.Namespace, *extra: str) -> subprocess.Popen:
    """Snakemake in a session of its own, so that all of its processes can be found."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(arguments.cores), *extra]
    command += ["--configfile", *arguments.configs, "--", *arguments.targets]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with open(folder / LOG, "a", encoding="utf-8") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def finish(folder: Path, process: subprocess.Popen) -> None:
    if process.wait() != 0:
        text = (folder / LOG).read_text()
        raise SystemExit(f"kill_run: expected status 0, found {process.returncode}:\n{text[-6000:]}")


def jobs(session: int) -> dict[int, str]:
    """The processes of a session that run a workflow script, and the script's name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if os.getsid(int(entry.name)) == session and (script := re.search(r"/tmp\w+\.(\w+)\.py", command)):
                    found[int(entry.name)] = script[1]
            except (OSError, ProcessLookupError):
                continue
    return found


def kill(process: subprocess.Popen, victim: int, stage: str, chance: random.Random) -> str:
    """Send SIGKILL to one job or to everything; return what was hit, "" if the job had just ended."""
    if chance.random() < 0.5:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        if process.wait() == 0:  # the others are brought to an end, and Snakemake fails
            return ""
        return f"job {stage}"
    running = jobs(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "everything, with " + (", ".join(sorted(running.values())) or "no job")


def watched(process: subprocess.Popen) -> dict[str, float]:
    """Wait for a run's end; return how long a job of each stage took, in seconds."""
    seen: dict[int, tuple[str, float, float]] = {}
    while process.poll() is None:
        now = time.monotonic()
        for job, stage in jobs(process.pid).items():
            seen[job] = (stage, seen.get(job, (stage, now, now))[1], now)
        time.sleep(0.2)
    stages = {stage for stage, _, _ in seen.values()}
    return {name: median(last - first for stage, first, last in seen.values() if stage == name) for name in stages}


def disturbed(
    folder: Path,
    arguments: argparse.Namespace,
    most: int,
    seconds: dict[str, float],
    hits: Counter,
    chance: random.Random,
) -> list[dict]:
    """Kill and start again until the run ends by itself or has been killed often enough; return the kills."""
    kills: list[dict] = []
    process = start(folder, arguments)
    passed: set[int] = set()
    while process.poll() is None:
        least = min(hits[stage] for stage in seconds)
        running = jobs(process.pid)
        due = sorted(job for job, stage in running.items() if job not in passed and hits[stage] <= least)
        if len(kills) == most or not due:
            time.sleep(0.1)
            continue
        victim = chance.choice(due)
        passed.add(victim)
        stage, after = running[victim], chance.uniform(0, seconds.get(running[victim], 1.0))
        time.sleep(after)
        if not Path(f"/proc/{victim}").exists() or process.poll() is not None:
            continue
        what = kill(process, victim, stage, chance)
        if not what:
            continue
        hits[stage] += 1
        kills.append({"stage": stage, "what": what, "after_seconds": round(after, 2)})
        print(f"kill {sum(hits.values())}: {stage}, after {after:.1f} s: {what}", flush=True)
        finish(folder, start(folder, arguments, "--unlock"))
        process = start(folder, arguments)
    finish(folder, process)
    return kills


def outputs(folder: Path, targets: list[str]) -> dict[str, bytes]:
    """The targets, and everything beside pictures, logs and times: all of it must be the same."""
    paths = [*(folder / "results").rglob("*.json"), *(folder / "results").rglob("*.safetensors")]
    paths += [*(folder / "results").rglob("*.h5"), *(folder / target for target in targets)]
    # Checkpoints of a training that was stopped, and what was being written at a kill, are no outputs.
    paths = [path for path in paths if "trainings" not in path.parts and ".partial" not in path.name]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--log", type=Path, help="kills of earlier calls, that count, and to which those of this one are added"
    )
    parser.add_argument("--configs", nargs="+", default=["config/tiny.yaml", "tests/faults.yaml"])
    parser.add_argument("--targets", nargs="+", default=["results/table1.csv"])
    arguments = parser.parse_args()
    earlier = arguments.log.read_text().splitlines() if arguments.log and arguments.log.exists() else []
    hits = Counter(json.loads(line)["stage"] for line in earlier)
    chance = random.Random(f"{arguments.seed} {len(earlier)}")
    with tempfile.TemporaryDirectory() as name:
        whole, killed = prepare(Path(name) / "whole"), prepare(Path(name) / "killed")
        began = time.monotonic()
        process = start(whole, arguments)
        seconds = watched(process)
        finish(whole, process)
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        while sum(hits.values()) < arguments.kills:
            kills = disturbed(killed, arguments, arguments.kills - sum(hits.values()), seconds, hits, chance)
            expected, found = (outputs(folder, arguments.targets) for folder in (whole, killed))
            differing = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
            if differing:
                print(
                    f"kill_run: expected the undisturbed run's bytes, found others in {', '.join(differing)}",
                    file=sys.stderr,
                )
                return 1
            if arguments.log:
                with open(arguments.log, "a", encoding="utf-8") as log:
                    log.writelines(json.dumps({**entry, "files_equal": len(expected)}) + "\n" for entry in kills)
            partial = list((killed / "results").rglob("*.partial*"))
            print(
                f"{sum(hits.values())} kills, {len(expected)} files equal, {len(partial)} partial files left behind",
                flush=True,
            )
            shutil.rmtree(killed / "results")
            shutil.rmtree(killed / ".snakemake")
    print("kills a stage: " + ", ".join(f"{stage} {count}" for stage, count in sorted(hits.items())), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
