"""How far apart two sets of poses are: sliced Wasserstein, MMD, energy distance, density and coverage.

All act on whole poses as vectors of 2K numbers in pixels on the 128-pixel scale (0..1 coordinates × 128), so that a
displacement of all joints by d pixels along x and y alike is a vector of length d √(2K). Sets are subsampled by a
seed, never silently: the sizes are part of the result. Density, coverage and the Wasserstein distances depend on the sizes of the
samples, the latter being too large for small ones; that of MMD² does not, but varies more. Compare at equal sizes only.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.measures import PIXELS

PROJECTIONS = 256
KERNEL_WIDTHS = (20.0, 40.0, 80.0)
NEIGHBOURS = 5
# Sample sizes; pairwise measures are quadratic in theirs.
WASSERSTEIN_SAMPLE, KERNEL_SAMPLE, NEIGHBOUR_SAMPLE = 5000, 1000, 700


def pose_vectors(poses: np.ndarray) -> np.ndarray:
    """Return poses (N, K, 2) in 0..1 as vectors (N, 2K) in px at 128."""
    if poses.ndim != 3 or poses.shape[2] != 2 or not len(poses):
        raise DataError(f"distribution metrics: expected poses of shape (N, K, 2), N > 0, found {poses.shape}")
    return poses.reshape(len(poses), -1).astype(np.float64) * PIXELS


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Return the sliced 1-Wasserstein distance of two pose sets in px at 128 (Rabin et al. 2012; Bonneel et al. 2015).

    Poses, as vectors of 2K pixel coordinates, are projected on unit vectors drawn uniformly from the sphere in 2K
    dimensions; the result is the mean over directions of the 1-Wasserstein distance of the projections. Two sets that
    differ by a shift v differ by |v| E|cos|, about |v| √(2 / (π 2K)): if all joints move by d pixels along x, about
    0.56 d.

    Parameters
    ----------
    first, second
        (N, K, 2) and (M, K, 2) in 0..1.
    """
    # Imported where it is used, as that takes longer than most of what else a job does.
    from ot.sliced import sliced_wasserstein_distance

    # POT takes the older kind of generator.
    random = np.random.RandomState(seeds.derive(seed, "sliced_wasserstein") % 2**32)
    return float(
        sliced_wasserstein_distance(
            pose_vectors(first), pose_vectors(second), n_projections=projections, p=1, seed=random
        )
    )


def mmd_squared(first: np.ndarray, second: np.ndarray, widths: tuple[float, ...] = KERNEL_WIDTHS) -> float:
    """Return the unbiased squared maximum mean discrepancy, mean over kernels (Gretton et al. 2012, Eq. 3).

    Parameters
    ----------
    first, second
        (N, K, 2) and (M, K, 2) in 0..1, at least two poses each.
    widths
        Standard deviations of exp(-|a - b|² / (2 σ²)) in px at 128, distances between whole poses.

    Returns
    -------
    A number without unit; 0 in expectation for equal distributions, so it may be slightly negative.
    """
    x, y = pose_vectors(first), pose_vectors(second)
    if min(len(x), len(y)) < 2:
        raise DataError(f"MMD: expected at least two poses in each set, found {len(x)} and {len(y)}")
    within_x, within_y, between = cdist(x, x, "sqeuclidean"), cdist(y, y, "sqeuclidean"), cdist(x, y, "sqeuclidean")
    total = 0.0
    for width in widths:
        gamma = 1 / (2 * width**2)
        total += _mean_off_diagonal(np.exp(-gamma * within_x)) + _mean_off_diagonal(np.exp(-gamma * within_y))
        total -= 2 * float(np.exp(-gamma * between).mean())
    return total / len(widths)


def density_and_coverage(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Return density and coverage (Naeem et al. 2020, Eq. 2 and 3).

    Each real pose owns the ball that reaches to its k-th nearest real neighbour. Density is the mean number of balls
    that a fake pose lies in, over k; coverage is the share of balls that hold a fake pose.

    Raises
    ------
    DataError
        If there are not more than `neighbours` real poses.
    """
    x, y = pose_vectors(real), pose_vectors(fake)
    if len(x) <= neighbours:
        raise DataError(f"density and coverage: expected more than {neighbours} real poses, found {len(x)}")
    # Column 0 is each pose itself.
    radius = np.partition(cdist(x, x), neighbours, axis=1)[:, neighbours]
    inside = cdist(x, y) < radius[:, None]
    return float(inside.sum(axis=0).mean() / neighbours), float(inside.any(axis=1).mean())


def mean_displacement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the distance between the two mean poses, the mean over joints, in px at 128."""
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0), axis=-1).mean() * PIXELS)


def kernel_figures(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Return `mmd_squared`, or nothing where there are too few poses for it."""
    return {"mmd_squared": mmd_squared(real, fake)} if min(len(real), len(fake)) > 1 else {}


def neighbour_figures(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Return `density` and `coverage`, or nothing where there are too few real poses for them."""
    if len(real) <= NEIGHBOURS:
        return {}
    density, coverage = density_and_coverage(real, fake)
    return {"density": density, "coverage": coverage}


def distribution_metrics(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Return all measures between real poses (N, K, 2) and fake ones (M, K, 2), 0..1, on samples drawn by `seed`.

    Returns
    -------
    `sliced_wasserstein_px`, `mmd_squared`, `density`, `coverage`, `mean_displacement_px`, and the sizes of the samples
    behind them: `real_sample` and `fake_sample` (sliced Wasserstein, mean displacement), `kernel_sample`,
    `neighbour_sample`. Of too few poses MMD, density and coverage are left out.
    """
    random = seeds.rng(seed, "distribution_metrics")
    real, fake = (poses[random.permutation(len(poses))[:WASSERSTEIN_SAMPLE]] for poses in (real, fake))
    kernel, neighbour = (min(size, len(real), len(fake)) for size in (KERNEL_SAMPLE, NEIGHBOUR_SAMPLE))
    return {
        "sliced_wasserstein_px": sliced_wasserstein(real, fake, seed=seed),
        **kernel_figures(real[:kernel], fake[:kernel]),
        **neighbour_figures(real[:neighbour], fake[:neighbour]),
        "mean_displacement_px": mean_displacement(real, fake),
        "real_sample": float(len(real)),
        "fake_sample": float(len(fake)),
        "kernel_sample": float(kernel),
        "neighbour_sample": float(neighbour),
    }


def _mean_off_diagonal(matrix: np.ndarray) -> float:
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))
