"""Pairing and alignment against brute force and planted answers."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from flexpose_core.errors import ConfigError
from flexpose_core.geometry import bone_lengths, flip, relative_to_root, to_bones
from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.poses.alignment import align, fit_bone_ratios, placed, scale_bones, total_length
from flexpose_core.poses.baselines import nearest
from flexpose_core.poses.pairing import assigned_pairs, random_pairs
from flexpose_core.skeletons import BODY15, FACE68


def walkers(count, seed, skeleton=BODY15):
    """Poses that differ moderately: a random base pose and joint noise."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).uniform(0.2, 0.8, (1, len(skeleton), 2))
    return base + rng.normal(0, 0.05, (count, len(skeleton), 2))


def test_assignment_is_the_cheapest_of_all():
    rng = np.random.default_rng(0)
    guidance, generated = rng.random((4, 3, 2)), rng.random((6, 3, 2))

    def cost(places):
        return sum(np.square(guidance[i] - generated[place]).sum() for i, place in enumerate(places))

    best = min(permutations(range(6), 4), key=cost)
    assert assigned_pairs(guidance, generated).tolist() == list(best)


def test_assignment_finds_planted_partners():
    generated = walkers(200, 1)
    order = np.random.default_rng(2).permutation(200)[:50]
    np.testing.assert_array_equal(assigned_pairs(generated[order] + 0.001, generated), order)


def test_random_pairs_repeat_nothing_and_follow_the_seed():
    places = random_pairs(50, 60, np.random.default_rng(3))
    assert len(set(places.tolist())) == 50
    np.testing.assert_array_equal(places, random_pairs(50, 60, np.random.default_rng(3)))


def test_a_pool_smaller_than_the_guidance_is_refused():
    with pytest.raises(ConfigError, match=r"pool: latent codes: expected at least 5, one for each .*, found 4"):
        assigned_pairs(walkers(5, 0), walkers(4, 1))
    with pytest.raises(ConfigError, match=r"^source poses: expected at least 5"):
        nearest(walkers(4, 1), walkers(5, 0)[:2], walkers(5, 0), 9, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="pool"):
        random_pairs(5, 4, np.random.default_rng(0))


@pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda skeleton: skeleton.name)
def test_planted_bone_ratios_are_found(skeleton):
    source = walkers(600, 4, skeleton)
    source = np.concatenate([source, flip(source, skeleton)])
    planted = np.random.default_rng(5).uniform(0.7, 1.3, len(skeleton.tree))
    planted = np.sqrt(planted * planted[skeleton.tree_flip_permutation])
    anchors = scale_bones(source[::8], planted, skeleton)
    options = AlignmentOptions(bone_shrinkage=0, bone_rounds=6)
    found = fit_bone_ratios(source, anchors, 12, skeleton, options)
    before = np.abs(np.log(planted)).mean()
    assert np.abs(np.log(found / planted)).mean() < 0.2 * before
    np.testing.assert_allclose(found, found[skeleton.tree_flip_permutation])


def test_two_joints_in_one_place_have_no_length_to_scale():
    """As in annotations with one joint where we have two."""
    source, anchors = walkers(300, 6), walkers(40, 7)
    joined = source.copy()
    start, end = BODY15.tree_ends[3]
    joined[:, end] = joined[:, start]
    assert bone_lengths(joined, BODY15)[:, 3].max() == 0
    for pair in ((joined, anchors), (source, joined[:40]), (joined, joined[:40])):
        assert np.isfinite(fit_bone_ratios(*pair, 12, BODY15, AlignmentOptions())).all()
        assert np.isfinite(align(*pair, 12, BODY15, AlignmentOptions(), np.random.default_rng(0))).all()


def test_shrinkage_keeps_the_size_and_drops_the_rest():
    source = walkers(300, 6)
    anchors = 0.5 * walkers(100, 7)
    options = AlignmentOptions(bone_shrinkage=1e12, bone_rounds=1)
    ratios = fit_bone_ratios(source, anchors, 12, BODY15, options)
    np.testing.assert_allclose(ratios, ratios[0])
    assert ratios[0] == pytest.approx(0.5, rel=0.05)


def test_aligned_poses_have_the_anchors_root_and_size():
    source, anchors = walkers(300, 8), 0.6 * walkers(40, 9) + 0.3
    options = AlignmentOptions(source_share=1.0, source_reach=9.0, root_jitter=0.0)
    aligned = align(source, anchors, 12, BODY15, options, np.random.default_rng(0))
    assert aligned.dtype == np.float32
    root = BODY15.index(BODY15.root)
    np.testing.assert_allclose(aligned[:, root], anchors[:, root], atol=1e-6)
    np.testing.assert_allclose(total_length(aligned, BODY15), total_length(anchors, BODY15), rtol=1e-4)


def test_aligned_poses_are_those_of_the_source_that_resemble_the_anchors_in_the_targets_proportions():
    """All of the posture: directions of bones of as many source poses, the pairing of scipy, and planted lengths of bones."""
    source = walkers(300, 8)
    planted = np.where(np.arange(14) % 3 == 0, 1.5, 0.8)
    planted = np.sqrt(planted * planted[BODY15.tree_flip_permutation])
    anchors = 0.6 * scale_bones(
        walkers(300, 8)[:40] + np.random.default_rng(1).normal(0, 0.02, (40, 15, 2)), planted, BODY15
    )
    options = AlignmentOptions(source_share=1.0, source_reach=9.0, root_jitter=0.0, bone_shrinkage=0.0)
    aligned = align(source, anchors, 12, BODY15, options, np.random.default_rng(0))

    def directions(poses):
        bones = to_bones(poses, BODY15)[:, 1:]
        return (bones / np.linalg.norm(bones, axis=-1, keepdims=True)).reshape(len(poses), -1)

    off = cdist(directions(aligned), directions(source), "chebyshev")
    chosen = off.argmin(axis=1)
    assert off.min(axis=1).max() < 1e-4
    assert np.sort(off, axis=1)[:, 1].min() > 1e-2
    assert len(set(chosen.tolist())) == 40
    offered = scale_bones(source, fit_bone_ratios(source, anchors, 12, BODY15, options), BODY15)
    cost = cdist(
        *(relative_to_root(poses, BODY15).reshape(len(poses), -1) for poses in (anchors, offered)), "sqeuclidean"
    )
    np.testing.assert_array_equal(chosen, linear_sum_assignment(cost)[1])
    proportions = [bone_lengths(poses, BODY15) for poses in (aligned, scale_bones(source[chosen], planted, BODY15))]
    found, expected = (own / own.sum(axis=1, keepdims=True) for own in proportions)
    unscaled = bone_lengths(source[chosen], BODY15)
    unscaled /= unscaled.sum(axis=1, keepdims=True)
    assert np.abs(found / expected - 1).mean() < 0.05 < 0.15 < np.abs(unscaled / expected - 1).mean()


def test_no_source_share_returns_the_anchors_up_to_jitter():
    anchors = walkers(40, 10)
    still = AlignmentOptions(source_share=0.0, root_jitter=0.0)
    aligned = align(walkers(100, 11), anchors, 12, BODY15, still, np.random.default_rng(0))
    np.testing.assert_allclose(aligned, anchors, atol=1e-5)
    moved = AlignmentOptions(source_share=0.0, root_jitter=0.1)
    shift = align(walkers(100, 11), anchors, 12, BODY15, moved, np.random.default_rng(0)) - anchors
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-5)
    assert shift[:, 0].std() == pytest.approx(0.1, rel=0.3)


def test_the_source_moves_anchors_by_its_reach():
    anchors = walkers(40, 12)
    for reach in (0.0, 0.01, 0.03):
        options = AlignmentOptions(source_share=1.0, source_reach=reach, root_jitter=0.0)
        aligned = align(walkers(60, 13), anchors, 12, BODY15, options, np.random.default_rng(0))
        moved = np.linalg.norm(aligned - anchors, axis=-1).mean(axis=1)
        # Directions turn along arcs, whose chords are not quite proportional to the share.
        assert np.median(moved).mean() == pytest.approx(reach, rel=0.25, abs=1e-5)


def test_placed_poses_keep_their_posture_and_take_proportions_place_and_size():
    source = walkers(500, 14)
    source = np.concatenate([source, flip(source, BODY15)])
    planted = np.random.default_rng(15).uniform(0.7, 1.3, len(BODY15.tree))
    planted = np.sqrt(planted * planted[BODY15.tree_flip_permutation])
    anchors = 0.5 * scale_bones(source[::25], planted, BODY15) + np.random.default_rng(16).uniform(0, 0.5, (40, 1, 2))
    options = AlignmentOptions(bone_shrinkage=0, bone_rounds=6)
    moved = placed(source, anchors, 12, BODY15, options, np.random.default_rng(0))
    assert moved.dtype == np.float32

    def sizes(poses):
        return np.column_stack([to_bones(poses, BODY15)[:, 0], total_length(poses, BODY15)])

    off = np.abs(sizes(moved)[:, None] - sizes(anchors)).max(axis=2)
    assert off.min(axis=1).max() < 1e-5
    assert np.bincount(off.argmin(axis=1), minlength=40).min() > 5
    before, after = (to_bones(poses, BODY15)[:, 1:] for poses in (source, moved.astype(np.float64)))
    lengths = [np.linalg.norm(bones, axis=2, keepdims=True) for bones in (before, after)]
    np.testing.assert_allclose(after / lengths[1], before / lengths[0], atol=1e-4)
    ratio = (lengths[1] / lengths[0])[..., 0]
    ratio = np.log(ratio / ratio.mean(axis=1, keepdims=True)).mean(axis=0)
    assert np.abs(ratio - np.log(planted / planted.mean())).mean() < 0.25 * np.abs(np.log(planted)).mean()
