"""What may befall a run beside kills, on a small configuration, each against an undisturbed run's bytes.

    python tests/fault_run.py                           all of it
    python tests/fault_run.py full-disk read-only       some of it

full-disk    the disk fills up before each stage, as root: one line names the file, nothing half-written stays, and the same
             command then finishes
full-records the disk of Snakemake's own records (.snakemake) is full before some stages: it says so, and with room again the same
             command finishes
read-only    the results folder may not be written before some stages: what is wrong is named, and the same command then finishes
two-at-once  a second Snakemake on the folder is refused; two with --nolock, or in clones that share the results, spoil nothing
clock        set back during a run: Snakemake refuses outputs older than their inputs, and goes on after files are touched
determinism  one core and two give the same bytes
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kill_run import LOG, finish, outputs, prepare, start

CELL = "upright-everyday-flexpose_s0"
# Each stage's file, and how many bytes are left free: enough for what comes before, such as logs, but not for the file.
STAGES = {
    "results/data/people-upright/train.h5": 400_000,
    "results/guidance/people-upright_symmetric_m12_s0/shots.h5": 400_000,
    "results/priors/everyday_c3/regressor.safetensors": 60_000,
    "results/priors/everyday_c3/generator.safetensors": 200_000,
    f"results/pose_sets/{CELL}/transfer.safetensors": 0,
    f"results/pose_sets/{CELL}/samples.h5": 400_000,
    f"results/pose_sets/{CELL}/eta.safetensors": 8_000,
    f"results/cells/{CELL}/detector.safetensors": 60_000,
    f"results/cells/{CELL}/metrics.json": 0,
    "results/table1.csv": 0,
    "results/figures/joint_errors.png": 16_000,
    "results/figures/curves.png": 16_000,
}
SOME_STAGES = list(STAGES)[::4]
REFUSED = re.compile(
    r"^OutputError: (\S+): could not be written: .*(No space left on device|Read-only file system).*$", re.MULTILINE
)


class FaultError(Exception):
    """Something did not end as it should."""


def demand(true: object, expected: str, log: Path | None = None) -> None:
    if not true:
        raise FaultError(f"expected {expected}" + (f":\n{log.read_text()[-4000:]}" if log else ""))


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], check=False)
    if mounted.returncode:
        print("skipped: mounting is not permitted here")
        raise SystemExit(0)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(ballast: Path, free: int) -> None:
    """Leave so many bytes of the disk."""
    block = bytes(1 << 20)
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - free))


class Faults:
    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.arguments = folder, arguments
        self.whole = self.project("whole")
        began = time.monotonic()
        self.run(self.whole, *STAGES)
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)

    def project(self, name: str) -> Path:
        return prepare(self.folder / name)

    def start(self, project: Path, *targets: str, extra: tuple[str, ...] = (), cores: int = 2) -> subprocess.Popen:
        wanted = argparse.Namespace(cores=cores, configs=self.arguments.configs, targets=targets or STAGES)
        return start(project, wanted, *extra)

    def run(self, project: Path, *targets: str, cores: int = 2) -> None:
        finish(project, self.start(project, *targets, cores=cores))

    def compare(self, project: Path, what: str) -> None:
        expected, found = (outputs(folder, list(STAGES)) for folder in (self.whole, project))
        differing = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
        demand(not differing, f"{what}: the undisturbed run's bytes, found others in {', '.join(differing)}")
        print(f"{what}: {len(expected)} files equal", flush=True)

    def refused(self, project: Path, target: str, what: str) -> None:
        """Run for a target that cannot be written."""
        log = project / LOG
        log.unlink(missing_ok=True)
        status = self.start(project, target, cores=1).wait()
        text = log.read_text()
        demand(status, f"{what}: {target}: a failure", log)
        # Snakemake repeats what is in the log.
        lines = sorted({match[0] for match in REFUSED.finditer(text)})
        demand(len(lines) == 1, f"{what}: {target}: one line that names a file, found {lines}", log)
        demand("Traceback" not in text, f"{what}: {target}: no traceback", log)
        demand(not (project / target).exists(), f"{what}: no {target}")
        demand(not list((project / "results").rglob("*.partial*")), f"{what}: {target}: no partial file")
        print(f"{what}: {lines[0]}", flush=True)

    def full_disk(self) -> None:
        project = self.project("full")
        with small_disk(project / "results"):
            ballast = project / "results" / "ballast"
            for target, free in STAGES.items():
                inputs = self.start(project, target, extra=("--omit-from", target))
                demand(inputs.wait() == 0, f"{target}: its inputs", project / LOG)
                fill(ballast, free)
                self.refused(project, target, "full disk")
                ballast.unlink()
                self.run(project, target)
            self.compare(project, "full disk")

    def full_records(self) -> None:
        project = self.project("full_records")
        with small_disk(project / ".snakemake"):
            ballast = project / ".snakemake" / "ballast"
            for target in SOME_STAGES:
                inputs = self.start(project, target, extra=("--omit-from", target))
                demand(inputs.wait() == 0, f"{target}: its inputs", project / LOG)
                fill(ballast, 0)
                log = project / LOG
                log.unlink(missing_ok=True)
                status = self.start(project, target, cores=1).wait()
                why = "No space left on device"
                demand(status and why in log.read_text(), f"full records: {target}: a failure that says why", log)
                ballast.unlink()
                self.run(project, target)
                print(f"full records: {target}: {status=}", flush=True)
            self.run(project)
            self.compare(project, "full records")

    def read_only(self) -> None:
        project = self.project("read_only")
        disk = project / "results"
        with small_disk(disk):
            for target in SOME_STAGES:
                demand(self.start(project, target, extra=("--omit-from", target)).wait() == 0, f"{target}: its inputs")
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
                log = project / LOG
                log.unlink(missing_ok=True)
                status, text = self.start(project, target, cores=1).wait(), log.read_text()
                demand(status and "Read-only file system" in text, f"read-only: {target}: what is wrong", log)
                demand("results/" in text, f"read-only: {target}: a file's name", log)
                subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
                print(f"read-only: {target}: {status=}", flush=True)
            self.run(project)
            self.compare(project, "read-only")

    def two_at_once(self) -> None:
        project = self.project("two")
        first = self.start(project)
        while not list((project / ".snakemake" / "locks").glob("*")):
            demand(first.poll() is None, "a lock while Snakemake runs", project / LOG)
            time.sleep(0.1)
        whole_log = (project / LOG).stat().st_size
        second = self.start(project)
        demand(second.wait(), "that the second Snakemake fails", project / LOG)
        demand(
            "Directory cannot be locked" in (project / LOG).read_text()[whole_log:], "that it says why", project / LOG
        )
        finish(project, first)
        self.compare(project, "a second Snakemake was refused, the first")

        shutil.rmtree(project / "results")
        shutil.rmtree(project / ".snakemake")
        statuses = self.both([self.start(project, extra=("--nolock",)) for _ in range(2)])
        self.run(project)
        self.compare(project, f"two with --nolock ended with {statuses}, and after the same command")

        clones = [self.project(f"clone{number}") for number in range(2)]
        shared = self.folder / "shared"
        shared.mkdir()
        for clone in clones:
            (clone / "results").symlink_to(shared)
        statuses = self.both([self.start(clone) for clone in clones])
        for clone in clones:
            self.run(clone)
            self.compare(clone, f"two clones ended with {statuses}, and after the same command")

    @staticmethod
    def both(processes: list[subprocess.Popen]) -> list[int]:
        return [process.wait() for process in processes]

    def clock(self) -> None:
        """All files of a run have times an hour ahead, as after a clock that was set back."""
        project = self.project("clock")
        shutil.copytree(self.whole / "results", project / "results")
        shutil.copytree(self.whole / ".snakemake", project / ".snakemake")
        for path in (project / "results").rglob("*"):
            ahead = path.stat().st_mtime + 3600
            os.utime(path, (ahead, ahead))
        target = "results/table1.csv"
        (project / target).unlink()
        status = self.start(project, target).wait()
        log = project / LOG
        demand(status and "clock skew" in log.read_text(), "that Snakemake tells that the clock was set back", log)
        # What docs/cluster.md says to do then.
        command = """find results -newermt now -exec touch --date="$(date --rfc-3339=ns)" {} +"""
        subprocess.run(command, shell=True, cwd=project, check=True)
        log.write_text("")
        self.run(project)
        self.compare(project, "clock set back by an hour, and after the same command")
        demand("rule convert:" not in log.read_text(), "that no finished job is done again", log)

    def determinism(self) -> None:
        project = self.project("one_core")
        self.run(project, cores=1)
        self.compare(project, "--cores 1 after --cores 2")


SCENARIOS: dict[str, Callable[[Faults], None]] = {
    "full-disk": Faults.full_disk,
    "full-records": Faults.full_records,
    "read-only": Faults.read_only,
    "two-at-once": Faults.two_at_once,
    "clock": Faults.clock,
    "determinism": Faults.determinism,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], default=[])
    parser.add_argument("--configs", nargs="+", default=["config/tiny.yaml", "tests/faults.yaml"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        faults = Faults(Path(name), arguments)
        try:
            for scenario in arguments.scenarios or SCENARIOS:
                SCENARIOS[scenario](faults)
        except FaultError as error:
            print(f"fault_run: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
