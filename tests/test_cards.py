"""Pages of runs: whose jobs they tell, with which options and times."""

import json
import re

import pytest
import torch
from conftest import ROOT
from test_grid import raw_config
from test_tabulate import write_run

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.grid import Grid
from flexpose_core.lineage import facts, jobs_of
from flexpose_core.options.config import load_config
from flexpose_core.stages.cards import cards, clock, flattened
from flexpose_core.stages.reporting import state_origin

TIMES = "s\th:m:s\tmax_rss\tmean_load\n"


@pytest.fixture(scope="module")
def grid():
    return Grid(load_config(raw_config("config/experiments.yaml") | {"sample_shards": 2}))


@pytest.mark.parametrize(
    ("run", "stages"),
    [
        ("upright-aligned_s0", ["convert", "compose", "pretrain_eta", "train_detector"]),
        ("upright-everyday-direct_s0", ["convert", "convert", "guide", "compose", "pretrain_eta", "train_detector"]),
        ("upright-kde_s0", ["convert", "guide", "compose_baseline", "pretrain_eta", "train_detector"]),
        (
            "upright-everyday-flexpose_s0",
            ["convert", "convert", "train_regressor", "train_generator", "guide", "adapt", "sample", "compose",
             "pretrain_eta", "train_detector"],
        ),
        (
            "upright-everyday-nearest-renewed_s0",
            ["convert", "convert", "guide", "compose_baseline", "pretrain_eta", "place_source", "train_animated"],
        ),
        (
            "upright-everyday-flexpose-renewed_s0",
            ["convert", "convert", "train_regressor", "train_generator", "guide", "adapt", "sample", "compose",
             "pretrain_eta", "place_samples", "train_animated"],
        ),
        (
            "all-mixup-chosen_s0",
            ["convert", "guide", "compose_baseline", "pretrain_eta", "train_detector", "find_poses", "compose_chosen",
             "pretrain_eta", "train_detector"],
        ),
    ],
)  # fmt: skip
def test_a_runs_jobs_are_those_of_its_method(grid, run, stages):
    assert [job.stage for job in jobs_of(grid, run)] == stages


def test_a_chooser_has_the_jobs_of_its_method():
    raw = raw_config()
    raw["methods"]["once-more"] = {"poses": "chosen", "guidance": "symmetric", "chosen_by": "nearest-renewed"}
    raw["cells"]["once-more"] = {**raw["cells"]["upright-everyday-direct"], "method": "once-more"}
    stages = [job.stage for job in jobs_of(Grid(load_config(raw)), "once-more_s0")]
    assert stages == [
        "convert", "convert", "guide", "compose_baseline", "pretrain_eta", "place_source", "train_animated", "find_poses",
        "compose_chosen", "pretrain_eta", "train_detector",
    ]  # fmt: skip


def test_every_time_is_one_that_a_rule_measures(grid):
    text = "".join((ROOT / f"rules/{name}.smk").read_text() for name in ("data", "source", "adapt", "detect"))
    stated = re.findall(r'"results/benchmarks/(.+\.tsv)"', text.replace("{SHARD}", "_{shard}"))
    rules = [re.sub(r"(\\{)+\w+(\\})+", ".+", re.escape(one)) for one in stated]
    for run in grid.runs:
        for job in jobs_of(grid, run):
            assert job.benchmarks, job.stage
            assert all(any(re.fullmatch(rule, name) for rule in rules) for name in job.benchmarks), job.benchmarks


@pytest.mark.parametrize(("shards", "parts"), [(1, [""]), (3, ["_0", "_1", "_2"])])
def test_shards_of_sampling_are_timed_one_by_one(shards, parts):
    grid, run = Grid(load_config(raw_config() | {"sample_shards": shards})), "upright-studio-flexpose_s0"
    timed = next(job.benchmarks for job in jobs_of(grid, run) if job.stage == "sample")
    assert timed == tuple(f"sample/{run}{part}.tsv" for part in parts)


def test_facts_leave_out_what_a_run_has_not(grid):
    assert facts(grid, "upright-aligned_s0") == {
        "Cell": "upright-aligned",
        "Method": "aligned",
        "Target": "people-upright",
        "Seed": "0",
    }
    assert facts(grid, "upright-studio-flexpose_s0")["Annotation set"] == "121,000 poses"


@pytest.fixture
def written(grid, tmp_path):
    """The pages of two runs, of which one has a time that was not measured."""
    files = [
        write_run(tmp_path, name, method, sources, 0, 40.0, 30.0)
        for name, method, sources in (
            ("upright-aligned", "aligned", []),
            ("upright-everyday-flexpose", "flexpose", ["everyday"]),
        )
    ]
    for path in files:
        state_origin(path, "of the evaluation", {}, 0)
    for job in jobs_of(grid, "upright-everyday-flexpose_s0"):
        for place, name in enumerate(job.benchmarks):
            if job.stage != "adapt":
                path = tmp_path / "benchmarks" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{TIMES}{10 + place}.5\t0:00:10\t{100 + place}.25\t90\n")
    cards(grid, files, tmp_path / "benchmarks", ROOT / "report/run.html", tmp_path / "cards")
    return tmp_path


def test_a_page_tells_options_times_and_provenance(written, grid):
    name = "upright-everyday-flexpose_s0"
    card = json.loads((written / f"cards/{name}.json").read_text())
    jobs = {job["stage"]: job for job in card["jobs"]}
    assert jobs["adapt"]["options"] == grid.adaptation_params(name)
    assert (jobs["adapt"]["seconds"], jobs["adapt"]["megabytes"]) == (None, None)
    # Two shards, one after the other, and the larger of their sizes.
    assert (jobs["sample"]["seconds"], jobs["sample"]["megabytes"]) == (10.5 + 11.5, 101.25)
    assert (jobs["guide"]["seconds"], jobs["compose"]["seconds"]) == (10.5, 10.5)
    assert card["seconds"] == pytest.approx(sum(job["seconds"] or 0 for job in card["jobs"]))
    # All seeds and cells of one source share its generator.
    assert jobs["train_generator"]["runs"] == sum(
        run.prior == "everyday_c3" and any(of.method.poses == "adapted" for of in grid.behind(run))
        for run in grid.runs.values()
    )
    assert jobs["train_detector"]["runs"] == 1
    assert "table1" in card["tables"]
    page = (written / f"cards/{name}.html").read_text()
    for text in (
        "MSE-Pixel, px²",
        "40.0",
        "22.0 s",
        "101 MB",
        f"torch {torch.__version__.partition('+')[0]}",
        jobs["adapt"]["code"],
        "options.pair_steps",
    ):
        assert text in page
    for key, value in flattened(grid.adaptation_params(name)):
        assert f"<code>{key}</code></td><td>{value}</td>" in page.replace("&#39;", "'")
    assert "http" not in page
    assert sorted(path.name for path in (written / "cards").iterdir()) == [
        f"{run}.{kind}" for run in ("upright-aligned_s0", name) for kind in ("html", "json")
    ]


def test_without_any_run_there_is_an_empty_folder(grid, tmp_path):
    cards(grid, [], tmp_path / "benchmarks", ROOT / "report/run.html", tmp_path / "cards")
    assert list((tmp_path / "cards").iterdir()) == []


def test_odd_files_are_named(grid, tmp_path):
    path = write_run(tmp_path, "gone", "aligned", [], 0, 40.0, 30.0)
    with pytest.raises(ConfigError, match="found 'gone_s0'"):
        cards(grid, [path], tmp_path, ROOT / "report/run.html", tmp_path / "cards")
    path = write_run(tmp_path, "upright-aligned", "aligned", [], 0, 40.0, 30.0)
    (tmp_path / "train_detector").mkdir()
    (tmp_path / "train_detector/upright-aligned_s0.tsv").write_text("nothing\n")
    with pytest.raises(DataError, match=r"upright-aligned_s0\.tsv: expected Snakemake's benchmark"):
        cards(grid, [path], tmp_path, ROOT / "report/run.html", tmp_path / "cards")


def test_times_are_told_in_what_they_take():
    assert [clock(value) for value in (None, 0.42, 59.9, 127.0, 11100.0)] == [
        "–", "0.4 s", "59.9 s", "2 min 07 s", "3 h 05 min",
    ]  # fmt: skip
