"""A small run through a real Slurm that is disturbed in every way a cluster can, and its table against an undisturbed run's.

    python tests/slurm/disturbed_run.py                      the shortest chain to a table
    python tests/slurm/disturbed_run.py config/tiny.yaml     all of the tiny configuration's table (long)

Starts a Slurm of one node (tests/slurm/one_node.sh: Debian, root), and stops it at the end.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = "results/table1.csv"
COPIED = (
    "Snakefile",
    "config.yaml",
    "rules",
    "workflow_scripts",
    "flexpose_core",
    "config",
    "profiles",
    "tools",
    "tests",
)
# Less than the two Snakemakes of a job take, as short jobs may escape the look once a second; then enough.
TOO_LITTLE = "pretrain_eta:mem_mb=200 if attempt == 1 else 1000 * attempt"


class FailedError(Exception):
    """A disturbance ended otherwise than it should."""


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs(rule: str, state: str) -> dict[str, str]:
    """The jobs of a rule in a state, id to wildcards; the executor names rule and wildcards in the comment."""
    lines = slurm("squeue", "--noheader", "--states=all", "--format=%i|%T|%k").splitlines()
    found = [line.split("|") for line in lines]
    begins = f"rule_{rule}_wildcards_"
    return {
        job: comment.removeprefix(begins) for job, now, comment in found if now == state and comment.startswith(begins)
    }


class Run:
    """The workflow in a folder of its own."""

    def __init__(self, folder: Path, configs: list[str]) -> None:
        self.folder, self.configs = folder, configs
        self.log = folder / "snakemake.log"
        for name in COPIED:
            if (ROOT / name).is_dir():
                # Tests beside this run write compiled files.
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", *self.configs, "--", TABLE]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def on_slurm(self, *arguments: str) -> subprocess.Popen:
        arguments = ("--latency-wait", "10", *arguments, "--set-resources", TOO_LITTLE)
        return self.start("--profile", "profiles/slurm", *arguments)

    def remove_untracked(self) -> list[str]:
        """Remove the outputs that Snakemake has no record of, by the command of docs/cluster.md; return their names."""
        document = (ROOT / "docs/cluster.md").read_text()
        pipe = re.findall(r"--summary -- results/table1\.csv (\|.*?) \| xargs", document, re.DOTALL)[0].replace(
            "\\\n", ""
        )
        command = [sys.executable, "-m", "snakemake", "--summary", "--configfile", *self.configs, "--", TABLE]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        found = subprocess.run(
            f"{shlex.join(command)} {pipe}",
            shell=True,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for name in found:
            (self.folder / name).unlink()
        return found

    def table(self) -> bytes:
        return (self.folder / TABLE).read_bytes()

    def run_id(self) -> str:
        return re.findall(r"SLURM run ID: (\S+)", self.log.read_text())[-1]


def wait_for(what: str, condition, process: subprocess.Popen | None = None, seconds: float = 600):
    """Return the condition's first true value; raise FailedError if the process ends or the time is over before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise FailedError(f"expected {what}, found Snakemake ended with status {process.returncode}")
        time.sleep(0.2)
    raise FailedError(f"expected {what} within {seconds:.0f} s")


def finish(process: subprocess.Popen, what: str) -> None:
    if process.wait(timeout=1200) != 0:
        raise FailedError(f"{what}: expected status 0, found {process.returncode}")


def note(text: str, began: float) -> None:
    print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)


def disturb(run: Run, began: float) -> dict[str, str]:
    """Run and disturb the workflow until its Snakemake is killed; returns the detectors that still ran then."""
    process = run.on_slurm()
    try:
        job = wait_for("a running conversion", lambda: first("convert", "RUNNING"), process)
        slurm("scancel", job)
        note(f"scancel of job {job}, a conversion", began)

        node = slurm("sinfo", "--noheader", "--format=%n").strip()
        slurm("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        wait_for("a drained node", lambda: slurm("sinfo", "--noheader", "--format=%t").strip() == "drain", process)
        waiting = jobs("convert", "PENDING")
        slurm("scontrol", "update", f"nodename={node}", "state=resume")
        note(f"node drained and resumed, with {len(waiting)} jobs waiting", began)

        job = wait_for("a job killed for its memory", lambda: first("pretrain_eta", "OUT_OF_MEMORY")
                       or first("pretrain_eta", "FAILED") or first("pretrain_eta", "CANCELLED"), process)  # fmt: skip
        note(f"job {job} killed with {memory(job)}", began)
        what = jobs("pretrain_eta", state_of(job))[job]
        again = wait_for("the job with more memory", lambda: first("pretrain_eta", "COMPLETED", what), process)
        note(f"came back as job {again} with {memory(again)}", began)
        if (memory(job), memory(again)) != ("200M", "2000M"):
            raise FailedError(f"expected 200M and then 2000M, found {memory(job)} and {memory(again)}")

        job = wait_for("a running detector", lambda: first("train_detector", "RUNNING"), process)
        if "gpu:1" not in slurm("scontrol", "show", "job", job):
            raise FailedError(f"job {job}, a detector: expected one GPU, found none")
        orphans = jobs("train_detector", "RUNNING")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    note(f"Snakemake killed while job {job}, a detector with one GPU, runs", began)
    return orphans


def memory(job: str) -> str:
    return re.findall(r"MinMemoryNode=(\S+)", slurm("scontrol", "show", "job", job))[0]


def first(rule: str, state: str, wildcards: str = "") -> str:
    """The first of `jobs`, of these wildcards if any are given; "" if there is none."""
    return next((job for job, own in jobs(rule, state).items() if wildcards in ("", own)), "")


def state_of(job: str) -> str:
    return re.findall(r"JobState=(\S+)", slurm("scontrol", "show", "job", job))[0]


def way_back(run: Run, orphans: dict[str, str], began: float) -> None:
    """What docs/cluster.md says to do after Snakemake itself was killed, when a job has finished in between."""
    name = run.run_id()
    wait_for("the end of the orphaned detectors", lambda: all(state_of(job) != "RUNNING" for job in orphans))
    if any(state_of(job) != "COMPLETED" for job in orphans):
        raise FailedError(f"expected the orphans COMPLETED, found {[state_of(job) for job in orphans]}")
    slurm("scancel", "--name", name)
    wait_for("no job of the killed run", lambda: not slurm("squeue", "--noheader", "--name", name))
    finish(run.start("--unlock"), "unlocking")
    removed = run.remove_untracked()
    left = {f"results/cells/{cell}/detector.safetensors" for cell in orphans.values()}
    # Other jobs may have ended too before they were cancelled.
    if not left or not left <= set(removed):
        raise FailedError(f"expected {sorted(left)} among the outputs that nothing is known of, found {removed}")
    note(f"its jobs ended, the folder unlocked, {', '.join(removed)} removed", began)
    finish(run.on_slurm(), "the same command")
    note("the same command has finished", began)


def compare(folder: Path, configs: list[str], began: float) -> None:
    undisturbed, run = (Run(Path(tempfile.mkdtemp(dir=folder)), configs) for _ in range(2))
    # Beside the other, which waits for Slurm half of its time.
    local = undisturbed.start("--cores", "1")
    try:
        way_back(run, disturb(run, began), began)
        finish(local, "the undisturbed run")
        note("the undisturbed local run has finished", began)
    except (FailedError, subprocess.SubprocessError):
        for each in (undisturbed, run):
            print(
                "".join(each.log.read_text().splitlines(keepends=True)[-60:]) if each.log.exists() else "",
                file=sys.stderr,
            )
        raise
    finally:
        local.send_signal(signal.SIGTERM)
        local.wait()
    if run.log.read_text().count("Trying to restart job") < 2:
        raise FailedError(f"{run.log}: expected two jobs that were tried again")
    if run.table() != undisturbed.table():
        raise FailedError(f"{TABLE}: expected the undisturbed run's bytes, found others:\n{run.table().decode()}")
    note(f"{TABLE} equals the undisturbed run's", began)


def main() -> int:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=["config/tiny.yaml", "tests/slurm/config.yaml"])
    configs = parser.parse_args().configs
    script = Path(__file__).with_name("one_node.sh")
    # Who is told to stop stops Slurm first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            subprocess.run([script, "start", folder / "slurm"], check=True)
            note("Slurm is up", began)
            compare(folder, configs, began)
        except (FailedError, subprocess.SubprocessError) as error:
            print(f"test-slurm: {error}", file=sys.stderr)
            return 1
        finally:
            subprocess.run([script, "stop", folder / "slurm"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
