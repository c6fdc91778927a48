"""The paper's configuration on fixtures of the real formats, each dataset as a source or a target in cells of its tables.

That all cells of all tables are planned is for test_paper_plan.py.
"""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from raw_formats import FORMATS
from test_grid import check_table2, update

from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config

# The paper's datasets by their readers' names.
OF_PAPER = {
    "human36m": "human36m",
    "simplified-human36m": "simplified-human36m",
    "coco": "coco",
    "3dhp": "mpi-inf-3dhp",
    "surreal": "surreal",
    "300-vw": "300-vw",
    "wflw": "wflw",
}
OTHERS = ("keypoints-json", "penn-action", "lsp", "lsp-extended", "human36m-npz")


def tiny(roots):
    """What makes the paper's configuration small, and adds cells over the other datasets."""
    fast = {"steps": 2, "batch": 4}
    datasets = {name: {"root": str(roots[reader]), "held_out": 0.3, "shards": 1} for name, reader in OF_PAPER.items()}
    datasets["3dhp"] |= {"cameras": [0, 8], "limit": {"train": 60, "val": 20}, "held_out": 0.5}
    datasets["surreal"] |= {"limit": {"train": 60, "val": 20}}
    for name in OTHERS:
        own = {key: list(value) if isinstance(value, tuple) else value for key, value in FORMATS[name].others.items()}
        datasets[name] = {"reader": name, "root": str(roots[name]), "held_out": 0.3, **own}
    datasets["keypoints-json"] |= {"images": True, "joints": {"pelvis": "root", "neck": ["throat", "nape"]}}
    datasets["penn-action"] |= {"images": True, "crop": {"per": "sequence"}, "image_format": "png"}
    # Shards of a source, of one with limits, and of a target's pictures; all would be many jobs.
    for name in ("coco", "3dhp", "penn-action"):
        datasets[name]["shards"] = 2
    # The fixtures have a dozen frames where the originals have thousands.
    cells = {f"h36m-coco-{method}": {"shots": 10} for method in ("direct", "flexpose-paper")}
    cells |= {f"s-h36m-{source}-{method}": {"shots": 8} for source in ("coco", "3dhp", "surreal")
              for method in ("direct", "flexpose-paper")}  # fmt: skip
    cells |= {f"wflw-300vw-{method}": {"shots": 8} for method in ("direct", "flexpose-paper")}
    # COCO's is more than it holds, as may be with the original.
    sources = {"coco": 300, "3dhp": 16, "surreal": 15, "300vw": 13}
    for name, cell in cells.items():
        cell["annotation_set_size"] = next(size for source, size in sources.items() if source in name)
    pairs = {"h36m-coco": 10, "s-h36m-coco": 8, "s-h36m-3dhp": 8, "s-h36m-surreal": 8}
    grids = {
        "real": {
            "pairs": {
                name: {"annotation_set_size": cells[f"{name}-direct"]["annotation_set_size"], "shots": shots}
                for name, shots in pairs.items()
            }
        }
    }
    cells["own-aligned"] = {"method": "aligned", "target": "keypoints-json"}
    cells["penn-aligned"] = {"method": "aligned", "target": "penn-action"}
    others = {"sources": ["lsp", "lsp-extended", "human36m-npz"], "annotation_set_size": 40, "shots": 6}
    cells["own-others-direct"] = {"method": "direct", "target": "keypoints-json", **others}
    tables = {
        # Each target and each source once; every training takes the start of several jobs.
        "table1": {
            "cells": [
                "h36m-coco-flexpose-paper",
                "s-h36m-coco-direct",
                "s-h36m-3dhp-flexpose-paper",
                "s-h36m-surreal-direct",
            ],
        },
        "table3": {"cells": ["wflw-300vw-flexpose-paper"]},
        "others": {
            "pck_rho": {"keypoints-json": 0.1, "penn-action": 0.2},
            "cells": ["own-aligned", "own-others-direct", "penn-aligned"],
        },
    }
    return {
        "datasets": datasets,
        "guidance": {name: {"mixup_size": 8} for name in ("paper", "symmetric", "plain")},
        "generator": {
            "architecture": {
                "resolution": 16,
                "latent_width": 16,
                "mapping_widths": [16, 16],
                "synthesis_widths": [8, 8, 8],
            },
            "adversarial": {**fast, "discriminator_width": 8},
        },
        "regressor": {"resolution": 16, "width": 8, "training": fast},
        "detector": {
            "size": 32,
            "image_widths": [8, 8],
            "eta_widths": [8, 8],
            "decoder_widths": [8, 8],
            "discriminator_widths": [8, 8],
            "eta": fast,
            "gan": fast,
        },
        "methods": {
            "flexpose-paper": {"adaptation": {"perceptual": {"weights": "random"}, "pair_steps": 2, "pair_batch": 2}}
        },
        "cells": cells,
        "grids": grids,
        "tables": tables,
    }


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory):
    """Roots of the fixtures, with pictures where a target needs them."""
    base = tmp_path_factory.mktemp("originals")
    for name, form in FORMATS.items():
        targets = ("human36m", "simplified-human36m", "wflw", "keypoints-json", "penn-action")
        form.write(base / name, 2, name in targets)
    return {name: base / name for name in FORMATS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, fixtures):
    from conftest import Project

    project = Project(tmp_path_factory.mktemp("paper"))
    (project.folder / "config/fixtures.yaml").write_text(yaml.safe_dump(tiny(fixtures)))
    tables = [f"results/{name}.csv" for name in ("table1", "table3", "others")]
    sheets = [f"results/data/{name}/contact_sheet.png" for name in (*OF_PAPER, *OTHERS)]
    done = project.snakemake(*tables, *sheets, config=["config/paper.yaml", "config/fixtures.yaml"], pace=())
    assert done.returncode == 0, done.stdout[-6000:]
    return project.folder / "results"


def test_the_papers_cells_are_at_the_papers_scale():
    from conftest import ROOT

    merged = yaml.safe_load((ROOT / "config.yaml").read_text())
    update(merged, yaml.safe_load((ROOT / "config/paper.yaml").read_text()))
    config = load_config(merged)
    grid = Grid(config)
    rows = {name: [config.cells[cell] for cell in config.tables[name].cells] for name in ("table1", "table3")}
    assert [len(cells) for cells in rows.values()] == [10, 3]
    for cells in rows.values():
        for cell in cells:
            sizes = {("coco",): 33_000, ("3dhp",): 121_000, ("surreal",): 121_000, ("300-vw",): 96_000}
            assert cell.annotation_set_size == sizes.get(cell.sources)
            # 3DHP and SURREAL hold many times what is asked for.
            assert cell.take_all_if_short == (cell.sources in {("coco",), ("300-vw",)})
            if cell.sources:
                assert cell.shots == (30 if cell.target == "human36m" else 12)
    check_table2(config, {"COCO": "coco", "3DHP": "3dhp", "SURREAL": "surreal"})
    assert config.generator.training == "adversarial"
    assert config.generator.architecture.resolution == config.detector.size == 128
    ours = config.methods["flexpose-paper"]
    assert ours.adaptation.layers == (3,)
    assert (ours.adaptation.pairing, ours.adaptation.perceptual.kind) == ("random", "vgg16")
    assert config.guidance[ours.guidance].mixup_size == 1000
    assert set(grid.datasets) == set(OF_PAPER)
    assert all(config.datasets[name].image_size == 128 for name in OF_PAPER)


def test_every_table_has_its_rows(finished):
    for name, rows in {"table1": 4, "table3": 1, "others": 3}.items():
        table = pd.read_csv(finished / f"{name}.csv")
        assert len(table) == rows
        assert table[["mse_pixel", "mse_pixel_flip", "pck", "pck_flip"]].notna().all().all()
    assert "The paper's own Table 3" in (finished / "table3.md").read_text()


def test_every_dataset_was_converted_and_counted(finished):
    for name in (*OF_PAPER, *OTHERS):
        card = json.loads((finished / "data" / name / "train.card.json").read_text())
        assert card["poses"] == card["counts"]["kept"] > 0
        assert card["counts"]["read"] == card["poses"] + sum(card["counts"]["dropped"].values())
    assert json.loads((finished / "data/coco/train.card.json").read_text())["paper"] == {"train": 32_000}
    assert json.loads((finished / "data/3dhp/train.card.json").read_text())["poses"] <= 60
    assert not list(finished.glob("data/*/*_shard*.h5"))


def test_every_dataset_has_its_contact_sheet(finished):
    for name in (*OF_PAPER, *OTHERS):
        sheet = cv2.imread(str(finished / f"data/{name}/contact_sheet.png"))
        assert sheet is not None, name
        assert sheet.shape[1] == 12 * 130 + 2
        assert np.ptp(sheet) > 200


def test_rows_of_a_short_source_have_the_same_size_and_say_how_short_it_is(finished):
    held = json.loads((finished / "data/coco/train.card.json").read_text())["poses"]
    for run in ("h36m-coco-flexpose-paper_s0", "s-h36m-coco-direct_s0"):
        metrics = json.loads((finished / f"cells/{run}/metrics.json").read_text())
        assert metrics["cell"]["annotation_set_size"] == 300
        # The 8 poses of pose-mixup beside the source's.
        assert metrics["annotation_set_size"] == held + 8
        assert metrics["annotation_set_missing"] == 300 - held - 8
        log = (finished / f"logs/pose_sets/{run}_compose.log").read_text()
        assert f"{held + 8} poses, {300 - held - 8} fewer than the 300 asked for" in log
    whole = json.loads((finished / "cells/s-h36m-surreal-direct_s0/metrics.json").read_text())
    assert (whole["annotation_set_size"], whole["annotation_set_missing"]) == (15, 0)


def test_faces_have_their_own_joints(finished):
    metrics = json.loads((finished / "cells/wflw-300vw-flexpose-paper_s0/metrics.json").read_text())
    assert len(metrics["test"]["as_is"]["joint_distance"]) == 68
