"""Few-shot guidance: which annotations are drawn, their mirror images, pose-mixup (paper, Eq. 7)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from flexpose_core.errors import ConfigError
from flexpose_core.geometry import PolarBones, flip, from_polar, interpolate, mirror, to_polar
from flexpose_core.options.adaptation import GuidanceOptions, Symmetry
from flexpose_core.poses.cache import PoseSet
from flexpose_core.skeletons import Skeleton

# Over eight draws of shots the loss was 2.2 standard errors or more for people seen from the front, 0.8 or less all around.
_REFUTED = 1.5
_LEFT_OUT_SAMPLE = 300


def choose_shots(target: PoseSet, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of `count` shots, as many from each class (clip) as can be, from sequences of their own.

    Classes take turns in random order; a class that has run out is passed over. Within a class the sequences take
    turns, so that no sequence gives a second shot before all have given one. Poses with a joint that is not visible
    are left out.

    Raises
    ------
    ConfigError
        If the target has fewer whole poses.
    """
    whole = np.flatnonzero(target.visibility.all(axis=1))
    if count > len(whole):
        name = target.attributes.get("dataset", "the target")
        raise ConfigError(
            f"shots: expected at most {len(whole)}, the people with all joints among {len(target.visibility)} in {name}'s train "
            f"split (not in val, which `val` or `held_out` makes), found {count}; its train.card.json says what was dropped"
        )
    classes = np.unique(target.clip[whole])
    queues = [_by_turns(whole[target.clip[whole] == name], target.sequence, rng) for name in rng.permutation(classes)]
    longest = max(map(len, queues))
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return np.sort(np.array(turns[:count]))


def _by_turns(places: np.ndarray, sequence: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Return the places in random order: one of each sequence, then the second ones, and so on."""
    places = rng.permutation(places)
    # Sequence by sequence, each place's rank is how far it is from where its sequence begins.
    together = np.argsort(sequence[places], kind="stable")
    _, first, counts = np.unique(sequence[places][together], return_index=True, return_counts=True)
    rank = np.empty(len(places), np.int64)
    rank[together] = np.arange(len(places)) - np.repeat(first, counts)
    return places[np.argsort(rank, kind="stable")].tolist()


def with_mirror_images(shots: np.ndarray, symmetry: Symmetry, skeleton: Skeleton) -> np.ndarray:
    """Return the shots (M, K, 2) followed by their mirror images: M, 2M ("flip") or 4M ("flip+back") poses."""
    if symmetry == "none":
        return shots
    flipped = np.concatenate([shots, flip(shots, skeleton)])
    return flipped if symmetry == "flip" else np.concatenate([flipped, mirror(flipped)])


def pose_mixup(shots: np.ndarray, skeleton: Skeleton, options: GuidanceOptions, rng: np.random.Generator) -> np.ndarray:
    """Return E mixed poses t* = λ t_i + (1 - λ) t_j (Eq. 7), (E, K, 2) float32; see `GuidanceOptions`."""
    shots = shots.astype(np.float64)
    first, second = rng.integers(len(shots), size=(2, options.mixup_size))
    share = rng.beta(options.concentration, options.concentration, (options.mixup_size, 1))
    if options.space == "joints":
        mixed = shots[first] + share[..., None] * (shots[second] - shots[first])
        centre = shots.mean(axis=0)
        return (centre + options.spread * (mixed - centre)).astype(np.float32)
    polar = to_polar(shots, skeleton)
    return from_polar(interpolate(_take(polar, first), _take(polar, second), share), skeleton).astype(np.float32)


def choose_symmetry(
    shots: np.ndarray, skeleton: Skeleton, options: GuidanceOptions, rng: np.random.Generator
) -> Symmetry:
    """Return the largest symmetry that the shots do not speak against: "flip+back", "flip" or "none".

    A dozen shots are too few to prove a symmetry, and enough to refute a wrong one: with each shot left out in turn, the mixup
    of the others forecasts it, judged by the energy score E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, Eq. 21). A symmetry
    is given up for the next smaller one if its scores are worse by more than `_REFUTED` standard errors of the difference.
    """
    if len(shots) < 3:
        return "flip"
    modes: tuple[Symmetry, ...] = ("flip+back", "flip", "none")
    scores = [_left_out_scores(shots, mode, skeleton, options, rng.spawn(1)[0]) for mode in modes]
    for mode, own, smaller in zip(modes, scores, scores[1:], strict=False):
        loss = own - smaller
        if loss.mean() <= _REFUTED * loss.std(ddof=1) / np.sqrt(len(loss)):
            return mode
    return modes[-1]


def _left_out_scores(
    shots: np.ndarray, mode: Symmetry, skeleton: Skeleton, options: GuidanceOptions, rng: np.random.Generator
) -> np.ndarray:
    scores = []
    for left_out in range(len(shots)):
        rest = with_mirror_images(np.delete(shots, left_out, axis=0), mode, skeleton)
        mixed = pose_mixup(rest, skeleton, options, rng)[:_LEFT_OUT_SAMPLE]
        scores.append(energy_score(mixed, shots[left_out]))
    return np.array(scores)


def energy_score(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Return E|X - y| - E|X - X'| / 2 of poses X (N, K, 2) for one pose y (K, 2); lower is better."""
    vectors = forecast.reshape(len(forecast), -1)
    spread = cdist(vectors, vectors).sum() / (len(vectors) * (len(vectors) - 1))
    return float(cdist(vectors, truth.reshape(1, -1)).mean() - spread / 2)


def _take(polar: PolarBones, places: np.ndarray) -> PolarBones:
    return PolarBones(polar.root[places], polar.angle[places], polar.log_length[places])
