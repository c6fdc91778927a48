"""Sources whose val split is the original's test split: nothing of their training is held out."""

import numpy as np
import pytest
import yaml
from conftest import ROOT
from raw_formats import FORMATS

from flexpose_core.datasets import open_reader
from flexpose_core.errors import ConfigError
from flexpose_core.options.config import load_config


def poses_of(reader, split):
    return np.concatenate([batch.poses for batch in reader.read(split, reader.units(split))])


@pytest.mark.parametrize("name", ["coco", "300-vw", "wflw", "penn-action", "mpi-inf-3dhp"])
def test_val_is_test_and_train_is_all_of_training(tmp_path, name):
    FORMATS[name].write(tmp_path, 4, False)
    options = FORMATS[name].options_for(tmp_path, held_out=0.3)
    whole = open_reader(FORMATS[name].options_for(tmp_path), 0)
    parts = open_reader(options, 0)
    moved = open_reader(FORMATS[name].options_for(tmp_path, held_out=0.3, val_from="test"), 0)
    np.testing.assert_array_equal(poses_of(moved, "train"), poses_of(whole, "train"))
    np.testing.assert_array_equal(poses_of(moved, "val"), poses_of(whole, "test"))
    assert moved.counts("val")["kept"] == len(poses_of(whole, "test"))
    assert len(poses_of(parts, "train")) < len(poses_of(moved, "train"))


def test_a_dataset_without_a_test_split_is_refused(tmp_path):
    FORMATS["lsp-extended"].write(tmp_path, 4, False)
    with pytest.raises(ConfigError, match="val_from: expected a dataset with a test split, found train, val"):
        open_reader(FORMATS["lsp-extended"].options_for(tmp_path, val_from="test"), 0)


def test_targets_do_not_choose_on_what_they_are_tested_on():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["datasets"]["mine"] = {"reader": "coco", "root": "x", "images": True, "val_from": "test"}
    with pytest.raises(ConfigError, match=r"datasets\.mine\.val_from: expected 'held_out' in a dataset with images"):
        load_config(config)
