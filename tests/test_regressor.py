"""β: soft-argmax and losses in closed form, widening as geometry, and a small training that learns, resumes and repeats."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import read_json
from flexpose_core.models.regressor import Regressor, RegressorArchitecture, soft_argmax
from flexpose_core.options.generator import RegressorOptions, WideningOptions
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.poses.widening import keep_inside, rotation_matrices, widen
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.priors import load_regressor, read
from flexpose_core.stages.train_regressor import train_regressor
from flexpose_core.streams import StepRandom
from flexpose_core.training.loop import LoopOptions
from flexpose_core.training.objectives.regression import RegressionObjective, disturb, heat_cross_entropy

NOTHING = dict.fromkeys(WideningOptions.__struct_fields__, 0.0)
SKELETONS = pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda skeleton: skeleton.name)


def some_poses(count, skeleton=BODY15, seed=0):
    """Star-shaped figures of all sizes that fit into the image."""
    random = np.random.default_rng(seed)
    spokes = np.random.default_rng(7).uniform(-1, 1, (1, len(skeleton), 2)) + random.normal(
        0, 0.1, (count, len(skeleton), 2)
    )
    turns = rotation_matrices(torch.from_numpy(random.uniform(-1.5, 1.5, count))).numpy()
    poses = (
        0.5 + 0.2 * random.uniform(0.6, 1.2, (count, 1, 1)) * spokes @ turns + random.uniform(-0.1, 0.1, (count, 1, 2))
    )
    return np.clip(poses, 0.03, 0.97).astype(np.float32)


def lengths(poses, skeleton):
    ends = torch.as_tensor(skeleton.tree_ends)
    return (poses[:, ends[:, 1]] - poses[:, ends[:, 0]]).norm(dim=-1)


def test_soft_argmax_of_two_equal_peaks_is_half_way():
    heat = torch.full((1, 1, 4, 8), -1e9)
    heat[0, 0, 1, 2] = heat[0, 0, 3, 6] = 0
    torch.testing.assert_close(soft_argmax(heat), torch.tensor([[[4.5 / 8, 2.5 / 4]]]))


def test_soft_argmax_is_in_single_precision_under_autocast():
    heat = 4 * torch.randn(8, 15, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(soft_argmax(heat), soft_argmax(heat.double()).float(), atol=1e-6, rtol=0)


@settings(max_examples=50)
@given(x=st.floats(0.07, 0.93), y=st.floats(0.07, 0.93))
def test_the_cross_entropy_is_least_where_the_soft_argmax_is_the_joint(x, y):
    pose = torch.tensor([[[x, y]]])
    heat = torch.zeros(1, 1, 8, 8, requires_grad=True)
    # At zero logits the gradient is softmax minus target, so the target can be read off.
    (gradient,) = torch.autograd.grad(heat_cross_entropy(heat, pose), heat)
    target = 1 / 64 - gradient
    assert target.min() > -1e-6
    torch.testing.assert_close(target.sum(), torch.tensor(1.0))
    torch.testing.assert_close(soft_argmax((target.clamp(min=1e-12)).log()), pose, atol=1e-4, rtol=0)


@SKELETONS
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_widened_poses_stay_inside_and_repeat(skeleton, seed):
    poses = torch.from_numpy(some_poses(8, skeleton))
    first, second = (widen(poses, skeleton, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() > 0.0199
    assert first.max() < 0.9801
    assert (first - poses).abs().max() > 1e-3


@SKELETONS
def test_no_spread_changes_nothing(skeleton):
    poses = torch.from_numpy(some_poses(8, skeleton))
    same = widen(poses, skeleton, torch.Generator().manual_seed(0), WideningOptions(**NOTHING))
    torch.testing.assert_close(same, poses)


@SKELETONS
def test_mirrored_poses_are_one_of_two_reflections(skeleton):
    poses = torch.from_numpy(some_poses(64, skeleton))
    options = WideningOptions(**{**NOTHING, "mirror": 1.0})
    mirrored = widen(poses, skeleton, torch.Generator().manual_seed(0), options)
    reflected = poses * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    swapped = torch.stack([reflected[:, k] for k in skeleton.flip_permutation], dim=1)
    kept = (mirrored - reflected).abs().amax((1, 2)) < 1e-5
    flipped = (mirrored - swapped).abs().amax((1, 2)) < 1e-5
    assert (kept ^ flipped).all()
    assert 16 < kept.sum() < 48


@SKELETONS
@pytest.mark.parametrize("spread", ["rotation", "bone_angle", "shift"])
def test_turning_and_moving_keep_lengths(skeleton, spread):
    poses = torch.from_numpy(0.5 + 0.1 * (some_poses(16, skeleton) - 0.5))
    changed = widen(poses, skeleton, torch.Generator().manual_seed(0), WideningOptions(**{**NOTHING, spread: 0.3}))
    small_enough = ((changed.amin(1) > 0) & (changed.amax(1) < 1)).all(1)
    assert small_enough.sum() > 4
    # A shift may meet the border, which moves but never shrinks poses as small as these.
    torch.testing.assert_close(lengths(changed, skeleton), lengths(poses, skeleton), rtol=1e-3, atol=1e-5)
    assert (changed - poses).abs().max() > 0.005


def test_keep_inside_leaves_what_fits_and_shrinks_what_does_not():
    small = torch.tensor([[[0.2, 0.3], [0.7, 0.6]]])
    assert torch.equal(keep_inside(small, 0.1), small)
    large = torch.tensor([[[-1.0, 0.5], [1.0, 0.7]]])
    torch.testing.assert_close(keep_inside(large, 0.1), torch.tensor([[[0.1, 0.56], [0.9, 0.64]]]))


def test_disturbance_of_strength_zero_is_none():
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(disturb(images, 0.0, StepRandom(0, "test", 0)), images)
    assert (disturb(images, 1.0, StepRandom(0, "test", 0)) - images).abs().max() > 0.1


def test_features_are_at_three_scales_whatever_the_resolution():
    for resolution in (32, 64):
        regressor = Regressor(RegressorArchitecture(skeleton="body15", resolution=resolution, width=4))
        features = regressor.features(torch.zeros(2, 3, resolution, resolution))
        assert [tuple(feature.shape) for feature in features] == [(2, 8, 16, 16), (2, 12, 8, 8), (2, 12, 4, 4)]
    with pytest.raises(ConfigError, match="multiple of 32, found 48"):
        RegressorArchitecture(skeleton="body15", resolution=48)


OPTIONS = {
    "resolution": 16,
    "width": 8,
    "training": {"steps": 150, "batch": 16, "disturbance": 0.3},
    "device": "cpu",
}


@pytest.fixture
def caches(tmp_path):
    for split, seed in (("train", 0), ("val", 1)):
        write_cache(tmp_path / f"{split}.h5", [plain_batch(some_poses(300, seed=seed))], BODY15, {})
    return {"sources": [tmp_path / "train.h5"], "validation": [tmp_path / "val.h5"]}


def run(folder, caches, seed=3, loop=None, **training):
    options = msgspec.convert({**OPTIONS, "training": {**OPTIONS["training"], **training}}, RegressorOptions)
    weights, metrics = folder / "b.safetensors", folder / "b.json"
    train_regressor(
        options, 3, **caches, out_weights=weights, out_metrics=metrics, seed=seed, work=folder / "work", loop=loop
    )
    return weights.read_bytes(), read_json(metrics)


def test_training_learns_repeats_and_resumes(tmp_path, caches, monkeypatch):
    whole, metrics = run(tmp_path / "a", caches)
    mean_pose = some_poses(300).mean(0)
    guess = np.linalg.norm(some_poses(300, seed=1) - mean_pose, axis=-1).mean() * 128
    assert metrics["held_out"]["mean_px"] < 0.6 * guess
    assert metrics["held_out"]["median_px"] <= metrics["held_out"]["p95_px"]

    step = RegressionObjective.step

    def interrupted(self, number, random):
        if number == 100:
            raise KeyboardInterrupt
        return step(self, number, random)

    monkeypatch.setattr(RegressionObjective, "step", interrupted)
    often = LoopOptions(checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", caches, loop=often)
    monkeypatch.undo()
    resumed, resumed_metrics = run(tmp_path / "b", caches, loop=often)
    assert resumed == whole
    assert resumed_metrics == metrics
    other, _ = run(tmp_path / "c", caches, seed=4)
    assert other != whole

    regressor = load_regressor(tmp_path / "a" / "b.safetensors")
    assert read(regressor, torch.zeros(3, 3, 16, 16) - 1).shape == (3, 15, 2)


def test_poses_with_hidden_joints_are_left_out_and_skeletons_must_agree(tmp_path, caches):
    batch = plain_batch(some_poses(5))
    batch.visibility[:, 3] = 0
    write_cache(tmp_path / "hidden.h5", [batch], BODY15, {})
    _, metrics = run(tmp_path / "a", {**caches, "sources": [*caches["sources"], tmp_path / "hidden.h5"]}, steps=1)
    assert metrics["training_poses"] == 300
    with pytest.raises(DataError, match="all joints visible"):
        run(tmp_path / "b", {**caches, "sources": [tmp_path / "hidden.h5"]}, steps=1)
    write_cache(tmp_path / "face.h5", [plain_batch(some_poses(5, FACE68))], FACE68, {})
    with pytest.raises(DataError, match="body15, face68"):
        run(tmp_path / "c", {**caches, "sources": [*caches["sources"], tmp_path / "face.h5"]}, steps=1)
