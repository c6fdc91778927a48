"""Which of many poses a target has, told by what a detector finds in its images.

What a first detector finds has the target's distribution but errs, most of all at the ends of limbs; generated poses have
no such errors, but the distribution of a dozen shots. So: of the generated poses those most like the found ones.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from flexpose_core.errors import DataError

_LEAST_SPREAD = 1e-6


def choose_like(found: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` poses of the pool, each at the place and size at which one like it was found.

    Poses are alike if they are near after centring and scaling. Each found pose chooses the pool's nearest, then each the
    second nearest, and so on; in the last round those that choose are drawn. A pose may be chosen more than once.

    Parameters
    ----------
    found
        (n, K, 2) in 0..1.
    pool
        (N, K, 2) in 0..1.

    Returns
    -------
    (count, K, 2) float32.

    Raises
    ------
    DataError
        If there is no found pose, or there are fewer in the pool than rounds.
    """
    rounds = -(-count // len(found)) if len(found) else 0
    if not 0 < rounds <= len(pool):
        raise DataError(
            f"choosing {count} poses: expected a found pose and at least {rounds} to choose from, found {len(found)} and "
            f"{len(pool)}"
        )
    centred_pool, _, pool_spread = _centred(pool)
    centred_found, centre, spread = _centred(found)
    tree = cKDTree((centred_pool / pool_spread).reshape(len(pool), -1))
    flat = (centred_found / spread).reshape(len(found), -1)
    nearest = np.asarray(tree.query(flat, k=[*range(1, rounds + 1)])[1])
    chosen = []
    for number in range(rounds):
        left = count - number * len(found)
        who = np.arange(len(found)) if left >= len(found) else np.sort(rng.permutation(len(found))[:left])
        shape = centred_pool[nearest[who, number]]
        # The size at which the squared distance to the found pose is least.
        squared = np.maximum((shape**2).sum((1, 2), keepdims=True), _LEAST_SPREAD**2)
        size = (shape * centred_found[who]).sum((1, 2), keepdims=True) / squared
        chosen.append(centre[who] + size * shape)
    return np.concatenate(chosen).astype(np.float32)


def _centred(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return poses (N, K, 2) about their centres, these (N, 1, 2), and the joints' root-mean-square distance (N, 1, 1)."""
    poses = poses.astype(np.float64)
    centre = poses.mean(axis=1, keepdims=True)
    spread = np.sqrt(((poses - centre) ** 2).sum((1, 2), keepdims=True) / poses.shape[1])
    return poses - centre, centre, np.maximum(spread, _LEAST_SPREAD)
