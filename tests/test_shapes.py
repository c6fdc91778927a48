"""Measures of proportions, angles, memorising and collapse against closed forms."""

import numpy as np
import pytest

from flexpose_core.errors import DataError
from flexpose_core.geometry import from_bones, from_polar, to_bones, to_polar
from flexpose_core.measures import shapes
from flexpose_core.measures.shapes import (
    joint_angle_distance,
    joint_angles,
    length_ratio_distance,
    mean_pairwise_distance,
    nearest_distance,
)
from flexpose_core.skeletons import BODY15, FACE68

POSES = np.random.default_rng(0).uniform(0.2, 0.8, (80, 15, 2))


def moved(poses, angle=0.7, scale=0.5, shift=(0.1, -0.2)):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return scale * poses @ turn + np.array(shift)


def test_proportions_and_angles_are_blind_to_similarity_transforms():
    assert length_ratio_distance(POSES, moved(POSES), BODY15) == pytest.approx(0, abs=1e-9)
    assert joint_angle_distance(POSES, moved(POSES), BODY15) == pytest.approx(0, abs=1e-6)


def test_one_longer_bone_moves_all_shares():
    # All bones equal, then one doubled: its share goes from 1/B to 2/(B + 1), the others' from 1/B to 1/(B + 1).
    count = len(BODY15.tree)
    bones = to_bones(POSES, BODY15)
    bones[:, 1:] /= np.linalg.norm(bones[:, 1:], axis=-1, keepdims=True)
    equal = from_bones(bones, BODY15)
    bones[:, 1] *= 2
    longer = from_bones(bones, BODY15)
    changes = [2 / (count + 1) - 1 / count] + [1 / count - 1 / (count + 1)] * (count - 1)
    assert length_ratio_distance(equal, longer, BODY15) == pytest.approx(100 * np.mean(changes), rel=1e-6)


@pytest.mark.parametrize("degrees", [20, 340])
def test_a_turned_elbow_is_one_angle_and_the_circle_has_no_seam(degrees):
    # Turning the last bone of one arm moves one of the angles, by the shorter way round.
    polar = to_polar(POSES, BODY15)
    wrist = [child for _, child in BODY15.tree].index("l_wrist")
    # The same angle in all poses, so that the distance of the distributions is that of two points.
    elbow = [child for _, child in BODY15.tree].index("l_elbow")
    polar.angle[:, wrist] = polar.angle[:, elbow]
    straight = from_polar(polar, BODY15)
    polar.angle[:, wrist] += np.radians(degrees)
    bent = from_polar(polar, BODY15)
    count = joint_angles(POSES, BODY15).shape[1]
    assert joint_angle_distance(straight, bent, BODY15) == pytest.approx(20 / count, rel=1e-4)


def test_angles_are_counted_where_a_bone_goes_on():
    # Of the body's 14 bones, those from the pelvis (neck, two hips) have none before them.
    assert joint_angles(POSES, BODY15).shape == (80, 11)
    faces = np.random.default_rng(1).random((5, 68, 2))
    starting = sum(parent == FACE68.root for parent, _ in FACE68.tree)
    assert joint_angles(faces, FACE68).shape == (5, 67 - starting)


def test_memorised_shots_are_at_no_distance():
    assert nearest_distance(POSES[[3, 3, 7]], POSES[:10]) == 0
    # All joints moved by (3, 4) px from their own shot; other shots are farther.
    assert nearest_distance(POSES[:4] + np.array([3, 4]) / 128, POSES[:10]) == pytest.approx(5)


def test_collapse_is_no_pairwise_distance():
    assert mean_pairwise_distance(np.repeat(POSES[:1], 9, axis=0)) == 0
    # Half here, half 10 px away: 2 · 4 · 4 of 8 · 7 ordered pairs.
    halves = np.repeat(POSES[:1], 8, axis=0)
    halves[4:, :, 0] += 10 / 128
    assert mean_pairwise_distance(halves) == pytest.approx(10 * 32 / 56)
    with pytest.raises(DataError, match="at least two poses, found 1"):
        mean_pairwise_distance(POSES[:1])


@pytest.mark.parametrize("coordinates", [2**24, 5000, 1])
def test_pairs_are_those_of_a_double_loop_beyond_one_chunk(monkeypatch, coordinates):
    monkeypatch.setattr(shapes, "_COORDINATES", coordinates)
    expected = np.mean(
        [
            128 * np.linalg.norm(a - b, axis=-1).mean()
            for i, a in enumerate(POSES)
            for j, b in enumerate(POSES)
            if i != j
        ]
    )
    assert mean_pairwise_distance(POSES) == pytest.approx(expected)
