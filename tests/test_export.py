"""An exported cell: replayed to the same figures, and refused, with its name, where it was tampered with."""

import inspect
import json
import shutil
import stat
import subprocess
import zipfile

import msgspec
import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from flexpose_core.errors import DataError
from flexpose_core.files import read_json, write_json
from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import export, replay
from flexpose_core.stages.evaluate import evaluate
from flexpose_core.stages.export import export_cell
from flexpose_core.stages.replay import differences, unpack
from flexpose_core.stages.reporting import state_origin
from flexpose_core.stages.train_detector import pretrain_eta, train_detector

RUN = "upright-everyday-direct_s1"
DETECTOR = {
    "size": 16,
    "image_widths": [4, 8],
    "eta_widths": [8, 8],
    "decoder_widths": [4, 8],
    "discriminator_widths": [4, 8],
    "eta": {"steps": 2, "batch": 4},
    "gan": {"steps": 2, "batch": 4},
    "device": "cpu",
}


def drawn_cache(path, count, seed):
    poses = np.random.default_rng(seed).uniform(0.1, 0.9, (count, len(BODY15), 2)).astype(np.float32)
    images = draw_lines(poses, BODY15, 32)
    columns = {name: getattr(plain_batch(poses, "walk"), name) for name in PoseBatch.__dataclass_fields__}
    backgrounds = [np.zeros((32, 32, 3), np.uint8)] * count
    columns |= {"images": encode_images(images, "png"), "backgrounds": encode_images(backgrounds, "png")}
    write_cache(path, [PoseBatch(**columns)], BODY15, {})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of one cell of Table 1, made with little of everything."""
    results = tmp_path_factory.mktemp("project") / "results"
    raw = json.loads(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text())))
    raw |= {"detector": DETECTOR, "seeds": 2}
    grid = Grid(load_config(raw))
    run, cell = grid.run(RUN), results / "cells" / RUN
    for seed, split in enumerate(("train", "val", "test")):
        drawn_cache(results / f"data/people-upright/{split}.h5", 10, seed)
    drawn_cache(results / f"guidance/{run.guidance}/shots.h5", 3, 3)
    random = np.random.default_rng(4).uniform(0.1, 0.9, (20, len(BODY15), 2))
    pose_set = results / "pose_sets" / run.pose_set
    write_cache(pose_set / "poses.h5", [plain_batch(random)], BODY15, {})
    options, work = grid.config.detector, results / "work"
    pretrain_eta(options, pose_set / "poses.h5", pose_set / "eta.safetensors", pose_set / "eta.json", 1, work / "eta")
    target = {split: results / f"data/people-upright/{split}.h5" for split in ("train", "val", "test")}
    detector = cell / "detector.safetensors"
    train_detector(
        options, target["train"], pose_set / "poses.h5", pose_set / "eta.safetensors", detector, 1, work / "d"
    )
    inputs = {"pose_set": pose_set / "poses.h5", **target, "shots": results / f"guidance/{run.guidance}/shots.h5"}
    outputs = {"out_metrics": cell / "metrics.json", "out_picture": cell / "predictions.png"}
    evaluate(options, grid.run_params(RUN), detector, **inputs, **outputs)
    state_origin(cell / "metrics.json", "a stamp", grid.run_config(RUN), 1)
    return results


@pytest.fixture(scope="module")
def archive(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "cell.zip"
    export_cell(results / "cells" / RUN, path)
    return path


def rewritten(archive, out, change, add=()):
    """Copy an archive with what `change` makes of each name and content, None to leave it out, and more entries behind them."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for entry, data in add:
            new.writestr(entry, data)
    return out


def unchanged(_name, data):
    return data


def with_manifest(change):
    def changed(name, data):
        if name != "manifest.json":
            return data
        manifest = json.loads(data)
        change(manifest)
        return json.dumps(manifest)

    return changed


def test_a_cell_replays_to_the_same_figures_where_its_results_are_not(archive, tmp_path, capsys):
    copy = shutil.copy(archive, tmp_path / "elsewhere.zip")
    assert replay.main([str(copy)]) == 0
    said = capsys.readouterr().out
    assert f"{RUN}, evaluated again" in said
    assert "the same to the last digit in every figure" in said
    assert "code of the evaluation: exported with a stamp, here " in said


def test_the_same_cell_is_the_same_archive(results, archive, tmp_path):
    export_cell(results / "cells" / RUN, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_a_cell_is_evaluated_again_from_all_that_it_was_evaluated_from():
    grid = Grid(load_config(yaml.safe_load((ROOT / "config.yaml").read_text())))
    known = inspect.signature(evaluate).parameters
    for run in grid.runs.values():
        inputs = set(export.evaluated_files(run).values()) - {"metrics"}
        assert inputs <= set(known)
        # What the rule gives besides: shards of the measures are made anew.
        assert ("shots" in inputs) == (run.method.guidance is not None)
        assert ("adaptation" in inputs) == run.chooses_layers
    assert any(run.chooses_layers for run in grid.runs.values())


@pytest.mark.parametrize("placed", [0.25, 0])
def test_placed_poses_go_along_where_a_run_has_them(placed):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    grid = Grid(load_config({**raw, "animation": {"renewal": {"placed": placed}}}))
    taken = {
        name for name, run in grid.runs.items() if f"pose_sets/{run.pose_set}/placed.h5" in export.files_beside(run)
    }
    pairs = ("upright-everyday", "upright-studio", "upright-synthetic", "all-everyday")
    expected = {"upright-everyday-nearest-renewed_s0", *(f"{pair}-flexpose-renewed_s0" for pair in pairs)}
    assert taken == (expected if placed else set())


def with_metrics(archive, folder, change):
    """An archive whose metrics were changed by someone who means it."""

    def other_figure(name, data):
        if name == "manifest.json":
            manifest = json.loads(data)
            manifest["files"][metrics]["bytes"] = path.stat().st_size
            manifest["files"][metrics]["checksum"] = export.measure(path)[1]
            return json.dumps(manifest)
        return path.read_bytes() if name == metrics else data

    metrics, path = f"cells/{RUN}/metrics.json", folder / "metrics.json"
    with zipfile.ZipFile(archive) as opened:
        changed = json.loads(opened.read(metrics))
    del changed["checksum"]  # so that it is sealed again
    change(changed)
    write_json(path, changed)
    return rewritten(archive, folder / "other.zip", other_figure), changed


def test_a_cell_made_on_a_gpu_is_evaluated_where_there_is_none(archive, tmp_path, monkeypatch):
    def on_a_gpu(metrics):
        metrics["origin"]["options"]["detector"]["device"] = "cuda"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    other, stated = with_metrics(archive, tmp_path, on_a_gpu)
    before, after = replay.replay(other, tmp_path / "out")
    assert before["origin"] == stated["origin"]
    assert list(replay.differences(before, after)) == []


def test_a_cell_made_on_a_gpu_is_made_anew_where_there_is_none(results, tmp_path, monkeypatch):
    stated = read_json(results / f"cells/{RUN}/metrics.json")
    options = stated["origin"]["options"]
    for stage in ("detector", "generator", "regressor", "sampling"):
        options[stage]["device"] = "cuda"
    monkeypatch.setattr(subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 1))
    with pytest.raises(DataError, match="found that it failed"):
        replay.retrain(stated, tmp_path, 1)
    assert '"cuda"' not in (tmp_path / "config.json").read_text()
    assert options["sampling"]["device"] == "cuda"


def test_another_figure_is_told(archive, tmp_path, capsys):
    def a_bit_less(metrics):
        metrics["test"]["as_is"]["mse"] = np.nextafter(metrics["test"]["as_is"]["mse"], 0)

    with zipfile.ZipFile(archive) as opened:
        before = json.loads(opened.read(f"cells/{RUN}/metrics.json"))["test"]["as_is"]["mse"]
    other, _ = with_metrics(archive, tmp_path, a_bit_less)
    assert replay.main([str(other)]) == 2
    said = capsys.readouterr().out
    assert "1 figures differ" in said
    assert f"test.as_is.mse: expected {np.nextafter(before, 0)}, found {before}" in said


def test_a_cell_is_planned_anew_from_its_options_alone(results, tmp_path, monkeypatch):
    stated, run = read_json(results / f"cells/{RUN}/metrics.json"), subprocess.run

    def planned(command, check):
        *options, target = command
        done = run([*options[:-1], "--dry-run", "--", target], capture_output=True, text=True, check=check)
        assert done.returncode == 0, done.stdout + done.stderr
        for rule in ("convert", "guide", "compose", "pretrain_eta", "train_detector", "evaluate"):
            assert f"rule {rule}:" in done.stdout
        shutil.copytree(results / "cells" / RUN, tmp_path / "results/cells" / RUN)
        return done

    monkeypatch.setattr(subprocess, "run", planned)
    assert replay.retrain(stated, tmp_path, 2) == stated
    options = json.loads((tmp_path / "config.json").read_text())
    assert Grid(load_config(options)).run_params(RUN) == Grid(load_config(stated["origin"]["options"])).run_params(RUN)


def test_paths_of_a_cell_made_anew_start_from_where_they_did(tmp_path, monkeypatch):
    options = {
        "datasets": {"mine": {"reader": "keypoints-json", "root": "data/mine"}, "everyday": {"reader": "people"}},
        "methods": {
            "a": {"adaptation": {"perceptual": {"kind": "vgg16", "weights": "data/vgg16.pth"}}},
            "b": {"adaptation": {"perceptual": {"kind": "vgg16", "weights": "random"}}},
            "c": {"adaptation": None},
        },
    }
    stated = {"origin": {"options": options}, "name": "a", "seed": 0}
    monkeypatch.setattr(subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="found that it failed"):
        replay.retrain(stated, tmp_path / "new", 1)
    written = json.loads((tmp_path / "new/config.json").read_text())
    assert written["datasets"] == {
        "mine": {"reader": "keypoints-json", "root": str(tmp_path / "data/mine")},
        "everyday": {"reader": "people"},
    }
    weights = [(written["methods"][name]["adaptation"] or {}).get("perceptual", {}).get("weights") for name in "abc"]
    assert weights == [str(tmp_path / "data/vgg16.pth"), "random", None]
    assert options["datasets"]["mine"]["root"] == "data/mine"


def test_images_can_stay_at_home(results, tmp_path, capsys):
    out = tmp_path / "cell.zip"
    assert export.main([str(results / "cells" / RUN), str(out), "--without-images"]) == 0
    said = capsys.readouterr().out
    assert "left out: data/people-upright/test.h5" in said
    assert "--most-gb" not in said
    with zipfile.ZipFile(out) as opened:
        assert not [name for name in opened.namelist() if name.startswith(("data/", "guidance/"))]
    assert replay.main([str(out)]) == 1
    assert "leaves out data/people-upright/" in capsys.readouterr().err
    assert replay.main([str(out), "--data", str(results)]) == 0
    other = shutil.copytree(results, tmp_path / "other")
    drawn_cache(other / "data/people-upright/val.h5", 10, 9)
    assert replay.main([str(out), "--data", str(other)]) == 1
    assert "val.h5: expected the file with checksum" in capsys.readouterr().err


def test_an_archive_larger_than_the_limit_is_replayed_once_that_is_raised(results, tmp_path, monkeypatch, capsys):
    out = tmp_path / "cell.zip"
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    assert export.main([str(results / "cells" / RUN), str(out)]) == 0
    assert "to replay it: --most-gb 1," in capsys.readouterr().out
    assert replay.main([str(out), "--most-gb", "1e-6"]) == 1
    assert "expected at most 0 MB" in capsys.readouterr().err
    assert replay.main([str(out), "--most-gb", "1"]) == 0
    for wrong in ("inf", "nan", "0", "-1", "much"):
        with pytest.raises(SystemExit):
            replay.main([str(out), "--most-gb", wrong])
        assert "--most-gb: invalid" in capsys.readouterr().err


def test_a_damaged_file_is_named(archive, tmp_path):
    def flipped(name, data):
        return data[:-1] + bytes([data[-1] ^ 1]) if name.endswith("detector.safetensors") else data

    with pytest.raises(DataError, match=r"detector.safetensors: damaged: expected \d+ bytes with checksum"):
        unpack(rewritten(archive, tmp_path / "a.zip", flipped), tmp_path / "out")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged archive"):
        unpack(cut, tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        unpack(tmp_path / "nowhere.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_compressed_archive_is_named(archive, tmp_path, kind):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(packed, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        entry = next(one for one in new.infolist() if one.filename.endswith("detector.safetensors"))
    data = bytearray(packed.read_bytes())
    start = entry.header_offset + 30 + len(entry.filename) + 40
    data[start : start + 64] = bytes(64)
    packed.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        unpack(packed, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "cells/../../evil.txt", "./evil.txt", "a//b"])
def test_names_that_lead_out_are_refused(archive, tmp_path, name):
    entry = {"bytes": 4, "checksum": "0" * 32}
    stated = with_manifest(lambda manifest: manifest["files"].update({name: entry}))
    for change in (unchanged, stated):
        with pytest.raises(DataError, match=r"expected (a path inside|plain paths|a file that)"):
            unpack(rewritten(archive, tmp_path / "a.zip", change, [(name, b"evil")]), tmp_path / "in" / "out")
    assert not (tmp_path / "in").exists()


def test_a_link_is_written_as_a_file_or_refused(archive, tmp_path):
    link = zipfile.ZipInfo("cells/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match="expected a file that its manifest names, found 'cells/link'"):
        unpack(rewritten(archive, tmp_path / "a.zip", unchanged, [(link, b"/etc/passwd")]), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["files"].pop(f"cells/{RUN}/metrics.json"), "a file that its manifest names, found 'cells/"),
        (lambda m: m["files"].update(more={"bytes": 1, "checksum": "0" * 32}), "missing 'more'"),
        (lambda m: m["files"][f"cells/{RUN}/metrics.json"].update(bytes=9), "expected 9 bytes, found more"),
        (lambda m: m["files"][f"cells/{RUN}/metrics.json"].update(bytes=-9), "manifest.json: "),
        (lambda m: m["files"][f"cells/{RUN}/metrics.json"].update(bytes=10**12), "expected at most 8000 MB"),
        (lambda m: m.update(run="../x"), "manifest.json: "),
        (lambda m: m.update(format="flexpose-cell-9"), "manifest.json: "),
        (lambda m: m.update(extra=1), "manifest.json: "),
    ],
)
def test_a_wrong_manifest_is_refused(archive, tmp_path, change, message):
    with pytest.raises(DataError) as error:
        unpack(rewritten(archive, tmp_path / "a.zip", with_manifest(change)), tmp_path / "out")
    assert message in str(error.value)


def test_other_archives_are_refused(archive, tmp_path):
    with pytest.raises(DataError, match="expected an exported cell"):
        unpack(rewritten(archive, tmp_path / "a.zip", lambda name, data: None, [("x", b"")]), tmp_path / "out")
    many = [(f"f{number}", b"") for number in range(200)]
    with pytest.raises(DataError, match="at most 100 different files"):
        unpack(rewritten(archive, tmp_path / "b.zip", unchanged, many), tmp_path / "out")


def test_a_cell_without_its_origin_or_of_another_name_is_named(results, tmp_path):
    copy = shutil.copytree(results, tmp_path / "results")
    cell = copy / "cells" / RUN
    metrics = read_json(cell / "metrics.json")
    cell.rename(cell.parent / "upright-everyday-direct_s0")
    with pytest.raises(DataError, match="expected the metrics of upright-everyday-direct_s0, found those of"):
        export_cell(cell.parent / "upright-everyday-direct_s0", tmp_path / "a.zip")
    shutil.copytree(results / "cells" / RUN, cell)
    (copy / "pose_sets" / RUN / "poses.h5").unlink()
    with pytest.raises(DataError, match=r"poses.h5: no such file: expected a finished cell"):
        export_cell(cell, tmp_path / "a.zip")
    write_json(cell / "metrics.json", {key: value for key, value in metrics.items() if key != "origin"})
    with pytest.raises(DataError, match="with its origin, found none"):
        export_cell(cell, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_differences_are_those_of_figures_and_not_of_the_origin():
    first = {"origin": {"seed": 1}, "a": {"b": 1.0, "origin": 3}, "c": [1, 2]}
    assert list(differences(first, {**first, "origin": 2})) == []
    second = {"a": {"b": 1.0, "origin": 4}, "c": [1, 3], "d": 5}
    assert [line.split(":")[0] for line in differences(first, second)] == ["a.origin", "c", "d"]


def test_the_manifest_has_every_file_to_evaluate_on(results, archive):
    with zipfile.ZipFile(archive) as opened:
        manifest = msgspec.json.decode(opened.read("manifest.json"), type=export.Manifest)
        assert set(opened.namelist()) == {"manifest.json", *manifest.files}
    for name, entry in manifest.files.items():
        assert (results / name).stat().st_size == entry.bytes
    assert {name.rsplit("/")[-1] for name in manifest.files} == {
        "metrics.json", "detector.safetensors", "poses.h5", "train.h5", "val.h5", "test.h5", "shots.h5",
        "eta.safetensors", "eta.json",
    }  # fmt: skip
