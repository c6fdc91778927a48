"""Animated people in poses that are found in images: when these are renewed, by what, and how many take them."""

import copy

import numpy as np
import pytest
import torch
from interruption import check_that_it_resumes
from test_animated_training import frames
from test_animation import STANDING, waving
from test_keypoint_gan import CPU, NETWORKS, SMALL

from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.animation import RenewalOptions
from flexpose_core.options.detector import DetectorArchitecture, SupervisionOptions
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.train_detector import untrained
from flexpose_core.streams import StepRandom
from flexpose_core.training.both_views import found_in_both_views, mean_of_views
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.animated import AnimatedFrames
from flexpose_core.training.objectives.renewed import (
    FoundPoses,
    RenewedFrames,
    RenewedObjective,
    is_due,
    with_what_is_missed,
)

STILL = {"rotation": 0, "log_scale": 0, "shift": 0, "mirror": 0, "colour": 0}


@pytest.mark.parametrize(
    ("renewal", "expected"),
    [
        (RenewalOptions(first=0.25, every=5), [5, 10, 15]),
        (RenewalOptions(first=0.5, every=100), [10]),
        (RenewalOptions(first=1.0), []),
        # Before the first step nothing has been learnt that could find a pose.
        (RenewalOptions(first=0.0, every=8), [8, 16]),
    ],
)
def test_when_poses_are_renewed(renewal, expected):
    assert [step for step in range(20) if is_due(step, 20, renewal)] == expected


def test_until_poses_are_found_all_take_those_of_the_method():
    _, plain = frames(0.8, turn=0.5, kind=AnimatedFrames)
    _, renewed = frames(0.8, turn=0.5, kind=RenewedFrames)
    for found in (None, FoundPoses(4, 15)):
        renewed.found = found
        for one, other in zip(plain.draw(StepRandom(0, "x", 3)), renewed.draw(StepRandom(0, "x", 3)), strict=True):
            assert torch.equal(one, other)


def test_then_a_share_takes_found_poses():
    _, animated = frames(1.0, count=400, kind=RenewedFrames, renewal=RenewalOptions(share=0.25), **STILL)
    animated.found = FoundPoses(3, 15)
    own = np.stack([STANDING + shift for shift in (0, 0.05, 0.1)]).astype(np.float32)
    animated.found.renew(own)
    taken = animated.draw(StepRandom(0, "x", 0))[2].numpy()
    off = np.abs(taken[:, None] - np.stack([*own, waving()])).max(axis=(2, 3))
    assert (off.min(axis=1) < 1e-6).all()
    counts = np.bincount(off.argmin(axis=1), minlength=4)
    assert abs(counts[:3].sum() - 100) < 35
    assert counts[:3].min() > 15


def test_found_poses_that_a_checkpoint_brings_are_taken():
    kept, other = FoundPoses(3, 15), FoundPoses(3, 15)
    assert kept.read() is None
    poses = np.random.default_rng(0).random((3, 15, 2), np.float32)
    for renewed in (poses, poses / 2):
        kept.renew(renewed)
        np.testing.assert_array_equal(kept.read(), renewed)
    assert other.read() is None
    other.load_state_dict(kept.state_dict())
    np.testing.assert_array_equal(other.read(), poses / 2)


def test_of_the_others_a_share_takes_placed_poses():
    renewal = RenewalOptions(share=0.5, placed=0.25)
    _, animated = frames(1.0, count=400, kind=RenewedFrames, renewal=renewal, **STILL)
    animated.placed = np.stack([STANDING + shift for shift in (0.1, 0.15)]).astype(np.float32)
    kinds = np.stack([*animated.placed, waving(), STANDING])
    for found, expected in ((None, (50, 50, 300, 0)), (STANDING, (25, 25, 150, 200))):
        if found is not None:
            animated.found = FoundPoses(1, 15)
            animated.found.renew(found[None])
        taken = animated.draw(StepRandom(0, "x", 0))[2].numpy()
        off = np.abs(taken[:, None] - kinds).max(axis=(2, 3))
        assert (off.min(axis=1) < 1e-6).all()
        np.testing.assert_allclose(np.bincount(off.argmin(axis=1), minlength=4), expected, atol=35)


def test_found_poses_are_loosened_less():
    renewal = RenewalOptions(share=0.5, loosening=0.1)
    _, animated = frames(1.0, count=400, turn=0.4, kind=RenewedFrames, renewal=renewal, **STILL)
    animated.found = FoundPoses(1, 15)
    animated.found.renew(STANDING[None])
    taken = animated.draw(StepRandom(0, "x", 0))[2].numpy()
    off = np.abs(taken[:, None] - np.stack([STANDING, waving()])).max(axis=(2, 3))
    is_found = off.argmin(axis=1) == 0
    assert 140 < is_found.sum() < 260
    found, others = (off.min(axis=1)[chosen].mean() for chosen in (is_found, ~is_found))
    assert 0.05 < found / others < 0.2


def test_what_is_missed_makes_up_for_answers_that_tend_to_the_mean():
    rng = np.random.default_rng(0)

    def answered(poses):
        # The mean and four fifths of what a pose is off it, and of the second half of the joints, as unclear ones, nothing at all.
        share = np.where(np.arange(15) < 8, 0.8, 0.0)[:, None]
        return 0.5 + share * (poses - 0.5) + rng.normal(0, 0.001, poses.shape)

    # Poses on a plane, so that others are near to each; half of the joints say nothing of the rest.
    def drawn(count, spread):
        place = rng.normal(0, spread, (count, 2, 1, 2))
        return 0.5 + np.concatenate([place[:, [0] * 8, 0], place[:, [1] * 7, 0]], axis=1)

    truth, known = drawn(3000, 0.1), drawn(3000, 0.13)
    found = answered(truth)
    assert found[:, :8].std() < 0.083
    assert found[:, 8:].std() < 0.002
    full = with_what_is_missed(found, answered(known), known, rng)
    np.testing.assert_allclose(full[:, :8].mean(axis=1).std(axis=0), 0.1, rtol=0.05)
    np.testing.assert_allclose(full[:, 8:].mean(axis=1).std(axis=0), 0.13, rtol=0.05)
    # Clear joints are where they are, and not merely as widely spread.
    assert np.abs(full[:, :8] - truth[:, :8]).mean() < 0.1 * np.abs(found[:, :8] - truth[:, :8]).mean() + 0.005


def test_what_is_missed_is_of_those_in_whom_the_like_was_found():
    found = np.zeros((40, 15, 2), np.float32)
    found[20:] = 0.5
    seen = np.concatenate([np.zeros((3, 15, 2)), np.full((3, 15, 2), 0.5)]).astype(np.float32)
    missed = np.array([0.01, 0.02, 0.03, 0.1, 0.2, 0.3], np.float32)[:, None, None]
    full = with_what_is_missed(found, seen, seen + missed, np.random.default_rng(0)) - found
    assert np.ptp(full, axis=(1, 2)).max() < 1e-6
    assert set((1000 * full[:20, 0, 0]).round().tolist()) == {10, 20, 30}
    assert set((1000 * full[20:, 0, 0]).round().tolist()) == {100, 200, 300}


def objective(steps=6, animated=7):
    architecture = DetectorArchitecture(joints=15, **SMALL)
    networks = [untrained(NETWORKS[name], architecture, 0, name, CPU) for name in ("phi", "eta")]
    renewal = RenewalOptions(first=0.25, every=2, animated=animated)
    labelled, people = frames(0.8, turn=0.5, kind=RenewedFrames, renewal=renewal)
    images = ((labelled.images + 1) * 127.5).round().byte().repeat(3, 1, 1, 1)
    grounds = ((labelled.backgrounds + 1) * 127.5).round().byte().repeat(3, 1, 1, 1)
    places = torch.arange(6)
    seen = Frames(images, grounds, places, places)
    how = (0.9, SupervisionOptions(steps=steps, batch=6), False)
    return RenewedObjective(Detector(*networks), people, seen, np.array([1, 4, 5]), *how)


def test_without_animated_people_found_poses_are_what_the_average_finds_in_the_images():
    learning = objective(animated=0)
    for step in range(5):
        before = learning.found.poses.clone()
        expected = found_in_both_views(learning.average.module, learning.frames, learning.rows, BODY15, CPU)
        learning.step(step, StepRandom(0, "x", step))
        assert bool(learning.found.known) == (step >= 2)
        if step in (2, 4):
            np.testing.assert_array_equal(learning.found.poses, expected)
            assert not torch.equal(learning.found.poses, before)
        else:
            assert torch.equal(learning.found.poses, before)


def test_found_poses_are_given_what_the_average_misses_of_animated_people():
    learning = objective(animated=600)
    for step in range(3):
        found = found_in_both_views(learning.average.module, learning.frames, learning.rows, BODY15, CPU)
        before = copy.deepcopy(learning.average.module)
        learning.step(step, StepRandom(0, "x", step))
    missed = learning.found.poses.numpy() - found
    assert np.abs(missed).max() > 0.01
    # The same draws once more, in the same order.
    rng = StepRandom(0, "x", 2).numpy
    poses = found[rng.integers(len(found), size=600)]
    parts = []
    for some in np.array_split(poses, 3):
        images, scenes, taken = learning.labelled.animate(some, 1.0, rng)
        parts.append((mean_of_views(before, images, scenes, BODY15), taken.numpy()))
    seen, drawn = (np.concatenate(some) for some in zip(*parts, strict=True))
    np.testing.assert_array_equal(found + missed, with_what_is_missed(found, seen, drawn, rng))


@pytest.mark.parametrize("animated", [0, 7])
def test_weights_that_are_not_finite_renew_nothing(animated):
    """So that the loop can say what diverged, and where the last checkpoint is."""
    learning = objective(animated=animated)
    for step in range(3):
        learning.step(step, StepRandom(0, "x", step))
    before = learning.found.poses.clone()
    for network in (learning.detector, learning.average.module):
        for parameter in network.parameters():
            parameter.data.fill_(float("nan"))
    learning.step(4, StepRandom(0, "x", 4))
    assert torch.equal(learning.found.poses, before)
    assert before.isfinite().all()


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_an_interrupted_training_ends_alike(tmp_path, at):
    whole, resumed = check_that_it_resumes(objective, tmp_path, 6, at)
    assert torch.equal(whole.found.poses, resumed.found.poses)
    assert whole.found.known
