"""The profiles for clusters, as far as can be without one; `make test-slurm` runs them on one."""

import importlib.util
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

config["seeds"] = 2
config["tables"] = {{"mine": {{"cells": ["upright-everyday-direct", "own"], "pck_rho": {{"people-upright": 0.1}}}}}}
config["cells"]["own"] = {{**config["cells"]["upright-everyday-flexpose-paper"], "layers": [2]}}

module flexpose:
    snakefile: {str(project.folder / "Snakefile")!r}
    config: config

use rule * from flexpose as flexpose_*

rule count:
    input: "results/mine.csv"
    output: "count.txt"
    shell: "wc -l {{input}} > {{output}}"
"""
    )
    said = plan(other, project.folder, "count.txt", "results/pages/mine.html", "results/cards")
    assert "flexpose_train_generator" in said
    assert {"flexpose_page", "flexpose_cards"} <= set(said.split())
    assert {
        f"results/cells/{name}_s{seed}/metrics.json" for name in ("own", "upright-everyday-direct") for seed in (0, 1)
    } == {word.rstrip(",") for word in said.split() if word.rstrip(",").endswith("/metrics.json")}


def plan(folder, library, *arguments):
    """What Snakemake says of a dry run in a folder with a copy of the library."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_containers_command_plans_from_an_empty_folder(project, tmp_path):
    """The command in the recipe's head, with the checkout in another place than /opt/flexpose."""
    recipe = (ROOT / "containers/Dockerfile").read_text()
    command = " ".join(
        re.search(r"exec flexpose.sif snakemake (.*?)\n#\n", recipe, re.DOTALL)[1].replace("\\\n#", "").split()
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    words = command.replace("/opt/flexpose", str(project.folder)).replace('"$PWD"', str(folder)).split()
    assert "results/table1.csv" in words
    assert re.search(r"^table +1$", plan(folder, project.folder, *words), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().split()
    for needed in (
        "Snakefile",
        "config.yaml",
        "constraints.txt",
        "pyproject.toml",
        "rules",
        "workflow_scripts",
        "report",
    ):
        assert (ROOT / needed).exists()
        assert needed not in ignored


def test_the_catalogs_file_has_what_the_catalog_reads():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
    # The catalog lists workflows that have both where it looks for them.
    assert (ROOT / "Snakefile").is_file()
    assert (ROOT / "README.md").is_file()


def costs():
    """The tool that reads what rules cost."""
    spec = importlib.util.spec_from_file_location("rule_costs", ROOT / "tools/rule_costs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_rule_asks_for_is_told_beside_what_it_cost(tmp_path, capsys):
    tool = costs()
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, line in {
        "adapt/a_s0": "100.0\t0:01:40\t300.0\t9\t9\t9\t0\t0\t50\t70.0\n",
        "adapt/b_s0": "20.0\t0:00:20\t700.5\t9\t9\t9\t0\t0\t50\t90.0\n",
        "convert/mine_train": "2.0\t0:00:02\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n",
        "convert/mine_train_shard0": "5000.0\t1:23:20\t200\t9\t9\t9\t0\t0\t50\t4000.0\n",
    }.items():
        path = tmp_path / "of_march/benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + line)
    assert tool.main([tmp_path / "of_march"]) == 1
    said = capsys.readouterr().out
    assert "| adapt | 2 | 100 | 90 | 700 | 10, 1500 | " in said
    assert "| convert | 1 | 2 | 0 | 0 | 10, 500 | " in said
    assert "| convert_shard | 1 | 5000 | 4000 | 200 | 420, 1000 | " in said


def test_every_rule_that_works_long_is_measured():
    tool = costs()
    short = {
        "animated",
        "joint_errors",
        "curves",
        "explorer",
        "table",
        "page",
        "claims",
        "cards",
        *(f"figure{number}" for number in range(2, 7)),
    }
    assert set(tool.rule_resources()) - set(tool.rule_benchmarks()) <= short
    assert all(memory >= 500 and minutes >= 5 for minutes, memory in tool.rule_resources().values())


FAKE_APPTAINER = """#!/bin/sh
[ "$1" = --version ] && { echo apptainer version 1.3.0; exit; }
echo "$@" >> "$CALLS"
# Past the options to the image, which is taken to be this machine.
while [ "$1" != flexpose.sif ]; do shift; done
shift
exec "$@"
"""


def test_jobs_run_in_the_container_that_the_configuration_names(project, tmp_path):
    fake, calls = tmp_path / "bin/apptainer", tmp_path / "calls"
    fake.parent.mkdir()
    fake.write_text(FAKE_APPTAINER)
    fake.chmod(0o755)
    (project.folder / "flexpose.sif").touch()
    target = "results/data/everyday/val.h5"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--sdm", "apptainer"]
    command += ["--config", "container=flexpose.sif", "--configfile", "config/tiny.yaml", "--", target]
    path = f"{fake.parent}:{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(project.folder), "CALLS": str(calls)}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / target).is_file()
    assert re.search(r"exec .*flexpose\.sif .*\.convert\.py", calls.read_text())
    assert "--nv" not in calls.read_text()
