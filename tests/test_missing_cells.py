"""A cell that fails: the rest of the grid stays whole, and on request the table is made with that cell marked."""

import numpy as np
import pandas as pd
import pytest
import yaml
from test_tabulate import metrics

from flexpose_core.files import write_json
from flexpose_core.rendering.pictures import write_png


@pytest.fixture
def with_a_failing_cell(project):
    """A table of a cell that has its metrics and of one whose dataset cannot be read; returns the configuration's name."""
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
    config["datasets"]["lost"] = {"reader": "coco", "root": "nowhere", "images": True}
    config["cells"]["broken"] = {"method": "aligned", "target": "lost"}
    config["tables"]["short"] = {
        "pck_rho": {"people-upright": 0.1, "lost": 0.2},
        "cells": ["broken", "upright-aligned"],
    }
    (project.folder / "config/edited.yaml").write_text(yaml.safe_dump(config))
    write_json(
        project.folder / "results/cells/upright-aligned_s0/metrics.json",
        {
            "name": "upright-aligned",
            "cell": {"method": "aligned", "target": "people-upright", "sources": []},
            "seed": 0,
            "annotation_set_size": 200,
            "test": metrics(40.0, 30.0),
            "test_new_subjects": None,
            "test_mean_pose": metrics(90.0, 80.0),
        },
    )
    write_png(project.folder / "results/cells/upright-aligned_s0/predictions.png", np.zeros((8, 8, 3), np.uint8))
    return "config/edited.yaml"


def test_a_failed_cell_is_marked_in_the_table(project, with_a_failing_cell):
    def run(*arguments):
        return project.snakemake("--keep-going", *arguments, "results/short.csv", config=with_a_failing_cell)

    refused = run()
    assert refused.returncode != 0
    assert "nowhere" in refused.stdout
    assert not (project.folder / "results/short.csv").exists()

    def allowing(*arguments):
        return project.snakemake(
            "results/short.csv", *arguments, "--config", "missing=allowed", config=with_a_failing_cell
        )

    made = allowing()
    assert made.returncode == 0, made.stdout
    table = pd.read_csv(project.folder / "results/short.csv")
    assert table.target.tolist() == ["lost", "people-upright"]
    assert table.seeds.tolist() == [0, 1]
    assert table.mse_pixel.isna().tolist() == [True, False]
    assert table.mse_pixel[1] == 40.0
    text = (project.folder / "results/short.md").read_text()
    assert "- broken: seed 0" in text
    assert "90.0" in text
    check_cards(project, allowing)
    # It is final as long as no more is allowed to be missing, or is there.
    assert "Nothing to be done" in allowing().stdout
    assert "table:short" in project.planned("results/short.csv", config=with_a_failing_cell)


def check_cards(project, allowing):
    """The cells that are there have their pages, and the report lists them."""
    made = allowing("results/cards")
    assert made.returncode == 0, made.stdout
    cards = project.folder / "results/cards"
    assert {path.name for path in cards.glob("*.html")} == {"upright-aligned_s0.html"}
    made = allowing("results/cards", "--report", "results/report.html")
    assert made.returncode == 0, made.stdout
    page = (project.folder / "results/report.html").read_text()
    for text in ("options and run times", "upright-aligned_s0.html", "short.csv"):
        assert text in page


def test_the_report_opens_offline(project, with_a_failing_cell, browser):
    for more in ([], ["--report", "results/report.html"]):
        done = project.snakemake(
            "results/short.csv", "results/cards", *more, "--config", "missing=allowed", config=with_a_failing_cell
        )
        assert done.returncode == 0, done.stdout
    context = browser.new_context(offline=True)
    page, requests = context.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((project.folder / "results/report.html").as_uri())
    page.get_by_text("Runs", exact=True).first.click()
    for text in ("upright-aligned_s0", "options and run times"):
        page.get_by_text(text).first.wait_for(state="visible")
    context.close()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_what_is_made_of_nothing_is_not_asked_for(project):
    jobs = project.planned("tables", "--config", "missing=allowed")
    tables = ("table1", "table2", "table3", "baselines")
    pages = {f"page:{name}" for name in (*tables, "claims")}
    assert jobs == {"tables", "claims", *(f"table:{name}" for name in tables), *pages}
    assert project.planned("results/cards", "--config", "missing=allowed") == {"cards"}
    everything = project.planned("tables")
    assert {"figure2", "figure3", "figure4", "joint_errors", "curves", "explorer"} < everything


def test_no_painter_is_trained_for_what_is_there(project):
    run = "upright-everyday-flexpose_s0"
    for name in (f"cells/{run}/metrics.json", f"cells/{run}/detector.safetensors", f"pose_sets/{run}/poses.h5"):
        path = project.folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    arguments = ("tables", "--rerun-triggers", "mtime", "--config", "missing=allowed")
    assert not {"train_cycle_gan", "figure5"} & project.planned(*arguments)
    painter = project.folder / "results/figures/figure5.safetensors"
    painter.parent.mkdir(parents=True, exist_ok=True)
    painter.touch()
    assert "figure5" in project.planned(*arguments)
