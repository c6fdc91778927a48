"""Which latent code stands for which guidance pose in Eq. 5."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from flexpose_core.errors import ConfigError

_POOL = "pool: latent codes"


def random_pairs(count: int, pool: int, rng: np.random.Generator) -> np.ndarray:
    """Return for each of `count` guidance poses a place in the pool, at random, no place twice (paper, Eq. 5).

    Raises
    ------
    ConfigError
        If the pool is smaller than the guidance.
    """
    _check(count, pool, _POOL)
    return rng.permutation(pool)[:count]


def assigned_pairs(guidance: np.ndarray, generated: np.ndarray, of: str = _POOL) -> np.ndarray:
    """Return for each guidance pose the place of its generated pose in the one-to-one pairing of least total movement.

    Movement is the sum over joints of the squared distance.

    Parameters
    ----------
    guidance, generated
        (N, K, 2) and (M, K, 2), M >= N: the poses of the latent codes in the pool.
    of
        What the generated poses are, for the message.

    Raises
    ------
    ConfigError
        If the pool is smaller than the guidance.
    """
    _check(len(guidance), len(generated), of)
    cost = cdist(guidance.reshape(len(guidance), -1), generated.reshape(len(generated), -1), "sqeuclidean")
    _, chosen = linear_sum_assignment(cost)
    return chosen


def _check(count: int, pool: int, of: str) -> None:
    if pool < count:
        raise ConfigError(f"{of}: expected at least {count}, one for each guidance pose (mixup_size), found {pool}")
