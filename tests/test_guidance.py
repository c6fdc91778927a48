"""Shots, mirror images and pose-mixup."""

from types import SimpleNamespace

import numpy as np
import pytest

from flexpose_core.errors import ConfigError
from flexpose_core.geometry import bone_lengths, flip, mirror
from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.poses.guidance import (
    _by_turns,
    choose_shots,
    choose_symmetry,
    energy_score,
    pose_mixup,
    with_mirror_images,
)
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.guide import guide

RNG = np.random.default_rng(0)


def target(sizes, per_sequence=5, seed=0):
    """A target with this many poses a class, in sequences of `per_sequence`."""
    clip = np.repeat([f"class{k}" for k in range(len(sizes))], sizes)
    sequence = np.concatenate([100 * k + np.arange(n) // per_sequence for k, n in enumerate(sizes)]).astype(np.int32)
    poses = np.random.default_rng(seed).uniform(0.1, 0.9, (len(clip), 15, 2)).astype(np.float32)
    return SimpleNamespace(
        attributes={"dataset": "mine"},
        poses=poses,
        clip=clip,
        sequence=sequence,
        visibility=np.ones(poses.shape[:2], np.uint8),
    )


@pytest.mark.parametrize("count", [6, 12, 13, 30])
def test_shots_are_spread_over_classes_and_sequences(count):
    data = target([50] * 6)
    chosen = choose_shots(data, count, np.random.default_rng(1))
    assert len(set(chosen.tolist())) == count
    per_class = [int((data.clip[chosen] == name).sum()) for name in np.unique(data.clip)]
    assert max(per_class) - min(per_class) <= 1
    assert len(np.unique(data.sequence[chosen])) == count


def test_shots_are_taken_from_sequences_by_turns():
    """Against counting one by one how many of its sequence came before each pose."""
    sequence = np.random.default_rng(0).integers(0, 40, 300)
    places = np.random.default_rng(1).permutation(300)[:250]
    found = _by_turns(places, sequence, np.random.default_rng(2))
    drawn = np.random.default_rng(2).permutation(places).tolist()
    before = [sum(sequence[other] == sequence[place] for other in drawn[:k]) for k, place in enumerate(drawn)]
    assert found == [place for _, _, place in sorted(zip(before, range(250), drawn, strict=True))]


def test_a_small_class_gives_what_it_has():
    data = target([2, 40])
    chosen = choose_shots(data, 10, np.random.default_rng(1))
    assert (data.clip[chosen] == "class0").sum() == 2


def test_shots_need_whole_poses_and_enough_of_them():
    data = target([20, 20])
    data.visibility[::2, 3] = 0
    chosen = choose_shots(data, 20, np.random.default_rng(1))
    assert data.visibility[chosen].all()
    with pytest.raises(
        ConfigError, match=r"at most 20, the people with all joints among 40 in mine's train split .*found 21"
    ):
        choose_shots(data, 21, np.random.default_rng(1))


def test_other_seeds_choose_other_shots():
    data = target([50] * 6)
    draws = {tuple(choose_shots(data, 12, np.random.default_rng(seed)).tolist()) for seed in range(5)}
    assert len(draws) == 5


def test_joint_mixup_is_the_papers():
    shots = RNG.uniform(0, 1, (2, 15, 2))
    mixed = pose_mixup(shots, BODY15, GuidanceOptions(mixup_size=4000), np.random.default_rng(0))
    # On the segment between the two, and λ uniform where both were drawn (half of the draws pair a shot with itself).
    along = ((mixed - shots[0]) * (shots[1] - shots[0])).sum((1, 2)) / np.square(shots[1] - shots[0]).sum()
    np.testing.assert_allclose(shots[0] + along[:, None, None] * (shots[1] - shots[0]), mixed, atol=1e-6)
    inner = along[(along > 1e-6) & (along < 1 - 1e-6)]
    assert len(inner) == pytest.approx(2000, rel=0.1)
    np.testing.assert_allclose(np.quantile(inner, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.05)


def test_mixup_keeps_two_thirds_of_the_variance_and_spread_restores_it():
    shots = RNG.uniform(0, 1, (40, 15, 2))
    variance = shots.var(axis=0).mean()
    plain = pose_mixup(shots, BODY15, GuidanceOptions(mixup_size=20000), np.random.default_rng(0))
    wide = pose_mixup(shots, BODY15, GuidanceOptions(mixup_size=20000, spread=1.5**0.5), np.random.default_rng(0))
    assert plain.var(axis=0).mean() / variance == pytest.approx(2 / 3, rel=0.03)
    assert wide.var(axis=0).mean() / variance == pytest.approx(1, rel=0.03)


def test_bone_mixup_keeps_a_common_bone_length():
    # Two poses of one body, differing in directions alone: every mix has the body's lengths, which joint mixup has not.
    lengths = RNG.uniform(0.1, 0.3, len(BODY15.tree))
    angles = RNG.uniform(-np.pi, np.pi, (6, len(BODY15.tree)))
    bones = np.concatenate(
        [np.full((6, 1, 2), 0.5), np.stack([np.cos(angles), np.sin(angles)], -1) * lengths[:, None]], 1
    )
    shots = np.zeros((6, 15, 2))
    shots[:, BODY15.index(BODY15.root)[0]] = bones[:, 0]
    for k, (parent, child) in enumerate(BODY15.tree_ends):
        shots[:, child] = shots[:, parent] + bones[:, k + 1]
    kept = pose_mixup(shots, BODY15, GuidanceOptions(space="bones"), np.random.default_rng(0))
    np.testing.assert_allclose(bone_lengths(kept, BODY15), np.broadcast_to(lengths, (1000, 14)), rtol=1e-4)
    shrunk = pose_mixup(shots, BODY15, GuidanceOptions(), np.random.default_rng(0))
    assert (bone_lengths(shrunk, BODY15).mean(axis=0) < lengths).all()


def test_a_small_concentration_stays_near_the_shots():
    shots = RNG.uniform(0, 1, (12, 15, 2))

    def distance(concentration):
        options = GuidanceOptions(concentration=concentration)
        mixed = pose_mixup(shots, BODY15, options, np.random.default_rng(0))
        return np.linalg.norm(mixed[:, None] - shots, axis=-1).mean(-1).min(1).mean()

    assert distance(0.2) < distance(1.0) < distance(5.0)


def test_mirror_images():
    shots = RNG.uniform(0, 1, (3, 15, 2))
    assert with_mirror_images(shots, "none", BODY15) is shots
    both = with_mirror_images(shots, "flip+back", BODY15)
    assert len(both) == 12
    np.testing.assert_array_equal(both[:6], with_mirror_images(shots, "flip", BODY15))
    np.testing.assert_array_equal(both[3:6], flip(shots, BODY15))
    np.testing.assert_array_equal(both[6:9], mirror(shots))


def crowd(count, seed, sides):
    """Poses that lean left (-1) or right (+1), seen from the front (True) or the back."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(7).uniform(0.2, 0.5, (15, 2))
    poses = base + rng.normal(0, 0.02, (count, 15, 2))
    variants = [lambda p: p, lambda p: flip(p, BODY15), mirror, lambda p: mirror(flip(p, BODY15))]
    return np.concatenate([variants[sides[k % len(sides)]](poses[k : k + 1]) for k in range(count)])


@pytest.mark.parametrize(("sides", "expected"), [([0], "none"), ([0, 1], "flip"), ([0, 1, 2, 3], "flip+back")], ids=str)
def test_the_symmetry_of_the_target_is_found(sides, expected):
    options = GuidanceOptions(space="bones", concentration=0.5)
    found = [choose_symmetry(crowd(12, seed, sides), BODY15, options, np.random.default_rng(seed)) for seed in range(3)]
    assert found == [expected] * 3


def test_energy_score_prefers_the_true_distribution():
    rng = np.random.default_rng(0)
    truths = rng.normal(0, 1, (300, 2, 2))
    scores = [
        np.mean([energy_score(rng.normal(shift, scale, (100, 2, 2)), truth) for truth in truths])
        for shift, scale in ((0, 1), (0.7, 1), (0, 0.4), (0, 2.5))
    ]
    assert np.argmin(scores) == 0


def test_guide_writes_shots_that_do_not_depend_on_the_options(tmp_path):
    data = target([30] * 4)
    zeros = np.zeros(len(data.poses), np.int32)
    frame = np.arange(len(zeros), dtype=np.int32)
    batch = PoseBatch(data.poses, data.visibility, data.clip, zeros, zeros, data.sequence, frame)
    write_cache(tmp_path / "train.h5", [batch], BODY15, {"dataset": "t"})

    def run(name, seed, **options):
        paths = tmp_path / f"{name}_shots.h5", tmp_path / f"{name}_mixup.h5"
        guide(GuidanceOptions(mixup_size=50, **options), tmp_path / "train.h5", 8, seed, *paths)
        return [load_cache(path) for path in paths]

    shots, mixup = run("a", 0)
    other_shots, other_mixup = run("b", 0, space="bones", symmetry="auto")
    np.testing.assert_array_equal(shots.poses, data.poses[shots.frame])
    np.testing.assert_array_equal(shots.poses, other_shots.poses)
    assert sorted(set(shots.clip)) == sorted(set(data.clip))
    assert mixup.poses.shape == other_mixup.poses.shape == (50, 15, 2)
    assert mixup.attributes["symmetry"] == "none"
    assert other_mixup.attributes["symmetry"] in ("none", "flip", "flip+back")
    again, elsewhere = run("c", 0)[1], run("d", 1)[0]
    np.testing.assert_array_equal(again.poses, mixup.poses)
    assert not np.array_equal(elsewhere.poses, shots.poses)
