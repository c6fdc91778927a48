"""The real workflow on the tiny configuration: what it makes, and what it makes again after an edit."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from flexpose_core.poses.cache import load_cache
from flexpose_core.stages.claims import COLUMNS
from flexpose_core.stages.table_kinds import ABLATION, BASELINES, DISTANCES, RESULTS


@pytest.fixture
def edited(finished_project):
    """Give a function that replaces text in a file of the finished project; all edits are undone at the end."""
    originals = {}

    def edit(name, old, new):
        path = finished_project.folder / name
        originals.setdefault(path, path.read_text())
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    yield edit
    for path, text in originals.items():
        path.write_text(text)


@pytest.fixture
def reconfigured(finished_project):
    """Give a function that changes a copy of the tiny configuration and returns its name."""

    def change(function):
        config = yaml.safe_load((finished_project.folder / "config/tiny.yaml").read_text())
        function(config)
        (finished_project.folder / "config/edited.yaml").write_text(yaml.safe_dump(config))
        return "config/edited.yaml"

    return change


class TestOutputs:
    def test_table_has_the_columns_and_a_row_a_cell(self, finished_project):
        table = pd.read_csv(finished_project.folder / "results/table1.csv")
        config = yaml.safe_load((finished_project.folder / "config/tiny.yaml").read_text())
        assert tuple(table.columns) == RESULTS.columns
        assert len(table) == len(config["tables"]["table1"]["cells"])
        assert set(table.method) == {"aligned", "direct", "flexpose-paper", "flexpose"}
        assert table[["mse_pixel", "mse_pixel_flip", "pck", "pck_flip"]].notna().all().all()
        assert (table.mse_pixel_flip <= table.mse_pixel).all()

    def test_no_checkpoint_is_left_of_trainings_that_ended(self, finished_project):
        trainings = finished_project.folder / "results/trainings"
        assert list(trainings.rglob("log"))
        assert not list(trainings.rglob("*.safetensors"))

    def test_an_ablation_has_the_papers_figures(self, finished_project):
        table = pd.read_csv(finished_project.folder / "results/table2.csv")
        assert tuple(table.columns) == ABLATION.columns
        assert table.row.tolist() == [0, 1]
        assert table.paper_mse_pixel.tolist() == [2.96, 4.61]
        assert table.layers.tolist()[1] == 3

    def test_baselines_have_a_row_a_cell_and_the_floor(self, finished_project):
        table = pd.read_csv(finished_project.folder / "results/baselines.csv")
        config = yaml.safe_load((finished_project.folder / "config/tiny.yaml").read_text())
        assert tuple(table.columns) == BASELINES.columns
        assert len(table) == len(config["tables"]["baselines"]["cells"]) + 1
        assert table.method.tolist()[-1] == "real"
        assert table[[*DISTANCES]].drop(columns="nearest_shot_px").notna().all().all()
        cells = table[table.method != "real"]
        assert cells[["mse_pixel", "pck_flip"]].notna().all().all()
        assert cells.nearest_shot_px.notna().tolist() == (cells.method != "aligned").tolist()

    def test_runs_that_differ_in_labels_alone_share_their_poses(self, finished_project):
        folder = finished_project.folder / "results"
        assert (folder / "cells/upright-everyday-flexpose-pairs_s0/metrics.json").exists()
        assert not (folder / "pose_sets/upright-everyday-flexpose-pairs_s0").exists()

    def test_poses_are_chosen_by_what_the_labelled_run_finds(self, finished_project):
        folder = finished_project.folder / "results"
        assert (folder / "cells/upright-everyday-flexpose-pairs_s0/found.png").exists()
        found = load_cache(folder / "cells/upright-everyday-flexpose-pairs_s0/found.h5")
        images = load_cache(folder / "data/people-upright/train.h5")
        assert np.array_equal(found.frame, images.frame)
        assert found.attributes["images"] == len(images)
        metrics = json.loads((folder / "cells/upright-everyday-flexpose-chosen_s0/metrics.json").read_text())
        assert metrics["annotation_set_size"] == 2000
        assert set(metrics["origin"]["options"]["methods"]) == {"flexpose", "flexpose-pairs", "flexpose-chosen"}

    def test_every_claim_has_a_verdict_or_is_left_out(self, finished_project):
        table = pd.read_csv(finished_project.folder / "results/claims.csv")
        assert tuple(table.columns) == COLUMNS
        # One seed decides nothing, and most claims are on cells that the tiny tables lack.
        assert set(table.verdict) == {"undecided"}
        assert "best-row" in set(table.claim)
        assert "early-layers" in set(table.claim)
        text = (finished_project.folder / "results/claims.md").read_text()
        # Detectors of a few steps are no better than the mean pose.
        _, useless = text.split("Not counted, as both detectors of the pair are useless (see above):")
        assert (table.set_index("claim").useless.drop("early-layers") > 0).all()
        for other in ("direct", "supervised"):
            assert re.search(
                rf"- .*{other}.*: upright-\S*flexpose and upright-\S*{other}[.,]", useless, re.IGNORECASE
            ), text
        assert "- Colour matters little: upright-everyday-121k, upright-everyday-1channel." in text

    def test_every_figure_is_there_in_both_formats(self, finished_project):
        for name in ("figure2", "figure3", "figure4", "figure5", "figure6", "animated", "joint_errors", "curves"):
            assert (finished_project.folder / f"results/figures/{name}.png").read_bytes().startswith(b"\x89PNG")
            assert "<svg" in (finished_project.folder / f"results/figures/{name}.svg").read_text()
        assert not (finished_project.folder / "results/cells/upright-everyday-flexpose-paper-only-1_s0").exists()

    def test_painted_people_are_measured_beside_real_ones(self, finished_project):
        folder = finished_project.folder / "results"
        found = json.loads((folder / "figures/figure5.json").read_text())
        cell = json.loads((folder / "cells/upright-everyday-flexpose_s0/metrics.json").read_text())
        assert found["painted"]["samples"] == found["mean_pose"]["samples"] == 30
        assert found["real"] == cell["test"]

    def test_the_page_to_explore_has_its_data(self, finished_project):
        page = (finished_project.folder / "results/explorer.html").read_text()
        assert '"about":[["Cell","upright-everyday-flexpose"],["Method","flexpose"],["Source","everyday"]' in page

    def test_the_report_has_every_table_and_figure(self, finished_project):
        done = finished_project.snakemake("--report", "results/report.html")
        assert done.returncode == 0, done.stdout[-4000:]
        page = (finished_project.folder / "results/report.html").read_text()
        for name in ("table1.csv", "claims.csv", "figures/figure3.png", "figures/curves.png", "contact_sheet.png"):
            assert name in page
        assert "t-SNE of source poses" in page
        runs = {path.parent.name for path in (finished_project.folder / "results").glob("cells/*/metrics.json")}
        cards = {path.stem for path in (finished_project.folder / "results/cards").glob("*.html")}
        assert cards == runs
        assert all(f"{run}.html" in page for run in runs)
        assert "options and run times" in page

    def test_pictures_and_cards_are_there(self, finished_project):
        results = finished_project.folder / "results"
        for pattern in (
            "data/*/contact_sheet.png",
            "data/*/train.card.json",
            "priors/*/generator.png",
            "pose_sets/*/adaptation.png",
            "cells/*/predictions.png",
            "table1.md",
        ):
            found = list(results.glob(pattern))
            assert found, pattern
            assert all(path.stat().st_size > 100 for path in found)

    def test_nothing_partial_is_left(self, finished_project):
        assert not list(finished_project.folder.rglob("*.partial*"))


# The rules that run again for a cell whose adaptation changed, the table apart.
FROM_ADAPTATION_ON = (
    "adapt",
    "sample",
    "compose",
    "pretrain_eta",
    "train_detector",
    "evaluate",
)


class TestReruns:
    def test_a_warm_workflow_has_nothing_to_do(self, finished_project):
        assert finished_project.planned() == set()
        assert "Nothing to be done" in finished_project.snakemake("results/table1.csv").stdout

    def test_one_cells_option_reruns_that_cell_and_the_table(self, finished_project, reconfigured):
        def other_layers(config):
            config["cells"]["upright-everyday-flexpose-paper"]["layers"] = [1]

        run = "upright-everyday-flexpose-paper_s0"
        assert finished_project.planned("results/table1.csv", config=reconfigured(other_layers)) == {
            *(f"{rule}:{run}" for rule in FROM_ADAPTATION_ON),
            "table:table1",
        }

    def test_a_new_cell_adds_that_cell_and_the_table(self, finished_project, reconfigured):
        def another(config):
            config["cells"]["again"] = {"method": "aligned", "target": "people-upright"}
            config["tables"]["table1"]["cells"].append("again")

        assert finished_project.planned("results/table1.csv", config=reconfigured(another)) == {
            *("compose:again", "pretrain_eta:again", "train_detector:again_s0", "evaluate:again_s0", "table:table1"),
        }

    def test_the_order_of_keys_reruns_nothing(self, finished_project, reconfigured):
        def reverse(config):
            for key in list(config)[::-1]:
                config[key] = config.pop(key)

        assert finished_project.planned(config=reconfigured(reverse)) == set()

    def test_a_comment_in_the_library_reruns_nothing(self, finished_project, edited):
        edited("flexpose_core/models/transfer.py", "import torch", "import torch  # arrays")
        assert finished_project.planned() == set()

    def test_editing_the_library_reruns_the_stages_that_use_it(self, finished_project, edited):
        edited(
            "flexpose_core/poses/pairing.py",
            "from __future__ import annotations",
            "from __future__ import annotations\nEXTRA = 1",
        )
        rules = {job.split(":")[0] for job in finished_project.planned("results/table1.csv")}
        assert rules == {*FROM_ADAPTATION_ON, "table"}

    def test_editing_the_table_reruns_the_table_alone(self, finished_project, edited):
        edited("flexpose_core/stages/tabulate.py", '"For comparison', '"To compare')
        assert finished_project.planned("results/table1.csv") == {"table:table1"}

    def test_one_cell_runs_alone(self, project):
        jobs = project.planned("results/cells/upright-aligned_s0/metrics.json")
        assert {job for job in jobs if job.startswith("train_detector")} == {"train_detector:upright-aligned_s0"}
        assert not {job for job in jobs if job.startswith(("train_generator", "adapt"))}


class TestShards:
    def test_any_number_of_jobs_a_set_gives_the_same_bytes(self, finished_project, project, reconfigured):
        def shared(config):
            config.update(sample_shards=2, measure_shards=2)

        name = reconfigured(shared)
        shutil.copy(finished_project.folder / name, project.folder / name)
        shutil.copytree(finished_project.folder / "results", project.folder / "results")
        samples = "results/pose_sets/upright-everyday-flexpose_s0/samples.h5"
        metrics = "results/cells/upright-everyday-direct_s0/metrics.json"
        made = (project.folder / samples).read_bytes(), json.loads((project.folder / metrics).read_text())
        for target in (samples, metrics):
            (project.folder / target).unlink()
        done = project.snakemake(samples, metrics, "--rerun-triggers", "mtime", config=name)
        assert done.returncode == 0, done.stdout
        jobs = re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.MULTILINE)
        assert sorted(jobs) == ["evaluate", "gather_samples", *2 * ["measure_poses"], *2 * ["sample"]]
        assert (project.folder / samples).read_bytes() == made[0]
        again = json.loads((project.folder / metrics).read_text())
        for found in (again, made[1]):
            # These tell how many jobs there were.
            del found["origin"]
        assert again == made[1]
        assert not list(project.folder.glob("results/pose_sets/*/*_[01].*"))


class TestBadInput:
    def test_a_wrong_configuration_is_one_line_that_names_the_key(self, project):
        config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
        config["cells"]["x"] = {"method": "aligned", "target": "coco"}
        (project.folder / "config/wrong.yaml").write_text(yaml.safe_dump(config))
        done = project.snakemake("--dry-run", config="config/wrong.yaml")
        assert done.returncode != 0
        lines = [line for line in done.stdout.splitlines() if "config: cells.x.target: expected one of" in line]
        assert len(lines) == 1, done.stdout
        assert "found 'coco'" in lines[0]
        assert "Traceback" not in done.stdout

    def test_more_shots_than_there_are_is_one_line(self, finished_project, reconfigured):
        def many(config):
            config["cells"]["upright-everyday-direct"]["shots"] = 100_000

        config = reconfigured(many)
        done = finished_project.snakemake(
            "results/guidance/people-upright_symmetric_m100000_s0/shots.h5", config=config
        )
        assert done.returncode != 0
        assert "ConfigError: " in done.stdout
        assert "Traceback" not in done.stdout


def test_the_schema_file_is_the_types(project):
    """`make schema` writes it anew."""
    command = [sys.executable, "-m", "flexpose_core.options.config"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True)
    assert done.stdout == (project.folder / "config/schema.json").read_text()
