"""Detection metrics against hand-computed values, an independent loop, and properties."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexpose_core.errors import DataError
from flexpose_core.measures import PIXELS
from flexpose_core.measures.detection import (
    better_labelling,
    box_sides,
    detection_metrics,
    mean_pose,
    mean_pose_floor,
)
from flexpose_core.skeletons import BODY15, FACE68


def _poses(seed: int, n: int = 6, skeleton=BODY15) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(skeleton), 2)).astype(np.float32)


def _all(poses: np.ndarray) -> np.ndarray:
    return np.ones(poses.shape[:2], np.uint8)


def _by_loop(predicted, truth, visibility, skeleton, threshold):
    """The definitions, one joint after another."""
    totals = {"as_is": [], "flip_aware": []}
    near = {"as_is": [], "flip_aware": []}
    names = list(skeleton.joints)
    mirror = {name: name for name in names} | dict(skeleton.swaps) | {b: a for a, b in skeleton.swaps}
    for p, t, v in zip(predicted.astype(float), truth.astype(float), visibility, strict=True):
        seen = [k for k in range(len(names)) if v[k]]
        if not seen:
            continue
        side = max(max(t[k][axis] for k in seen) - min(t[k][axis] for k in seen) for axis in (0, 1)) * 128
        own = [(((p[k] - t[k]) * 128) ** 2).sum() for k in seen]
        other = [(((p[names.index(mirror[names[k]])] - t[k]) * 128) ** 2).sum() for k in seen]
        for key, errors in (("as_is", own), ("flip_aware", min(own, other, key=sum))):
            totals[key] += errors
            near[key] += [error**0.5 < threshold * side for error in errors]
    return {key: (np.mean(totals[key]), np.mean(np.sqrt(totals[key])), np.mean(near[key])) for key in totals}


@pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda s: s.name)
def test_agrees_with_a_loop_over_joints(skeleton):
    truth = _poses(0, 20, skeleton)
    predicted = truth + np.random.default_rng(1).normal(0, 0.1, truth.shape)
    predicted[::2] = predicted[::2, skeleton.flip_permutation]
    visibility = (np.random.default_rng(2).random(truth.shape[:2]) < 0.7).astype(np.uint8)
    visibility[3] = 0
    found = detection_metrics(predicted, truth, visibility, skeleton, thresholds=(0.1,))
    for key, (mse, distance, pck) in _by_loop(predicted, truth, visibility, skeleton, 0.1).items():
        assert found[key]["mse"] == pytest.approx(mse)
        assert found[key]["mean_distance"] == pytest.approx(distance)
        assert found[key]["pck"]["0.1"] == pytest.approx(pck)
    assert found["as_is"]["mse"] > 1.5 * found["flip_aware"]["mse"]
    assert found["visible_joints"] == visibility.sum()


def test_a_known_shift():
    truth = _poses(0)
    predicted = truth + np.array([3, 4], np.float32) / PIXELS
    found = detection_metrics(predicted, truth, _all(truth), BODY15)["as_is"]
    assert found["mse"] == pytest.approx(25, rel=1e-4)
    assert found["mean_distance"] == pytest.approx(5, rel=1e-4)
    assert set(found["joint_distance"]) == set(BODY15.joints)
    assert found["joint_distance"]["l_wrist"] == pytest.approx(5, rel=1e-4)


def test_pck_counts_strictly_nearer_joints_by_the_larger_side():
    truth = np.full((1, len(BODY15), 2), 0.5)
    truth[0, BODY15.index("head"), 1] = 0.25
    truth[0, BODY15.index("l_wrist"), 0] = 0.625
    assert box_sides(truth, _all(truth))[0] == pytest.approx(32)
    predicted = truth.copy()
    predicted[0, BODY15.index("neck"), 0] += 0.03
    predicted[0, BODY15.index("pelvis"), 0] += 0.025 - 1e-9
    predicted[0, BODY15.index("r_knee"), 1] -= 0.025 + 1e-9
    found = detection_metrics(predicted, truth, _all(truth), BODY15, thresholds=(0.1, 0.2))["as_is"]["pck"]
    assert found["0.1"] == pytest.approx(1 - 2 / len(BODY15))
    assert found["0.2"] == 1


def test_hidden_joints_count_nowhere():
    truth = _poses(0)
    predicted = truth + 0.01
    visibility = _all(truth)
    visibility[:, BODY15.index("head")] = 0
    visibility[2] = 0
    clean = detection_metrics(predicted, truth, visibility, BODY15)
    predicted[visibility == 0], truth[visibility == 0] = 1e6, np.nan
    assert detection_metrics(predicted, truth, visibility, BODY15) == clean
    assert clean["as_is"]["joint_distance"]["head"] is None
    json.dumps(clean, allow_nan=False)


def test_one_visible_joint_has_no_box_to_be_measured_by():
    truth, visibility = _poses(3, 4), np.zeros((4, 15), np.uint8)
    visibility[:2, 4], visibility[2:] = 1, 1
    found = detection_metrics(truth, truth, visibility, BODY15)
    assert found["samples_without_box"] == 2
    assert set(found["as_is"]["pck"].values()) == {1.0}
    alone = detection_metrics(truth[:2], truth[:2], visibility[:2], BODY15)
    assert set(alone["as_is"]["pck"].values()) == {0.0}


def test_labels_swap_by_sample_and_only_when_better():
    truth = _poses(0, 4)
    predicted = truth.copy()
    predicted[1] = truth[1, BODY15.flip_permutation]
    predicted[2, BODY15.index("l_wrist", "r_wrist")] = truth[2, BODY15.index("r_wrist", "l_wrist")]
    relabelled = better_labelling(predicted, truth, _all(truth), BODY15)
    np.testing.assert_array_equal(relabelled[[0, 1, 3]], truth[[0, 1, 3]])
    np.testing.assert_array_equal(relabelled[2], predicted[2])


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1))
def test_flip_aware_never_exceeds_as_is_and_ignores_the_labelling(seed, noise):
    truth = _poses(seed)
    random = np.random.default_rng(seed)
    predicted = truth + random.normal(0, noise, truth.shape)
    visibility = (random.random(truth.shape[:2]) < 0.8).astype(np.uint8)
    visibility[0, 0] = 1
    found = detection_metrics(predicted, truth, visibility, BODY15)
    assert found["flip_aware"]["mse"] <= found["as_is"]["mse"]
    swapped = detection_metrics(predicted[:, BODY15.flip_permutation], truth, visibility, BODY15)
    assert swapped["flip_aware"]["mse"] == pytest.approx(found["flip_aware"]["mse"])


def test_mean_pose_floor_is_the_variance_about_the_mean():
    truth = _poses(0, 200)
    found = mean_pose_floor(truth, _all(truth), truth, _all(truth), BODY15)["as_is"]["mse"]
    assert found == pytest.approx(truth.astype(float).var(axis=0).sum(-1).mean() * PIXELS**2, rel=1e-5)


def test_mean_pose_leaves_hidden_joints_out():
    poses = np.stack([np.full((len(BODY15), 2), 0.2), np.full((len(BODY15), 2), 0.6)])
    visibility = _all(poses)
    head, neck = BODY15.index("head", "neck")
    visibility[1, head] = 0
    visibility[:, neck] = 0
    mean = mean_pose(poses, visibility)
    np.testing.assert_allclose(mean[head], 0.2, rtol=1e-6)
    np.testing.assert_allclose(mean[neck], 0.5)
    np.testing.assert_allclose(mean[BODY15.index("pelvis")], 0.4, rtol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p, t, v: (p[:, :-1], t, v), "expected predictions and truth of shape"),
        (lambda p, t, v: (p[:, :-1], t[:, :-1], v[:, :-1]), "found .6, 14, 2."),
        (lambda p, t, v: (p * np.nan, t, v), "finite"),
        (lambda p, t, v: (p, t, v * 0), "visible joints, found none"),
    ],
)
def test_refuses_what_it_cannot_average(spoil, message):
    truth = _poses(0)
    with pytest.raises(DataError, match=message):
        detection_metrics(*spoil(truth.copy(), truth, _all(truth)), BODY15)
