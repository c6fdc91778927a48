"""Figures: what they read, what they place where, and that the same data give the same bytes."""

import cv2
import numpy as np
import pytest
from test_tabulate import write_run
from torch.utils.tensorboard import SummaryWriter

from flexpose_core.errors import DataError
from flexpose_core.files import write_json
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import figures, pose_figures


def drawn(folder, draw, *arguments):
    """Draw twice, check that the bytes agree, and return the SVG's text."""
    outputs = [(folder / f"{name}.png", folder / f"{name}.svg") for name in "ab"]
    for png, svg in outputs:
        draw(*arguments, png, svg)
    for first, second in zip(*outputs, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert np.ptp(cv2.imread(str(outputs[0][0]))) > 200
    return outputs[0][1].read_text()


@pytest.fixture
def axes_of(monkeypatch):
    """What stands in the first panel of a figure, instead of its files."""

    def look(draw, *arguments):
        shown = []
        monkeypatch.setattr(figures, "write_figure", lambda figure, png, svg: shown.append(figure))
        draw(*arguments, None, None)
        return shown[0].axes[0]

    return look


def test_the_layer_losses_that_are_drawn_are_those_of_the_files(tmp_path, axes_of):
    files = [tmp_path / f"{place}.json" for place in range(3)]
    for path, after in zip(files, (0.2, 0.4, 0.9), strict=True):
        write_json(path, {"loss": {"before": 2.0, "after": after}})
    axes = axes_of(figures.draw_layer_losses, files, [3, 3, 5])
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_allclose(lines["after the adaptation"].get_xydata(), [(3, 0.3), (5, 0.9)])
    np.testing.assert_allclose(lines["before the adaptation"].get_xydata(), [(3, 2.0), (5, 2.0)])
    points = [tuple(point) for line in axes.get_lines() if line.get_marker() == "." for point in line.get_xydata()]
    assert sorted(points) == [(3, 0.2), (3, 0.4), (3, 2), (3, 2), (5, 0.9), (5, 2)]


def test_the_bars_are_means_and_their_lines_standard_deviations(tmp_path, axes_of):
    files = [
        write_run(tmp_path, "near", "flexpose", [], 0, 1.0, 1.0, more=joints(head=1.0, left_hand=5.0)),
        write_run(tmp_path, "near", "flexpose", [], 1, 1.0, 1.0, more=joints(head=2.0, left_hand=8.0)),
        write_run(tmp_path, "far", "direct", [], 0, 1.0, 1.0, more=joints(head=9.0, left_hand=7.0)),
    ]
    axes = axes_of(figures.draw_joint_errors, files)
    bars = {container.get_label(): container for container in axes.containers if hasattr(container, "patches")}
    assert [bar.get_height() for bar in bars["near"]] == [1.5, 6.5]
    assert [bar.get_height() for bar in bars["far"]] == [9.0, 7.0]
    # The cells of a joint stand beside each other around its place.
    for place in range(2):
        near, far = (bars[cell][place] for cell in ("near", "far"))
        assert near.get_x() + near.get_width() == pytest.approx(far.get_x()) == pytest.approx(place)
    errors = bars["near"].errorbar.lines[2][0].get_segments()
    np.testing.assert_allclose([upper[1] - lower[1] for lower, upper in errors], 2 * np.array([1, 3]) / 2**0.5)


def test_a_curve_is_drawn_through_what_was_logged(tmp_path, axes_of):
    log(tmp_path / "x", 0, 4, 2.0)
    log(tmp_path / "y", 0, 3, 1.0)
    axes = axes_of(figures.draw_curves, {"run-x": tmp_path / "x", "run-y": tmp_path / "y"})
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["run-x"], [(0, 0), (1, 2), (2, 4), (3, 6)])
    np.testing.assert_array_equal(lines["run-y"], [(0, 0), (1, 1), (2, 2)])


def test_losses_are_told_by_layer(tmp_path):
    files, layers = [], [1, 1, 8, 8]
    for place, after in enumerate([0.1, 0.3, 0.8, 0.9]):
        files.append(tmp_path / f"{place}.json")
        write_json(files[-1], {"loss": {"before": 2.0, "after": after}})
    assert figures.layer_losses(files, layers) == {
        1: {"before": [2.0, 2.0], "after": [0.1, 0.3]},
        8: {"before": [2.0, 2.0], "after": [0.8, 0.9]},
    }
    text = drawn(tmp_path, figures.draw_layer_losses, files, layers)
    assert "loss of Eq. 5" in text
    write_json(files[0], {"loss": None})
    with pytest.raises(DataError, match=r"0\.json: expected the losses"):
        figures.layer_losses(files, layers)


def joints(**distances):
    return {"test": {"as_is": {"mse": 1.0}, "flip_aware": {"mse": 1.0, "joint_distance": distances}}}


def test_errors_are_told_by_cell_and_joint(tmp_path):
    files = [
        write_run(tmp_path, "near", "flexpose", [], 0, 1.0, 1.0, more=joints(head=1.0, left_hand=5.0)),
        write_run(tmp_path, "near", "flexpose", [], 1, 1.0, 1.0, more=joints(head=2.0, left_hand=None)),
        write_run(tmp_path, "far", "direct", [], 0, 1.0, 1.0, more=joints(head=9.0, left_hand=None)),
    ]
    entries = [figures.read_metrics(path) for path in files]
    assert figures.joint_errors(entries) == {
        "near": {"head": [1.0, 2.0], "left_hand": [5.0]},
        "far": {"head": [9.0], "left_hand": []},
    }
    text = drawn(tmp_path, figures.draw_joint_errors, files)
    assert all(word in text for word in ("near", "far", "head", "left hand"))
    assert "missing" not in text
    figures.draw_joint_errors(files, tmp_path / "c.png", tmp_path / "c.svg", ["far_s1"])
    assert "missing: far_s1" in (tmp_path / "c.svg").read_text()


def test_joints_stand_limb_by_limb_as_skeletons_number_them():
    joints = sorted(BODY15.joints)
    assert joints != list(BODY15.joints)
    assert figures.in_skeletons_order(joints) == list(BODY15.joints)
    assert figures.in_skeletons_order({"tail", *BODY15.joints, "claw"}) == [*BODY15.joints, "claw", "tail"]


def log(folder, first, steps, scale):
    with SummaryWriter(str(folder / "log"), purge_step=first) as writer:
        for step in range(first, steps):
            writer.add_scalar("detector/loss", scale * step, step)


def test_errors_of_two_skeletons_stand_side_by_side(tmp_path):
    files = [
        write_run(tmp_path, "people", "flexpose", [], 0, 1.0, 1.0, more=joints(head=1.0)),
        write_run(tmp_path, "faces", "flexpose", [], 0, 1.0, 1.0, more=joints(chin=2.0, brow=3.0)),
    ]
    text = drawn(tmp_path, figures.draw_joint_errors, files)
    assert all(word in text for word in ("head", "chin", "brow"))


def test_the_curve_of_a_training_that_went_back_is_that_of_what_it_kept(tmp_path):
    log(tmp_path / "x", 0, 6, 1.0)
    log(tmp_path / "x", 5, 9, 10.0)
    log(tmp_path / "x", 2, 4, 100.0)  # diverged, and began again from a checkpoint of before
    steps, values = figures.read_curves(tmp_path / "x")["detector/loss"]
    assert (steps, values) == ([0, 1, 2, 3], [0, 1, 200, 300])


def test_the_curve_of_a_resumed_training_is_that_of_its_last_words(tmp_path):
    log(tmp_path / "x", 0, 6, 1.0)
    log(tmp_path / "x", 4, 8, 10.0)  # killed after step 5, taken up from the checkpoint of step 4
    steps, values = figures.read_curves(tmp_path / "x")["detector/loss"]
    assert steps == list(range(8))
    assert values == [0, 1, 2, 3, 40, 50, 60, 70]
    log(tmp_path / "y", 0, 3, 1.0)
    text = drawn(tmp_path, figures.draw_curves, {"run-x": tmp_path / "x", "run-y": tmp_path / "y"})
    assert all(word in text for word in ("run-x", "run-y", "detector/loss"))
    with pytest.raises(DataError, match="expected the log of a training"):
        figures.read_curves(tmp_path / "z")


def groups(count=80):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.7, (1, 15, 2))
    near = base + rng.normal(0, 0.01, (count, 15, 2))
    return {
        "source": np.clip(near + 0.25, 0, 1).astype(np.float32),
        "target": near.astype(np.float32),
        "adapted": (base + rng.normal(0, 0.01, (2 * count, 15, 2))).astype(np.float32),
    }


def test_like_poses_are_near_one_another(tmp_path):
    places = pose_figures.embed(groups(), seed=0, each=60)
    assert {name: own.shape for name, own in places.items()} == dict.fromkeys(groups(), (60, 2))
    centre = {name: own.mean(axis=0) for name, own in places.items()}
    apart = np.linalg.norm(centre["source"] - centre["target"])
    assert np.linalg.norm(centre["adapted"] - centre["target"]) < 0.3 * apart
    again = pose_figures.embed(groups(), seed=0, each=60)
    assert all(np.array_equal(places[name], again[name]) for name in places)
    for name, poses in groups().items():
        write_cache(tmp_path / f"{name}.h5", [plain_batch(poses)], BODY15, {})
    files = [[tmp_path / "source.h5"], tmp_path / "target.h5", tmp_path / "adapted.h5"]
    text = drawn(tmp_path, pose_figures.draw_embedding, *files, 0)
    assert all(word in text for word in ("source", "target", "adapted"))


def test_the_rows_of_a_triptych_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "adaptation.png"), np.random.default_rng(0).integers(0, 255, (60, 200, 3), np.uint8))
    text = drawn(tmp_path, pose_figures.draw_triptych, tmp_path / "adaptation.png")
    places = [text.index(name) for name in pose_figures.ROWS]
    assert places == sorted(places)
    (tmp_path / "adaptation.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="expected a PNG picture"):
        pose_figures.draw_triptych(tmp_path / "adaptation.png", tmp_path / "c.png", tmp_path / "c.svg")
