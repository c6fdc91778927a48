"""The profiles for clusters, as far as can be without one; `make test-slurm` runs them on one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RULES = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
CLUSTERS = ("slurm", "cluster-generic")


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_the_default_profile_says_holds_on_clusters_too(name):
    settings = profile(name)
    assert settings.items() >= profile("default").items()
    assert settings["executor"] == name
    assert f"snakemake-executor-plugin-{name}" in (ROOT / "pyproject.toml").read_text()
    assert re.search(rf"^snakemake-executor-plugin-{name}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", CLUSTERS)
def test_retries_are_the_profiles(name):
    """A rule's own would run inside the same allocation, with the memory that was too little."""
    assert profile(name)["retries"] >= 1
    assert "attempt" in profile(name)["default-resources"]["mem_mb"]
    assert not re.search(r"^\s*retries:", RULES, re.MULTILINE)


def test_every_rule_states_memory_that_grows_time_and_threads():
    rules = re.split(r"^rule ", RULES, flags=re.MULTILINE)[1:]
    assert len(rules) > 10
    for rule in rules:
        for wanted in (r"mem_mb=memory\(\d+\)", r"runtime=\d+", r"threads: \d+"):
            assert re.search(wanted, rule), rule.splitlines()[0]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("PENDING", "running"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("COMPLETED", "success"),
        ("OUT_OF_MEMORY", "failed"),
        ("CANCELLED", "failed"),
        ("NODE_FAIL", "failed"),
        ("TIMEOUT", "failed"),
    ],
)
def test_the_status_of_a_job_of_slurm(tmp_path, state, said):
    fake = tmp_path / "scontrol"
    fake.write_text(f"#!/bin/sh\n[ \"$4\" = 17 ] && echo 'JobId=17 JobName=x JobState={state} Reason=None'\n")
    fake.chmod(0o755)
    command = [ROOT / "tools/slurm_status.sh", "17"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{said}\n"


def test_the_workflow_is_a_module_of_another_one(project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "Snakefile").write_text(
        f"""
configfile: {str(project.folder / "config.yaml")!r}

module flexpose:
    snakefile: {str(project.folder / "Snakefile")!r}
    config: config

use rule * from flexpose as flexpose_*
"""
    )
    command = [sys.executable, "-m", "snakemake", "--dry-run", "results/table2.csv"]
    environment = {**os.environ, "PYTHONPATH": str(project.folder)}
    done = subprocess.run(command, cwd=other, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flexpose_train_generator" in done.stdout + done.stderr
