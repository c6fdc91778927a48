"""What every metrics file says of its origin."""

import json
import sys
import tomllib
from importlib import metadata

from conftest import ROOT

from flexpose_core.files import write_json
from flexpose_core.stages.reporting import state_origin
from flexpose_core.stamp import library_versions


def test_the_versions_are_those_of_all_libraries_asked_for():
    found = library_versions()
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in (text.split(">")[0] for text in asked):
        assert found[name] == metadata.version(name)
    assert found["python"] == "{}.{}.{}".format(*sys.version_info)


def test_the_origin_is_added_to_what_is_there(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"mse": 3.0})
    state_origin(path, "abc", {"options": {"steps": 4}}, seed=2)
    written = json.loads(path.read_text())
    assert written["mse"] == 3.0
    assert written["origin"] == {
        "code": "abc", "options": {"options": {"steps": 4}}, "seed": 2, "versions": library_versions(),
    }  # fmt: skip
