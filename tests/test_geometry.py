"""Bones, angles and mirrors: inverses, invariances, and values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from flexpose_core.errors import DataError
from flexpose_core.geometry import (
    PolarBones,
    bone_lengths,
    fit_similarity,
    flip,
    from_bones,
    from_polar,
    interpolate,
    loosened,
    mirror,
    pose_size,
    relative_to_root,
    to_bones,
    to_polar,
)
from flexpose_core.skeletons import BODY15, FACE68

COORDINATE = st.floats(-0.5, 1.5, width=32)
SKELETONS = pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda skeleton: skeleton.name)


def poses_of(skeleton, low=1, high=4):
    return npst.arrays(
        np.float64, st.tuples(st.integers(low, high), st.just(len(skeleton)), st.just(2)), elements=COORDINATE
    )


@SKELETONS
@given(data=st.data())
def test_bones_and_polar_coordinates_are_inverses(skeleton, data):
    poses = data.draw(poses_of(skeleton))
    np.testing.assert_allclose(from_bones(to_bones(poses, skeleton), skeleton), poses, atol=1e-9)
    # Bones of no length have no direction and come back 1e-6 long; they add up along a chain.
    np.testing.assert_allclose(from_polar(to_polar(poses, skeleton), skeleton), poses, atol=1e-4)


@SKELETONS
@given(data=st.data())
def test_flip_is_an_involution_that_keeps_lengths_and_trades_sides(skeleton, data):
    poses = data.draw(poses_of(skeleton))
    np.testing.assert_allclose(flip(flip(poses, skeleton), skeleton), poses, atol=1e-12)
    lengths = bone_lengths(flip(poses, skeleton), skeleton)
    np.testing.assert_allclose(lengths, bone_lengths(poses, skeleton)[:, skeleton.tree_flip_permutation], atol=1e-12)
    left, right = skeleton.swaps[0]
    expected = poses[:, skeleton.index(right)] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(flip(poses, skeleton)[:, skeleton.index(left)], expected)


@given(data=st.data(), angle=st.floats(-7, 7), shift=st.floats(-2, 2))
def test_lengths_do_not_change_under_rotation_and_shift(data, angle, shift):
    poses = data.draw(poses_of(BODY15))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(bone_lengths(poses @ rotation.T + shift, BODY15), bone_lengths(poses, BODY15), atol=1e-9)


@given(data=st.data(), weight=st.floats(0, 1))
def test_interpolation_has_its_ends_and_mixes_roots_and_lengths(data, weight):
    poses = data.draw(poses_of(BODY15, 2, 2))
    first, second = to_polar(poses[:1], BODY15), to_polar(poses[1:], BODY15)
    np.testing.assert_allclose(from_polar(interpolate(first, second, 0.0), BODY15), poses[:1], atol=1e-4)
    np.testing.assert_allclose(from_polar(interpolate(first, second, 1.0), BODY15), poses[1:], atol=1e-4)
    mixed = interpolate(first, second, weight)
    np.testing.assert_allclose(mixed.root, (1 - weight) * first.root + weight * second.root, atol=1e-9)
    np.testing.assert_allclose(
        mixed.log_length, (1 - weight) * first.log_length + weight * second.log_length, atol=1e-9
    )


def test_interpolation_takes_the_shorter_arc():
    root, log_length = np.zeros((1, 2)), np.zeros((1, 1))
    first = PolarBones(root, np.array([[np.deg2rad(170.0)]]), log_length)
    second = PolarBones(root, np.array([[np.deg2rad(-170.0)]]), log_length)
    middle = interpolate(first, second, 0.5).angle
    np.testing.assert_allclose(np.cos(middle), -1, atol=1e-12)
    per_bone = interpolate(first, second, np.array([[0.25]])).angle
    np.testing.assert_allclose(np.rad2deg(per_bone), 175)


@given(data=st.data(), turn=st.floats(0, 0.6), stretch=st.floats(0, 0.4), seed=st.integers(0, 99))
def test_loosened_bones_are_turned_and_stretched_by_themselves(data, turn, stretch, seed):
    poses = data.draw(poses_of(BODY15))
    joints = np.array(BODY15.index("l_elbow", "l_wrist", "r_ankle"))
    moved = loosened(poses, BODY15, joints, turn, stretch, np.random.default_rng(seed))
    before, after = to_polar(poses.astype(np.float64), BODY15), to_polar(moved.astype(np.float64), BODY15)
    turned = (after.angle - before.angle + np.pi) % (2 * np.pi) - np.pi
    stretched = after.log_length - before.log_length
    chosen = np.isin(BODY15.tree_ends[:, 1], joints)
    seen = bone_lengths(poses, BODY15) > 0.05
    np.testing.assert_allclose(after.root, before.root, atol=1e-6)
    assert abs(turned[:, ~chosen][seen[:, ~chosen]]).max(initial=0) < 1e-3
    assert abs(stretched[:, ~chosen][seen[:, ~chosen]]).max(initial=0) < 1e-3
    assert abs(turned[:, chosen][seen[:, chosen]]).max(initial=0) <= 2 * turn + 1e-3
    assert abs(stretched[:, chosen][seen[:, chosen]]).max(initial=0) <= 2 * stretch + 1e-3


def test_loosened_bones_spread_as_asked():
    joint = np.array(BODY15.index("l_knee"))
    poses = np.repeat(np.random.default_rng(0).random((1, 15, 2)), 20_000, axis=0)
    moved = loosened(poses, BODY15, joint, 0.3, 0.2, np.random.default_rng(1))
    place = np.flatnonzero(BODY15.tree_ends[:, 1] == joint)
    before, after = to_polar(poses, BODY15), to_polar(moved.astype(np.float64), BODY15)
    turned = (after.angle - before.angle + np.pi) % (2 * np.pi) - np.pi
    # Cut off at two standard deviations, and so a little less.
    cut = np.clip(np.random.default_rng(2).standard_normal(1_000_000), -2, 2).std()
    assert turned[:, place].std() == pytest.approx(0.3 * cut, rel=0.03)
    assert (after.log_length - before.log_length)[:, place].std() == pytest.approx(0.2 * cut, rel=0.03)


@given(data=st.data())
def test_mirror_keeps_labels(data):
    poses = data.draw(poses_of(BODY15))
    np.testing.assert_allclose(mirror(poses)[..., 0], 1 - poses[..., 0])
    np.testing.assert_array_equal(mirror(poses)[..., 1], poses[..., 1])
    np.testing.assert_array_equal(mirror(poses)[:, BODY15.flip_permutation], flip(poses, BODY15))


def test_similarity_recovers_scale_and_shift():
    poses = np.random.default_rng(0).random((50, len(BODY15), 2))
    scale, shift = fit_similarity(poses, 0.4 * poses + [0.1, -0.3])
    assert scale == pytest.approx(0.4)
    np.testing.assert_allclose(shift, [0.1, -0.3], atol=1e-12)
    assert pose_size(0.4 * poses) == pytest.approx(0.4 * pose_size(poses))


def test_root_goes_to_the_origin_and_shapes_are_checked():
    poses = np.random.default_rng(0).random((3, len(FACE68), 2)).astype(np.float32)
    moved = relative_to_root(poses, FACE68)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved[:, FACE68.index(FACE68.root)[0]], 0)
    with pytest.raises(DataError, match=r"expected shape \(N, 15, 2\), found \(3, 68, 2\)"):
        to_bones(poses, BODY15)
