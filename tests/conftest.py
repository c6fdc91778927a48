import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from flexpose_core.models.keypoint_gan import Detector

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)
# How long an example takes is the machine's affair.
settings.register_profile("flexpose", deadline=None)
settings.load_profile("flexpose")


# Snakemake waits for its timers before it ends, and the default profile's are of five seconds: too long for a few jobs.
BRISK = "--max-jobs-per-timespan", "100/1s"


@pytest.fixture
def tensorfloat(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether convolutions might have been in TensorFloat-32, each time that a detector ran."""
    noted, run = [], Detector.forward

    def forward(detector: Detector, images: torch.Tensor, backgrounds: torch.Tensor) -> torch.Tensor:
        noted.append(torch.backends.cudnn.allow_tf32)
        return run(detector, images, backgrounds)

    monkeypatch.setattr(Detector, "forward", forward)
    return noted


class Project:
    """A copy of the workflow in a folder of its own, to run, edit and break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / name, folder / name)
        for name in ("rules", "workflow_scripts", "flexpose_core", "config", "profiles", "report"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def snakemake(
        self, *arguments: str, config: str | list[str] = "config/tiny.yaml", pace: tuple[str, ...] = BRISK
    ) -> subprocess.CompletedProcess:
        """Run snakemake on the tiny configuration with this copy of the library; stderr is joined to stdout.

        With `pace` (), the profile's own, many jobs take less of Snakemake's time.
        """
        configs = [config] if isinstance(config, str) else config
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *pace, *arguments, "--configfile", *configs]
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(self.folder),
            "HOME": "/tmp",
        }
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def planned(self, *arguments: str, config: str = "config/tiny.yaml") -> set[str]:
        """Return the jobs of a dry run as "rule:first wildcard", such as "train_detector:direct_s0"."""
        done = self.snakemake("--dry-run", *arguments, config=config)
        assert done.returncode == 0, done.stdout
        jobs, rule = set(), None
        for line in done.stdout.splitlines():
            words = line.split()
            if line.startswith(("rule ", "localrule ")):
                rule = words[1].rstrip(":")
                jobs.add(rule)
            elif rule and words[:1] == ["wildcards:"]:
                jobs.discard(rule)
                jobs.add(f"{rule}:{words[1].partition('=')[2].rstrip(',')}")
                rule = None
        return jobs


@pytest.fixture(scope="session")
def browser():
    """A headless browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `dev`")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory):
    """The tiny configuration, run from nothing to its table; tests must leave it as they found it."""
    project = Project(tmp_path_factory.mktemp("project"))
    done = project.snakemake(pace=())
    assert done.returncode == 0, done.stdout[-8000:]
    return project
