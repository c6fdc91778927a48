"""The embedded people as annotations alone, and what their options refuse."""

import msgspec
import numpy as np
import pytest

from flexpose_core.datasets.drawing.options import CameraOptions, CropOptions
from flexpose_core.datasets.people.annotations import build_pool, turn_vectors, vary_people
from flexpose_core.datasets.people.options import (
    NoiseOptions,
    PeopleOptions,
    SubjectOptions,
)
from flexpose_core.datasets.people.reader import PeopleReader
from flexpose_core.errors import ConfigError
from flexpose_core.skeletons import BODY15

SOURCE = PeopleOptions(
    clips=("spin", "jump"), n_poses=5000, held_out_poses=300, noise=NoiseOptions(angle=5, proportions=0.1)
)


def read(options, split, seed=0):
    reader = PeopleReader(options, seed)
    batches = list(reader.read(split))
    return np.concatenate([batch.poses for batch in batches]), batches, reader.counts(split)


def bones(joints):
    ends = BODY15.tree_ends
    return joints[:, ends[:, 1]] - joints[:, ends[:, 0]]


def test_cameras_that_nobody_faces_are_named_before_hours_have_passed():
    behind = CameraOptions(yaw=(179, 181), pitch=(-1, 1))
    options = msgspec.structs.replace(SOURCE, clips=("walk",), facing="front", cameras=(behind,))
    with pytest.raises(ConfigError, match=r"people: facing: expected cameras that at least one person in 1000 faces"):
        read(options, "val")


def test_as_many_poses_as_asked_for_in_bounded_batches():
    poses, batches, counts = read(SOURCE, "train")
    assert poses.shape == (5000, 15, 2)
    assert counts == {"read": 5000, "kept": 5000, "dropped": {"facing away": 0}, "first_dropped": {}}
    assert max(map(len, batches)) <= 4096
    assert len({number for batch in batches for number in batch.sequence.tolist()}) == 5000
    assert all(batch.images is None and batch.backgrounds is None for batch in batches)
    held_out, _, _ = read(SOURCE, "val")
    assert len(held_out) == 300
    assert not (held_out[:, None] == poses[None, :300]).all(axis=(2, 3)).any()


def test_annotations_have_no_test_split():
    reader = PeopleReader(SOURCE, 0)
    assert reader.splits() == ("train", "val")
    with pytest.raises(ConfigError, match="expected a split among train, val, found 'test'"):
        reader.read("test")


def test_clips_are_drawn_equally_often():
    _, batches, _ = read(SOURCE, "train")
    clips = np.concatenate([batch.clip for batch in batches])
    assert (clips == "spin").mean() == pytest.approx(0.5, abs=0.03)


def test_poses_lie_inside_and_have_the_size_asked_for():
    options = msgspec.structs.replace(SOURCE, crop=CropOptions(scale=(0.4, 0.6), offset=0.2))
    poses, _, _ = read(options, "train")
    sides = np.ptp(poses, axis=1).max(axis=1)
    assert sides.min() >= 0.4 - 1e-6
    assert sides.max() <= 0.6 + 1e-6
    assert poses.min() > 0
    assert poses.max() < 1


def test_the_same_seed_gives_the_same_poses():
    np.testing.assert_array_equal(read(SOURCE, "train", 1)[0], read(SOURCE, "train", 1)[0])
    assert (read(SOURCE, "train", 1)[0] != read(SOURCE, "train", 2)[0]).mean() > 0.99


def test_front_redraws_until_there_are_enough():
    options = msgspec.structs.replace(SOURCE, facing="front", noise=NoiseOptions())
    poses, _, counts = read(options, "train")
    assert len(poses) == counts["kept"] == 5000
    assert counts["dropped"]["facing away"] > 3000  # cameras all round: every second pose is seen from behind
    left, right = BODY15.index("l_shoulder", "r_shoulder")
    assert (poses[:, left, 0] > poses[:, right, 0]).mean() > 0.9  # shoulders twist against the pelvis


def test_from_above_people_look_shorter():
    def tallness(pitch):
        cameras = (CameraOptions(pitch=(pitch, pitch)),)
        poses, _, _ = read(msgspec.structs.replace(SOURCE, cameras=cameras, noise=NoiseOptions()), "val")
        return np.median(np.ptp(poses[..., 1], axis=1) / np.ptp(poses[..., 0], axis=1))

    assert tallness(0) > 1.5 * tallness(70)


def test_turned_bones_keep_their_lengths_and_turn_as_much_as_asked():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20000, 3))
    turned = turn_vectors(vectors, 0.2, rng)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(vectors, axis=1))
    # For a random axis at angle b to the vector and a small turn a, the direction moves by a sin b; E sin^2 b = 2/3.
    cos = (turned * vectors).sum(axis=1) / (vectors**2).sum(axis=1)
    assert np.sqrt((np.arccos(np.clip(cos, -1, 1)) ** 2).mean()) == pytest.approx(0.2 * np.sqrt(2 / 3), rel=0.03)


def test_proportions_change_lengths_alike_on_both_sides_and_no_direction():
    joints = build_pool(("spin",)).joints[:200]
    varied = vary_people(joints, NoiseOptions(proportions=0.2), np.random.default_rng(1))
    before, after = bones(joints), bones(varied)
    ratio = np.linalg.norm(after, axis=-1) / np.linalg.norm(before, axis=-1)
    np.testing.assert_allclose(after, before * ratio[..., None], atol=1e-9)
    np.testing.assert_allclose(ratio, ratio[:, BODY15.tree_flip_permutation])
    assert np.log(ratio).std() == pytest.approx(0.2, rel=0.1)


def test_without_noise_people_are_left_alone():
    joints = build_pool(("jump",)).joints[:50]
    np.testing.assert_allclose(vary_people(joints, NoiseOptions(), np.random.default_rng(0)), joints, atol=1e-12)


# ---- options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": ("moonwalk",)}, "found 'moonwalk'"),
        ({"n_poses": 0}, "expected n_poses of at least 1"),
        ({"cameras": (CameraOptions(yaw=(10, -10)),)}, r"expected cameras.yaw as \[low, high\]"),
        ({"cameras": (CameraOptions(distance=(1, 2)),)}, "at least 2 m"),
        ({"images": True, "subjects": SubjectOptions(train=(12,))}, r"expected a subject in 0..9, found 12"),
        ({"images": True, "subjects": SubjectOptions(val=(5,))}, "no subject in both train and val, found 5"),
        ({"images": True, "held_out": 0.7, "gap": 0.4}, "expected held_out . gap below 1"),
    ],
)
def test_bad_options_are_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        PeopleReader(msgspec.structs.replace(SOURCE, **changes), 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["clip", "noise.angel"])
def test_misspelt_keys_are_refused(key):
    raw = {"reader": "people", "clips": ["spin"], "noise": {}}
    if key == "clip":
        raw["clip"] = "spin"
    else:
        raw["noise"]["angel"] = 3
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(raw, PeopleOptions)


def test_counts_before_reading():
    with pytest.raises(ConfigError, match="to have been read"):
        PeopleReader(SOURCE, 0).counts("train")
