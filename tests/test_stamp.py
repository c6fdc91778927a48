import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_detector_stages import OPTIONS, caches  # noqa: F401 - a fixture

import flexpose_core
from flexpose_core import stamp
from flexpose_core.stages import train_detector
from flexpose_core.stages.train_detector import pretrain_eta
from flexpose_core.stamp import code_stamp, imported_modules
from flexpose_core.training.loop import LoopOptions
from flexpose_core.training.objectives.eta import EtaObjective

STAGE = "flexpose_core.stages.compose"
PACKAGE = Path(flexpose_core.__file__).parent


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


def test_embedded_arrays_and_the_libraries_of_a_stage_are_in_its_stamp():
    held = {
        path.name
        for name in ("people", "faces")
        for module in imported_modules(f"flexpose_core.datasets.{name}.reader")
        for path in stamp._read(module).data
    }
    assert held == {"motion.npz", "bodies.npz", "head.npz"}
    libraries = {
        stage: {
            library
            for module in imported_modules(f"flexpose_core.stages.{stage}")
            for library in stamp._read(module).libraries
        }
        for stage in ("measure_poses", "pose_figures", "train_regressor")
    }
    assert {"pot", "scipy"} <= libraries["measure_poses"]
    assert "scikit-learn" in libraries["pose_figures"]
    assert "torch" in libraries["train_regressor"]
    assert "torch" not in libraries["measure_poses"]


def test_finding_and_training_do_not_depend_on_how_people_are_animated():
    for stage in ("find_poses", "train_detector", "evaluate"):
        found = imported_modules(f"flexpose_core.stages.{stage}")
        assert "flexpose_core.training.objectives.keypoint_gan" in found
        assert not {name for name in found if "animat" in name or "renew" in name}


def test_every_stage_that_trains_states_its_code():
    texts = {path.name: path.read_text() for path in (PACKAGE / "stages").glob("*.py")}
    training = {name: text for name, text in texts.items() if "training.loop import" in text and "train(" in text}
    assert len(training) >= 8
    for name, text in training.items():
        # In its own identity, or in one that it is given by a stage that does.
        assert "code_stamp(__name__)" in text or "identity: str" in text, name


@pytest.mark.parametrize(("code", "steps"), [("as it was", [0, 1]), ("edited", [0, 0, 1])])
def test_a_checkpoint_of_other_code_is_not_gone_on_from(tmp_path, caches, monkeypatch, code, steps):  # noqa: F811
    step, taken, stops = EtaObjective.step, [], [1]

    def stopped(self, number, random):
        if number in stops:
            stops.clear()
            raise KeyboardInterrupt
        taken.append(number)
        return step(self, number, random)

    def run():
        outputs = tmp_path / "eta.safetensors", tmp_path / "eta.json"
        pretrain_eta(OPTIONS, caches["poses"], *outputs, 0, tmp_path / "work", LoopOptions(checkpoint_seconds=0))

    monkeypatch.setattr(EtaObjective, "step", stopped)
    monkeypatch.setattr(train_detector, "code_stamp", lambda module: f"{module} as it was")
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(train_detector, "code_stamp", lambda module: f"{module} {code}")
    run()
    assert taken == steps


def test_what_computes_without_torch_starts_without_it():
    """It takes seconds to import, and a grid has hundreds of such jobs."""
    stages = ("convert", "contact_sheet", "guide", "gather_samples", "compose", "compose_baseline", "compose_chosen",
              "measure_poses", "place_source", "tabulate", "claims", "cards", "reporting")  # fmt: skip
    readers = ("people", "faces")
    modules = [*(f"stages.{stage}" for stage in stages), *(f"datasets.{reader}.reader" for reader in readers)]
    lines = ["import sys", *(f"import flexpose_core.{module}" for module in modules), "print('torch' in sys.modules)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("stage", ["compose_baseline", "evaluate", "measure_poses"])
def test_statistics_are_imported_by_what_measures(stage):
    code = f"import sys, flexpose_core.stages.{stage}; print({{'ot', 'sklearn', 'scipy.stats'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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

    other_library = used.read_text() + "\ndef later():\n    import ot\n"
    used.write_text(other_library)
    with_library = stamp()
    assert with_library != before
    used.write_text(other_library.replace("import ot", "import os"))
    assert stamp() not in (before, with_library)
    used.write_text(original)

    data = used.parent / "data"
    data.mkdir()
    (data / "unnamed.npz").write_bytes(b"1")
    assert stamp() == before
    used.write_text(original + "\nHELD = 'arrays.npz'\n")
    without = stamp()
    (data / "arrays.npz").write_bytes(b"1")
    first = stamp()
    (data / "arrays.npz").write_bytes(b"2")
    assert len({before, without, first, stamp()}) == 4
    used.write_text(original)

    unused = package / "stages" / "tabulate.py"
    unused.write_text(unused.read_text() + "\nEXTRA = 1\n")
    assert stamp() == before
