"""The detector's stages: from caches to weights and metrics."""

import dataclasses

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from test_keypoint_gan import CPU, SMALL, small_poses

import flexpose_core.stages.evaluate as evaluation
import flexpose_core.stages.train_detector as training
from flexpose_core.errors import CheckpointError, DataError
from flexpose_core.files import read_json
from flexpose_core.measures.detection import detection_metrics
from flexpose_core.options.detector import DetectorOptions, EtaOptions, KeypointGanOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.rendering.contrast import GROUND, local_contrast
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.train_detector import DETECTOR_KIND, frames_of, pretrain_eta, train_detector
from flexpose_core.training import frames as training_frames
from flexpose_core.training.both_views import found_in_both_views, mean_of_views
from flexpose_core.training.checkpoint import load_weights, save_weights


@pytest.fixture
def caches(tmp_path):
    """Body poses drawn as line figures over two flat backgrounds, and unpaired poses."""
    paths = {"images": tmp_path / "images.h5", "poses": tmp_path / "poses.h5", "faces": tmp_path / "faces.h5"}
    poses = small_poses(12)
    images = draw_lines(poses, BODY15, 32)
    sequence = (np.arange(12) // 6 + 5).astype(np.int32)
    none = np.zeros(12, np.int32)
    backgrounds = [np.full((32, 32, 3), 9 * (number == 6), np.uint8) for number in sequence]
    visibility = np.ones(poses.shape[:2], np.uint8)
    clip = np.full(12, "walk")
    batch = PoseBatch(
        poses,
        visibility,
        clip,
        subject=none,
        camera=none,
        sequence=sequence,
        frame=np.arange(12, dtype=np.int32),
        images=encode_images(images, "png"),
        backgrounds=encode_images(backgrounds, "png"),
    )
    write_cache(paths["images"], [batch], BODY15, {})
    write_cache(paths["poses"], [plain_batch(small_poses(30, seed=1))], BODY15, {})
    write_cache(paths["faces"], [plain_batch(small_poses(5, FACE68))], FACE68, {})
    return paths


OPTIONS = DetectorOptions(
    **SMALL, eta=EtaOptions(steps=2, batch=4), gan=KeypointGanOptions(steps=2, batch=4), device="cpu"
)


def _run(caches, folder, options=OPTIONS, seed=0):
    eta, detector = folder / "eta.safetensors", folder / "detector.safetensors"
    pretrain_eta(options, caches["poses"], eta, folder / "eta.json", seed, folder / "work_eta")
    train_detector(options, caches["images"], caches["poses"], eta, detector, seed, folder / "work")
    return detector


def _evaluate(caches, detector, folder):
    """Evaluate with one cache as train, val and test; return the metrics file's content."""
    images = caches["images"]
    metrics, picture = folder / "m.json", folder / "p.png"
    evaluation.evaluate(OPTIONS, {"name": "cell"}, detector, caches["poses"], images, images, images, metrics, picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    return read_json(metrics)


def test_stages_from_caches_to_metrics(tmp_path, caches):
    detector = _run(caches, tmp_path / "a")
    assert read_json(tmp_path / "a" / "eta.json")["samples"] == 30
    written = _evaluate(caches, detector, tmp_path)
    assert written["name"] == "cell"
    assert written["annotation_set_size"] == 30
    found = written["test"]
    assert found == written["val"]
    assert found["samples"] == 12
    assert 0 < found["flip_aware"]["mse"] <= found["as_is"]["mse"]
    again = _run(caches, tmp_path / "b")
    assert again.read_bytes() == detector.read_bytes()
    other = load_weights(_run(caches, tmp_path / "c", seed=1), DETECTOR_KIND)[0]
    assert any(not torch.equal(value, other[name]) for name, value in load_weights(detector, DETECTOR_KIND)[0].items())


def test_a_perfect_detector_has_no_error(tmp_path, caches, monkeypatch):
    detector = _run(caches, tmp_path)
    truth = load_cache(caches["images"]).poses
    monkeypatch.setattr(evaluation, "predict", lambda *_: truth)
    test = _evaluate(caches, detector, tmp_path)["test"]
    for found in (test[key] for key in ("as_is", "flip_aware")):
        assert found["mse"] == found["mean_distance"] == 0
        assert set(found["pck"].values()) == {1.0}


def test_of_new_subjects_the_metrics_are_those_of_their_samples(tmp_path, caches):
    """Two people in the test split, of whom the training split shows one."""
    split = load_cache(caches["images"])
    split = dataclasses.replace(split, subject=np.arange(12, dtype=np.int32) % 2)
    train = dataclasses.replace(split, subject=np.zeros(12, np.int32))
    predicted = split.poses + np.linspace(0.01, 0.1, 12, dtype=np.float32)[:, None, None]
    found = evaluation.new_subjects_metrics(predicted, split, train)
    odd = slice(1, None, 2)
    assert found == detection_metrics(predicted[odd], split.poses[odd], split.visibility[odd], BODY15)
    assert found["samples"] == 6
    assert found["as_is"]["mse"] > detection_metrics(predicted, split.poses, split.visibility, BODY15)["as_is"]["mse"]
    assert evaluation.new_subjects_metrics(predicted, split, split) is None
    # One of whom it is not said who it is may be the one.
    unknown = dataclasses.replace(split, subject=-split.subject)
    assert evaluation.new_subjects_metrics(predicted, unknown, train) is None
    # Nobody of whom a joint is known.
    hidden = dataclasses.replace(split, visibility=split.visibility * (split.subject == 0)[:, None])
    assert evaluation.new_subjects_metrics(predicted, hidden, train) is None
    # One cache is all splits here.
    assert _evaluate(caches, _run(caches, tmp_path), tmp_path)["test_new_subjects"] is None


def test_predictions_do_not_depend_on_the_batch(tmp_path, caches, monkeypatch):
    detector, *_ = evaluation.load_detector(_run(caches, tmp_path), CPU)
    frames = frames_of(load_cache(caches["images"], images=True), 16, "none")
    together = evaluation.predict(detector, frames, CPU)
    monkeypatch.setattr(evaluation, "_BATCH", 5)
    np.testing.assert_allclose(evaluation.predict(detector, frames, CPU), together, atol=1e-5)


def test_of_chosen_frames_the_predictions_are_those_of_all(tmp_path, caches):
    detector, *_ = evaluation.load_detector(_run(caches, tmp_path), CPU)
    frames = frames_of(load_cache(caches["images"], images=True), 16, "none")
    chosen = np.array([7, 2, 7])
    found = evaluation.predict(detector, frames, CPU, chosen)
    np.testing.assert_allclose(found, evaluation.predict(detector, frames, CPU)[chosen], atol=1e-5)


@pytest.mark.parametrize("change", [{"unheard_of": 1}, {"skeleton": None}, {"size": "large"}])
def test_a_detector_of_another_version_is_named(tmp_path, caches, change):
    tensors, header = load_weights(_run(caches, tmp_path), DETECTOR_KIND)
    other = tmp_path / "other.safetensors"
    save_weights(other, tensors, DETECTOR_KIND, header["architecture"] | change)
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors: expected the architecture of a keypoint_detector, found"
    ):
        evaluation.load_detector(other, CPU)


def test_what_is_measured_is_not_in_tensorfloat(tmp_path, caches, tensorfloat, monkeypatch):
    detector, *_ = evaluation.load_detector(_run(caches, tmp_path), CPU)
    frames = frames_of(load_cache(caches["images"], images=True), 16, "none")
    tensorfloat.clear()  # of its training
    evaluation.predict(detector, frames, CPU)
    mean_of_views(detector, *frames.take(torch.arange(3), CPU), BODY15)
    assert tensorfloat == [False] * 3
    # Nor is what it sees.
    contrasts, made = [], local_contrast

    def noted(*images):
        contrasts.append(torch.backends.cudnn.allow_tf32)
        return made(*images)

    monkeypatch.setattr(training_frames, "local_contrast", noted)
    frames = frames_of(load_cache(caches["images"], images=True), 16, "local")
    evaluation.predict(detector, frames, CPU)
    found_in_both_views(detector, frames, np.arange(3), BODY15, CPU)
    assert contrasts == [False] * 2


def test_frames_are_area_averaged_and_keep_their_background(caches):
    pictures = load_cache(caches["images"], images=True)
    frames = frames_of(pictures, 16, "none")
    expected = pictures.images[:].reshape(12, 16, 2, 16, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    assert np.abs(frames.images.numpy() - expected).max() <= 0.51
    _, backgrounds = frames.take(torch.tensor([0, 11]), CPU)
    np.testing.assert_allclose(backgrounds[:, 0, 0, 0], [-1, 9 / 127.5 - 1], atol=1e-6)


def test_frames_decoded_when_asked_for_are_the_same(caches):
    pictures = load_cache(caches["images"], images=True)
    held, lazy = frames_of(pictures, 16, "none"), frames_of(pictures, 16, "none", in_memory=0)
    assert not isinstance(lazy.images, torch.Tensor)
    rows = torch.tensor([11, 0, 5, 5])
    for ours, theirs in zip(lazy.take(rows, CPU), held.take(rows, CPU), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_contrast_of_a_training_is_that_of_its_predictions(tmp_path, caches):
    plain = load_weights(_run(caches, tmp_path / "plain"), DETECTOR_KIND)[1]["architecture"]
    assert not {"contrast", "symmetric"} & set(plain)
    detector = _run(caches, tmp_path, replace(OPTIONS, contrast="local", symmetric=True))
    architecture = evaluation.load_detector(detector, CPU)[2]
    assert (architecture.contrast, architecture.symmetric) == ("local", True)
    pictures = load_cache(caches["images"], images=True)
    frames = frames_of(pictures, 16, "local")
    images, backgrounds = frames.take(torch.arange(12), CPU)
    assert (backgrounds == GROUND).all()
    torch.testing.assert_close(images, local_contrast(*frames_of(pictures, 16, "none").take(torch.arange(12), CPU)))
    assert (
        _evaluate(caches, detector, tmp_path)["test"]
        != _evaluate(caches, _run(caches, tmp_path / "b"), tmp_path)["test"]
    )


def test_the_floor_is_the_variance_about_the_mean_pose(tmp_path, caches):
    written = _evaluate(caches, _run(caches, tmp_path), tmp_path)
    poses = load_cache(caches["images"]).poses.astype(float)
    expected = poses.var(axis=0).sum(-1).mean() * 128**2
    assert written["test_mean_pose"]["as_is"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_the_mean_pose_is_that_of_the_training_split(tmp_path, caches):
    detector, images = _run(caches, tmp_path), caches["images"]
    outputs = tmp_path / "m.json", tmp_path / "p.png"
    evaluation.evaluate(OPTIONS, {"name": "cell"}, detector, caches["poses"], caches["poses"], images, images, *outputs)
    mean = load_cache(caches["poses"]).poses.mean(axis=0)
    expected = ((load_cache(images).poses - mean) ** 2).sum(-1).mean() * 128**2
    for split in ("val", "test"):
        assert read_json(outputs[0])[f"{split}_mean_pose"]["as_is"]["mse"] == pytest.approx(expected, rel=1e-4)


def test_a_training_with_other_weights_of_eta_is_another_training(tmp_path, caches, monkeypatch):
    told = []
    monkeypatch.setattr(
        training, "train", lambda objective, steps, stage, seed, work, identity, loop: told.append(identity)
    )
    for place, seed in enumerate((0, 1, 0)):
        folder = tmp_path / str(place)
        folder.mkdir()
        eta = folder / "eta.safetensors"
        pretrain_eta(OPTIONS, caches["poses"], eta, folder / "eta.json", seed, folder / "work_eta")
        train_detector(OPTIONS, caches["images"], caches["poses"], eta, folder / "d.safetensors", 0, folder / "work")
    _, first, _, second, _, third = told
    assert first == third != second


def test_stages_refuse_what_does_not_belong_together(tmp_path, caches):
    eta = tmp_path / "eta.safetensors"
    pretrain_eta(OPTIONS, caches["faces"], eta, tmp_path / "eta.json", 0, tmp_path / "work")
    common = (eta, tmp_path / "detector.safetensors", 0, tmp_path / "work")
    with pytest.raises(DataError, match=r"expected skeleton body15 as in .*images.h5, found face68"):
        train_detector(OPTIONS, caches["images"], caches["faces"], *common)
    with pytest.raises(CheckpointError, match="architecture differs in 'joints': expected 15, found 68"):
        train_detector(OPTIONS, caches["images"], caches["poses"], *common)
    with pytest.raises(DataError, match="expected a cache with images"):
        train_detector(OPTIONS, caches["poses"], caches["poses"], *common)


def test_only_complete_poses_are_drawn(tmp_path):
    poses = small_poses(3)
    batch = plain_batch(poses)
    batch.visibility[:, 0] = 0
    write_cache(tmp_path / "poses.h5", [batch], BODY15, {})
    with pytest.raises(DataError, match="found none among 3"):
        pretrain_eta(OPTIONS, tmp_path / "poses.h5", tmp_path / "eta", tmp_path / "eta.json", 0, tmp_path / "work")
