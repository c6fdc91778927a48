"""Figures 5 and 6: what is measured of painted people, and whose predictions stand where."""

import numpy as np
import pytest
import torch
from test_cycle_gan import CPU, OPTIONS, caches  # noqa: F401 - a fixture
from test_figures import drawn
from test_tabulate import metrics as cell_metrics
from test_tabulate import write_run

from flexpose_core.errors import DataError
from flexpose_core.files import read_json
from flexpose_core.measures.detection import better_labelling, mean_pose_floor
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import to_uint8
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages import evaluate as evaluation
from flexpose_core.stages import image_figures
from flexpose_core.stages.train_cycle_gan import load_painter, poses_apart, train_cycle_gan
from flexpose_core.stages.train_detector import DETECTOR_KIND, described, frames_of, untrained
from flexpose_core.training.checkpoint import save_weights

PCK = {"0.05": 0.125, "0.1": 0.25, "0.2": 0.5}


def write_detector(path, skeleton=BODY15, seed=0, contrast="none"):
    widths = dict.fromkeys(("image_widths", "eta_widths", "decoder_widths", "discriminator_widths"), (8, 12))
    options = DetectorOptions(size=16, contrast=contrast, **widths)
    architecture = options.architecture(len(skeleton))
    phi = untrained(ImageToSkeleton, architecture, seed, "phi", CPU)
    eta = untrained(SkeletonToKeypoints, architecture, seed, "eta", CPU)
    tensors = {f"detector.{name}": value for name, value in Detector(phi, eta).state_dict().items()}
    save_weights(path, tensors, DETECTOR_KIND, described(architecture, skeleton), {"seed": seed})
    return path


def write_metrics(folder, name):
    test = {**cell_metrics(80.0, 75.0), "samples": 1234}
    test["flip_aware"]["pck"] = PCK
    return write_run(folder, name, "flexpose", [], 0, 80.0, 75.0, more={"test": test})


@pytest.fixture
def painted(tmp_path, caches):  # noqa: F811
    """The inputs of Figure 5, in the order in which they are given."""
    weights = tmp_path / "painter.safetensors"
    train_cycle_gan(OPTIONS, caches["images"], caches["poses"], 12, weights, 0, tmp_path / "work")
    detector = write_detector(tmp_path / "detector.safetensors")
    return [weights, caches["poses"], 12, detector, caches["images"], write_metrics(tmp_path, "cell"), 0]


def test_painted_people_are_measured_against_the_poses_asked_for(tmp_path, painted, monkeypatch):
    others, asked = poses_apart(load_cache(painted[1]), painted[1], 12, 0)
    seen = []

    def all_but_right(detector, frames, device):
        seen.append(frames)
        return asked + np.float32(3 / 128)

    monkeypatch.setattr(image_figures, "predict", all_but_right)
    out = tmp_path / "figure5.json"
    text = drawn(tmp_path, image_figures.draw_painted_people, *painted, out)
    found = read_json(out)
    assert found["cell"] == "cell"
    assert found["painted"]["samples"] == 12
    assert found["painted"]["flip_aware"]["mse"] == pytest.approx(2 * 9, rel=1e-4)
    assert found["real"] == read_json(painted[5])["test"]
    visible = [np.ones(poses.shape[:2], np.uint8) for poses in (others, asked)]
    assert found["mean_pose"] == mean_pose_floor(others, visible[0], asked, visible[1], BODY15)
    for words in (image_figures.ASKED, image_figures.PAINTED, image_figures.FOUND, "MSE 18.0 px²", "1,234 images"):
        assert words in text
    # The detector is given pictures of its own size before the backgrounds that they were painted before.
    assert seen[0].images.shape == seen[0].backgrounds.shape == (12, 3, 16, 16)
    assert seen[0].images.dtype == torch.uint8


def test_the_detector_sees_painted_people_as_it_sees_others(tmp_path, painted, monkeypatch):
    painted[3] = write_detector(tmp_path / "local.safetensors", contrast="local")
    seen = []

    def nothing(detector, frames, device):
        seen.append(frames.contrast)
        return np.full((12, 15, 2), 0.5, np.float32)

    monkeypatch.setattr(image_figures, "predict", nothing)
    drawn(tmp_path, image_figures.draw_painted_people, *painted, tmp_path / "figure5.json")
    assert set(seen) == {"local"}


def test_a_person_is_painted_for_each_pose_before_its_background(painted):
    painter, _, _ = load_painter(painted[0], CPU)
    frames = frames_of(load_cache(painted[4], images=True), 16, "none")
    asked, rows = poses_apart(load_cache(painted[1]), painted[1], 12, 0)[1], torch.arange(12)
    skeletons, people, behind = image_figures.paint(painter, asked, BODY15, frames, rows, CPU)
    expected = frames.backgrounds[frames.background[rows]].permute(0, 2, 3, 1).numpy()
    assert np.array_equal(behind, expected)
    assert np.array_equal(skeletons, to_uint8(draw_lines(torch.from_numpy(asked), BODY15, 16, 1).numpy()))
    assert people.shape == behind.shape
    again = image_figures.paint(painter, asked[::-1], BODY15, frames, rows.flip(0), CPU)[1]
    assert np.abs(again[::-1].astype(int) - people).max() <= 1


def test_a_painter_of_other_joints_is_refused(tmp_path, painted):
    painted[3] = write_detector(tmp_path / "faces.safetensors", FACE68)
    outputs = [tmp_path / name for name in ("a.json", "a.png", "a.svg")]
    with pytest.raises(DataError, match=r"faces.safetensors: expected skeleton body15 as in .*painter"):
        image_figures.draw_painted_people(*painted, *outputs)
    assert not any(path.exists() for path in outputs)


def test_predictions_stand_in_the_row_of_their_cell(tmp_path, painted, monkeypatch):
    test = painted[4]
    cells = {
        name: write_detector(tmp_path / f"{name}.safetensors", seed=seed) for seed, name in enumerate(("near", "far"))
    }
    files = [write_metrics(tmp_path, name) for name in cells]
    rows = {}
    monkeypatch.setattr(
        image_figures, "_draw_rows", lambda shown, columns, lines, *_: rows.update(shown=shown, lines=lines)
    )
    image_figures.draw_predictions(cells, files, test, tmp_path / "a.png", tmp_path / "a.svg")
    assert list(rows["shown"]) == ["near", "far", image_figures.TRUTH]
    assert rows["lines"][1] == "far: MSE 75.0 px², PCK5 0.12, PCK10 0.25, PCK20 0.50 (1,234 images)"
    split = load_cache(test, images=True)
    chosen = np.linspace(0, 11, 8).astype(int)
    bare = image_figures.shown_images(split, chosen)
    truth = image_figures.overlay_poses(bare, split.poses[chosen], BODY15)
    assert np.array_equal(rows["shown"][image_figures.TRUTH], truth)
    assert not np.array_equal(rows["shown"]["near"], rows["shown"]["far"])
    monkeypatch.undo()
    text = drawn(tmp_path, image_figures.draw_predictions, cells, files, test)
    assert all(f">{word}<" in text for word in ("near", "far", "truth"))
    cells["far"] = write_detector(tmp_path / "faces.safetensors", FACE68)
    with pytest.raises(DataError, match=r"faces.safetensors: expected skeleton body15"):
        image_figures.draw_predictions(cells, files, test, tmp_path / "a.png", tmp_path / "a.svg")


@pytest.mark.parametrize("contrast", ["none", "local"])
def test_predictions_shown_are_those_that_were_evaluated(tmp_path, painted, monkeypatch, contrast, tensorfloat):
    weights, shown = write_detector(tmp_path / "own.safetensors", contrast=contrast), {}
    monkeypatch.setattr(image_figures, "_draw_rows", lambda rows, *_: shown.update(rows))
    outputs = [tmp_path / name for name in ("a.png", "a.svg")]
    image_figures.draw_predictions({"own": weights}, [write_metrics(tmp_path, "own")], painted[4], *outputs)
    assert tensorfloat == [False]
    evaluated, seen = tmp_path / "metrics.json", []
    monkeypatch.setattr(evaluation, "detection_metrics", lambda predicted, *_: seen.append(predicted) or {})
    evaluation.evaluate(
        DetectorOptions(), {}, weights, painted[1], *[painted[4]] * 3, out_metrics=evaluated, out_picture=outputs[0]
    )
    split, chosen = load_cache(painted[4], images=True), np.linspace(0, 11, 8).astype(int)
    found = better_labelling(seen[-1][chosen], split.poses[chosen], split.visibility[chosen], BODY15)
    bare = image_figures.shown_images(split, chosen)
    assert np.array_equal(shown["own"], image_figures.overlay_poses(bare, found, BODY15))
