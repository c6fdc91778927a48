"""What `snakemake -n` plans of the paper's configuration, and the resources that its profile gives the jobs."""

import re
from collections import Counter

import pytest
import yaml
from conftest import ROOT, Project
from raw_formats import FORMATS

PROFILE = "profiles/paper/config.yaml"
RULE = re.compile(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A project whose paper configuration points at fixtures of the genuine formats, nothing else changed."""
    project = Project(tmp_path_factory.mktemp("plan"))
    datasets = yaml.safe_load((ROOT / "config/paper.yaml").read_text())["datasets"]
    roots = {}
    for name, options in datasets.items():
        roots[name] = {"root": str(project.folder / "originals" / name)}
        FORMATS[options["reader"]].write(project.folder / "originals" / name, 0, False)
    (project.folder / "config/roots.yaml").write_text(yaml.safe_dump({"datasets": roots}))
    (project.folder / "data").mkdir()
    (project.folder / "data/vgg16.pth").touch()
    return project


def planned(project, *arguments):
    """The jobs of a dry run without a target, as rules and what is printed of them."""
    done = project.snakemake("--dry-run", *arguments, config=["config/paper.yaml", "config/roots.yaml"])
    assert done.returncode == 0, done.stdout[-4000:]
    return RULE.findall(done.stdout)


@pytest.fixture(scope="module")
def plan(paper):
    return planned(paper, "--profile", "profiles/paper")


def test_weights_that_are_not_there_are_missed_before_anything_runs(paper):
    weights = paper.folder / "data/vgg16.pth"
    weights.unlink()
    done = paper.snakemake("--dry-run", "results/table1.csv", config=["config/paper.yaml", "config/roots.yaml"])
    weights.touch()
    assert done.returncode == 1
    assert "Missing input files for rule adapt" in done.stdout
    assert "data/vgg16.pth" in done.stdout


def test_a_bare_command_makes_all_tables_and_every_contact_sheet(plan):
    count = Counter(rule for rule, _ in plan)
    # 13 cells of Tables 1 and 3; ten more of Table 2; on four pairs eleven methods more; on two targets three that see shots alone.
    cells = 13 + 10 + 4 * 11 + 2 * 3
    assert {name: count[name] for name in ("table", "contact_sheet", "evaluate", "train_detector")} == {
        "table": 4,
        "contact_sheet": 7,
        "evaluate": cells,
        "train_detector": cells,
    }
    # A generator for each of four sources, the two mixtures of Table 2, and COCO in one channel. The paper's method has five rows
    # in Tables 1 and 3 and ten in Table 2; five other ways to adapt a generator stand on each of four pairs; Figure 4 is of
    # twelve layers.
    assert (count["train_generator"], count["adapt"]) == (4 + 2 + 1, 5 + 10 + 4 * 5 + 12)
    assert count["claims"] == count["figure2"] == count["figure3"] == count["figure4"] == 1
    # A detector of labelled images alone needs no poses but those of the shots' mixup, of which there is a cell; and with labelled
    # images besides, each pair's has the poses of that without.
    assert count["compose"] == cells - 2 - 4
    # A target's three splits, and a source's two.
    assert count["gather_shards"] == 3 * 3 + 4 * 2


def test_the_profile_changes_no_job(paper, plan):
    assert Counter(rule for rule, _ in planned(paper)) == Counter(rule for rule, _ in plan)


def test_direct_and_flexpose_rows_of_a_short_source_both_look_at_its_size(plan):
    inputs = [block.split("output:")[0] for rule, block in plan if rule == "compose" and "samples.h5" in block]
    # The paper's method has three rows in Tables 1 and 3; the baselines adapt COCO's generator in five ways to two targets.
    assert sum("/coco/train.h5" in block or "/300-vw/train.h5" in block for block in inputs) == 3 + 5 * 2
    assert not any("/surreal/" in block or "/3dhp/" in block for block in inputs)


def test_the_profile_speaks_of_rules_that_there_are_and_of_all_that_use_a_gpu():
    stated = yaml.safe_load((ROOT / PROFILE).read_text())["set-resources"]
    rules = {name: body for path in (ROOT / "rules").glob("*.smk") for name, body in RULE.findall(path.read_text())}
    assert set(stated) <= set(rules)
    assert {name for name, body in rules.items() if "gpu=1" in body} <= set(stated)
    assert all({"mem_mb", "runtime"} <= set(entry) <= {"mem_mb", "runtime", "gpu"} for entry in stated.values())


def test_the_profiles_resources_reach_the_jobs(plan):
    stated = yaml.safe_load((ROOT / PROFILE).read_text())["set-resources"]
    rules = {name: body for path in (ROOT / "rules").glob("*.smk") for name, body in RULE.findall(path.read_text())}
    seen = set()
    for rule, block in plan:
        if rule in stated:
            resources = re.search(r"resources: (.*)", block).group(1)
            assert f"runtime={stated[rule]['runtime']}" in resources
            assert f"mem_mb={stated[rule]['mem_mb'].split()[0]}" in resources
            assert ("gpu=1" in resources) == ("gpu=1" in rules[rule])
            seen.add(rule)
    # The paper has no method whose poses are chosen, nor one whose animated people's are renewed; one job samples all.
    assert set(stated) - seen == {"find_poses", "place", "gather_samples"}
