import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flexpose_core
from flexpose_core.stamp import code_stamp, imported_modules

STAGE = "flexpose_core.stages.compose"


def test_imports_are_followed_and_unrelated_modules_are_not():
    found = imported_modules(STAGE)
    assert {
        "flexpose_core.poses.cache",
        "flexpose_core.skeletons",
        "flexpose_core.files",
        "flexpose_core.errors",
    } <= found
    assert "flexpose_core.models.style_generator" not in found
    assert "flexpose_core.stages.tabulate" not in found


def test_finding_and_training_do_not_depend_on_how_people_are_animated():
    for stage in ("find_poses", "train_detector", "evaluate"):
        found = imported_modules(f"flexpose_core.stages.{stage}")
        assert "flexpose_core.training.objectives.keypoint_gan" in found
        assert not {name for name in found if "animat" in name or "renew" in name}


@pytest.fixture
def stamp_of_copy(tmp_path):
    """Stamp the stage in a copy of the package, in a process of its own, as the workflow would after an edit."""
    package = tmp_path / "flexpose_core"
    shutil.copytree(Path(flexpose_core.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "data"))

    def stamp():
        code = f"from flexpose_core.stamp import code_stamp; print(code_stamp({STAGE!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return package, stamp


def test_the_stamp_follows_what_the_stage_uses_and_nothing_else(stamp_of_copy):
    package, stamp = stamp_of_copy
    before = stamp()
    assert before == code_stamp(STAGE)

    used = package / "poses" / "cache.py"
    original = used.read_text()
    used.write_text("# a comment\n\n" + original)
    assert stamp() == before
    used.write_text(original.replace("The pose cache:", "The cache of poses:"))
    assert stamp() == before
    used.write_text(original.replace("CHUNK = 1024", "CHUNK = 512"))
    assert stamp() != before
    used.write_text(original)

    unused = package / "stages" / "tabulate.py"
    unused.write_text(unused.read_text() + "\nEXTRA = 1\n")
    assert stamp() == before
