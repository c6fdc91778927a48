"""Kills the jobs of a tiny run at random points, and compares its tables with an undisturbed run's.

    python tests/kill_run.py                        a few kills over the shortest chain to a table
    python tests/kill_run.py --kills 100 --configs config/tiny.yaml --targets results/table1.csv

A kill takes all processes of the run at once, as a reboot does, or one job alone, as a system short of memory does. After each,
the same command is given again.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "config.yaml", "rules", "workflow_scripts", "flexpose_core", "config", "profiles", "tests")
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


def kill(process: subprocess.Popen, chance: random.Random) -> str:
    """Send SIGKILL to one job or to everything, and return what was hit."""
    running = jobs(process.pid)
    if running and chance.random() < 0.5:
        victim = chance.choice(sorted(running))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return "nothing: the job had just ended"
        process.wait()  # the others are brought to an end, and Snakemake fails
        return f"job {running[victim]}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return "everything, with " + (", ".join(sorted(running.values())) or "no job")


def disturbed(folder: Path, arguments: argparse.Namespace, most: int, seconds: float, chance: random.Random) -> int:
    """Kill and start again until the run ends by itself or has been killed often enough; return the number of kills."""
    kills = 0
    process = start(folder, arguments)
    while kills < most:
        try:
            process.wait(timeout=chance.uniform(0.2, 1) * min(seconds, arguments.longest))
            break
        except subprocess.TimeoutExpired:
            hit = kill(process, chance)
        kills += 1
        print(f"kill {kills}: {hit}", flush=True)
        finish(folder, start(folder, arguments, "--unlock"))
        process = start(folder, arguments)
    finish(folder, process)
    return kills


def outputs(folder: Path, targets: list[str]) -> dict[str, bytes]:
    """The targets, and everything beside pictures, logs and times: all of it must be the same."""
    paths = [*(folder / "results").rglob("*.json"), *(folder / "results").rglob("*.safetensors")]
    paths += [*(folder / "results").rglob("*.h5"), *(folder / target for target in targets)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds between two kills at most")
    parser.add_argument("--configs", nargs="+", default=["config/tiny.yaml", "tests/slurm/config.yaml"])
    parser.add_argument("--targets", nargs="+", default=["results/table1.csv"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        whole, killed = prepare(Path(name) / "whole"), prepare(Path(name) / "killed")
        began = time.monotonic()
        finish(whole, start(whole, arguments))
        seconds = time.monotonic() - began
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        total, chance = 0, random.Random(arguments.seed)
        while total < arguments.kills:
            total += disturbed(killed, arguments, arguments.kills - total, seconds, chance)
            expected, found = (outputs(folder, arguments.targets) for folder in (whole, killed))
            differing = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
            if differing:
                print(
                    f"kill_run: expected the undisturbed run's bytes, found others in {', '.join(differing)}",
                    file=sys.stderr,
                )
                return 1
            partial = list((killed / "results").rglob("*.partial*"))
            print(f"{total} kills, {len(expected)} files equal, {len(partial)} partial files left behind", flush=True)
            shutil.rmtree(killed / "results")
            shutil.rmtree(killed / ".snakemake")
    return 0


if __name__ == "__main__":
    sys.exit(main())
