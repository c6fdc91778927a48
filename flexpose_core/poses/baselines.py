"""Annotation sets without a generator: what an adapted generator must beat.

Poses are (N, K, 2) in 0..1, in no particular order. The shots may include their mirror images: whether a baseline gets the
symmetry that FlexPose gets is for the guidance to say. As in the sets of *Direct* and *FlexPose*, the guidance (the pose-mixup)
is part of every set but the unadapted source's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.geometry import SHORTEST_BONE, fit_similarity, inside_image
from flexpose_core.options.baselines import ONE_EACH, BaselineOptions
from flexpose_core.poses.pairing import assigned_pairs

# Directions in which the shots spread less than this fraction of their widest spread are rounding errors.
_FLAT = 1e-4
_VARYING = ("affine", "kde", "pca")
"""What asks how the shots vary."""
_ROUNDS = 20
"""As many times the poses asked for are drawn at most, to find as many inside the image."""


def baseline_poses(
    options: BaselineOptions,
    source: np.ndarray,
    shots: np.ndarray,
    n_shots: int,
    mixup: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the annotation set of a baseline, (size, K, 2) float32.

    Parameters
    ----------
    source
        (N, K, 2) source poses; may be empty if the kind needs none.
    shots
        (M', K, 2) the few annotations of the target, with the mirror images that the guidance gives them.
    n_shots
        M, how many of these were annotated.
    mixup
        (E, K, 2) the guidance.

    Raises
    ------
    DataError
        If the source has too few poses for a kind that takes each of them once, the shots or the source's poses do not vary, or
        hardly any pose drawn is inside the image.
    """
    if options.kind == "mixup":
        return repeated(mixup, size, rng)
    if options.kind == "nearest":
        chosen = nearest(source, shots, mixup, options.candidates, rng)
        return np.concatenate([repeated(chosen, size - size // 2, rng), repeated(mixup, size // 2, rng)])
    if options.kind == "source":
        mixup = mixup[:0]
    count = size - len(mixup)
    if options.kind in ONE_EACH and count > len(source):
        raise DataError(f"baseline {options.kind}: expected at least {count} source poses, found {len(source)}")
    if options.kind in _VARYING:
        _check_variation(options.kind, "shots", shots, ", mirror images counted,")
    if options.kind in ("affine", "pca"):
        _check_variation(options.kind, "source poses", source)
    if options.kind == "kde":
        made = _inside(lambda: kernel_density(shots, count, options.bandwidth, rng), count, options.kind)
    elif options.kind == "pca":
        how = options.variance, options.shrinkage
        made = _inside(lambda: pca_gaussian(source, shots, n_shots, count, *how, rng), count, options.kind)
    else:
        aligned = {"source": lambda poses, _: poses, "similarity": similarity, "affine": affine}[options.kind]
        made = aligned(source, shots)[rng.permutation(len(source))]
        made = _inside_first(made)[:count]
    return np.concatenate([made, mixup]).astype(np.float32)


def _inside_first(poses: np.ndarray) -> np.ndarray:
    """Return the poses, those inside the image before all others; where there are too few, others are needed."""
    return poses[np.argsort(~inside_image(poses), kind="stable")]


def _inside(draw: Callable[[], np.ndarray], count: int, kind: str) -> np.ndarray:
    """Return the first `count` poses drawn that are inside the image, as those of a generator are and of a target."""
    kept: list[np.ndarray] = []
    for _ in range(_ROUNDS):
        drawn = draw()
        kept.append(drawn[inside_image(drawn)])
        if sum(map(len, kept)) >= count:
            return np.concatenate(kept)[:count]
    raise DataError(
        f"baseline {kind}: expected {count} of {_ROUNDS * count} poses drawn inside the image, found {sum(map(len, kept))}"
    )


def _check_variation(kind: str, what: str, poses: np.ndarray, counted: str = "") -> None:
    """Raise DataError unless there are poses (N, K, 2) that differ."""
    if len(poses) < 2 or np.ptp(poses, axis=0).max() < SHORTEST_BONE:
        raise DataError(
            f"baseline {kind}: expected two {what} or more{counted} that differ, found {len(poses)}"
            + (" all alike" if len(poses) > 1 else "")
        )


def repeated(poses: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` poses, each of the given ones as often as any other, but for a last round that is drawn."""
    rounds, rest = divmod(count, len(poses))
    places = np.concatenate([np.tile(np.arange(len(poses)), rounds), rng.permutation(len(poses))[:rest]])
    return poses[places].astype(np.float32)


def similarity(source: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """Return all source poses under the one scale and shift that give them the shots' mean position and size."""
    scale, shift = fit_similarity(source, shots)
    return scale * source + shift


def affine(source: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """Return all source poses, each of the 2K coordinates scaled and shifted to the shots' mean and deviation."""
    deviation = np.maximum(source.std(axis=0, ddof=1), SHORTEST_BONE)
    return (source - source.mean(axis=0)) * (shots.std(axis=0, ddof=1) / deviation) + shots.mean(axis=0)


def nearest(
    source: np.ndarray, shots: np.ndarray, mixup: np.ndarray, candidates: int, rng: np.random.Generator
) -> np.ndarray:
    """Return for each guidance pose a source pose that resembles it, (E, K, 2), each source pose at most once.

    Source poses are aligned by `similarity`, as many as `candidates` of them are drawn, and matched one to one so that
    the joints move least in sum.
    """
    aligned = similarity(source, shots)[rng.permutation(len(source))[: max(candidates, len(mixup))]]
    return aligned[assigned_pairs(mixup, aligned, "source poses")]


def kernel_density(
    shots: np.ndarray, count: int, bandwidth: Literal["scott", "silverman"], rng: np.random.Generator
) -> np.ndarray:
    """Return draws from a Gaussian kernel density estimate on the shots (`scipy.stats.gaussian_kde`).

    A dozen shots do not span the space of poses: the kernels lie in the r dimensions that they do span, and the width h
    follows Scott's rule M^(-1 / (r + 4)) or Silverman's. Kernels of the shots' own covariance widen what the shots themselves
    have, (M - 1) / M of it, by h²; draws are brought back about the mean by the root of the sum, so that their variance is the
    unbiased estimate from the shots, as in `affine` and `pca_gaussian` (Silverman & Young 1987, section 2).
    """
    # Imported where it is used, as that takes longer than composing any other set.
    from scipy.stats import gaussian_kde

    mean = shots.mean(axis=0, dtype=np.float64)
    vectors = (shots - mean).reshape(len(shots), -1)
    _, spreads, directions = np.linalg.svd(vectors, full_matrices=False)
    directions = directions[spreads > _FLAT * spreads[0]]
    estimate = gaussian_kde((vectors @ directions.T).T, bw_method=bandwidth)
    widened = 1 - 1 / len(shots) + estimate.factor**2
    drawn = estimate.resample(count, seed=rng).T / np.sqrt(widened)
    return mean + (drawn @ directions).reshape(count, *mean.shape)


def pca_gaussian(
    source: np.ndarray,
    shots: np.ndarray,
    n_shots: int,
    count: int,
    variance: float,
    shrinkage: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return draws from a Gaussian in the source's principal components, moved to the shots' moments.

    The components are the source's, since a dozen shots span fewer dimensions than poses have. The mean is the shots';
    their covariance S is shrunk towards the source's Λ, brought to the same total variance:
    M / (M + κ) S + κ / (M + κ) (tr S / tr Λ) Λ.

    Parameters
    ----------
    variance
        Share of the source's variance that the components kept hold at least.
    shrinkage
        κ.
    """
    own = (source - source.mean(axis=0, dtype=np.float64)).reshape(len(source), -1)
    _, spreads, directions = np.linalg.svd(own, full_matrices=False)
    share = np.cumsum(np.square(spreads)) / np.square(spreads).sum()
    kept = int(np.searchsorted(share, variance - 1e-12)) + 1
    spreads, directions = spreads[:kept], directions[:kept]
    mean = shots.mean(axis=0, dtype=np.float64)
    found = np.atleast_2d(np.cov((shots - mean).reshape(len(shots), -1) @ directions.T, rowvar=False))
    prior = np.diag(np.square(spreads))
    trust = n_shots / (n_shots + shrinkage)
    covariance = trust * found + (1 - trust) * np.trace(found) / np.trace(prior) * prior
    drawn = rng.multivariate_normal(np.zeros(kept), covariance, count, method="eigh")
    return mean + (drawn @ directions).reshape(count, *mean.shape)
