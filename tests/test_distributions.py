"""Distribution measures against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from flexpose_core.errors import DataError
from flexpose_core.measures.distributions import (
    density_and_coverage,
    distribution_metrics,
    mean_displacement,
    mmd_squared,
    sliced_wasserstein,
)

RNG = np.random.default_rng(0)
POSES = RNG.normal(0.5, 0.1, (60, 15, 2))
OTHER = RNG.normal(0.55, 0.12, (40, 15, 2))


def mean_abs_cosine(dimensions):
    """E|u_1| of a unit vector u drawn uniformly: Γ(n/2) / (√π Γ((n+1)/2))."""
    return np.exp(gammaln(dimensions / 2) - gammaln((dimensions + 1) / 2)) / np.sqrt(np.pi)


@pytest.mark.parametrize("shift", [0.01, -0.2])
def test_sliced_wasserstein_of_a_shift(shift):
    # Every projection moves by its cosine with the shift: |v| E|cos|.
    moved = POSES + np.array([shift, 0.0])
    expected = 128 * abs(shift) * np.sqrt(15) * mean_abs_cosine(30)
    assert sliced_wasserstein(POSES, moved, projections=4000) == pytest.approx(expected, rel=0.03)
    assert mean_displacement(POSES, moved) == pytest.approx(128 * abs(shift))


def test_sliced_wasserstein_of_a_scaling_about_a_point():
    # A projection of x is u·x, of s x it is s u·x: sorted, they differ by |s - 1| |u·x|.
    poses = RNG.normal(0, 1, (4000, 5, 2)) / 128
    expected = 0.3 * np.sqrt(2 / np.pi)  # u·x is standard normal in px
    assert sliced_wasserstein(poses, 1.3 * poses) == pytest.approx(expected, rel=0.03)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_measures_are_blind_to_order(seed):
    rng = np.random.default_rng(seed)
    shuffled = POSES[rng.permutation(len(POSES))]
    for measure in (sliced_wasserstein, mmd_squared, lambda a, b: density_and_coverage(a, b)[1]):
        assert measure(shuffled, OTHER) == pytest.approx(measure(POSES, OTHER), abs=1e-9)


def test_mmd_by_brute_force():
    x, y = (poses.reshape(len(poses), -1) * 128 for poses in (POSES[:12], OTHER[:9]))

    def kernel(a, b, width):
        return np.exp(-np.square(a - b).sum() / (2 * width**2))

    total = 0.0
    for width in (20.0, 40.0, 80.0):
        xx = np.mean([kernel(x[i], x[j], width) for i in range(12) for j in range(12) if i != j])
        yy = np.mean([kernel(y[i], y[j], width) for i in range(9) for j in range(9) if i != j])
        xy = np.mean([kernel(a, b, width) for a in x for b in y])
        total += (xx + yy - 2 * xy) / 3
    assert mmd_squared(POSES[:12], OTHER[:9]) == pytest.approx(total, rel=1e-9)


def test_mmd_is_unbiased_at_equality():
    rng = np.random.default_rng(1)
    values = np.array([mmd_squared(*rng.normal(0.5, 0.1, (2, 20, 15, 2))) for _ in range(200)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))


def test_density_and_coverage_by_brute_force():
    k = 5
    x, y = POSES.reshape(60, -1), OTHER.reshape(40, -1)
    radii = [sorted(np.linalg.norm(a - b) for i, b in enumerate(x) if i != j)[k - 1] for j, a in enumerate(x)]
    held = np.array([[np.linalg.norm(a - b) < radius for b in y] for a, radius in zip(x, radii, strict=True)])
    density, coverage = density_and_coverage(POSES, OTHER)
    assert coverage == pytest.approx(np.mean([any(row) for row in held]))
    assert density == pytest.approx(held.sum() / (k * 40))


def test_coverage_sees_a_missing_mode():
    two_modes = np.concatenate([POSES, POSES + 2])
    assert density_and_coverage(two_modes, POSES + 1e-6)[1] == pytest.approx(0.5)
    assert density_and_coverage(two_modes, two_modes + 1e-6)[1] == 1
    assert density_and_coverage(two_modes, POSES + 9) == (0, 0)


def test_all_metrics_are_plain_deterministic_and_tell_sample_sizes():
    many = np.random.default_rng(3).normal(0.5, 0.1, (6000, 15, 2))
    metrics = distribution_metrics(many, OTHER, seed=4)
    assert metrics == distribution_metrics(many, OTHER, seed=4)
    assert metrics != distribution_metrics(many, OTHER, seed=5)
    assert all(type(value) is float for value in metrics.values())
    assert (metrics["real_sample"], metrics["fake_sample"]) == (5000, 40)
    assert metrics["kernel_sample"] == metrics["neighbour_sample"] == 40


def test_wrong_shapes_and_too_few_poses_are_named():
    with pytest.raises(DataError, match=r"\(N, K, 2\)"):
        sliced_wasserstein(POSES[:0], POSES)
    with pytest.raises(DataError, match="more than 5 real poses, found 5"):
        density_and_coverage(POSES[:5], POSES)
    with pytest.raises(DataError, match="at least two poses"):
        mmd_squared(POSES[:1], POSES)
