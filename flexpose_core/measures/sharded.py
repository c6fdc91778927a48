"""All measures between a target's poses and an annotation set, as tasks that several jobs can share.

Every task acts on samples of a fixed size, drawn by the seed, so that the figures are the same bytes for any number of shards, and
cost no more for ten million poses than for five thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from flexpose_core import seeds
from flexpose_core.errors import DataError
from flexpose_core.measures.distributions import (
    KERNEL_SAMPLE,
    NEIGHBOUR_SAMPLE,
    WASSERSTEIN_SAMPLE,
    kernel_figures,
    mean_displacement,
    neighbour_figures,
    sliced_wasserstein,
)
from flexpose_core.measures.shapes import (
    PAIR_SAMPLE,
    SHAPE_SAMPLE,
    joint_angle_distance,
    length_ratio_distance,
    mean_pairwise_distance,
    nearest_distance,
)
from flexpose_core.poses.cache import open_cache
from flexpose_core.skeletons import Skeleton, skeleton_named

Figures = dict[str, float]
_ROWS = 1 << 16
"""Poses read at once."""


@dataclass(frozen=True)
class Samples:
    """What the tasks look at: real and fake poses, (n, K, 2) in 0..1, once for distances between the sets and once for shapes,
    and the shots, (M, K, 2), if there are any."""

    skeleton: Skeleton
    real: np.ndarray
    fake: np.ndarray
    real_shapes: np.ndarray
    fake_shapes: np.ndarray
    shots: np.ndarray | None = None
    seed: int = 0

    @property
    def kernel(self) -> int:
        """Poses of each set that MMD looks at, which depends on their number."""
        return min(KERNEL_SAMPLE, len(self.real), len(self.fake))

    @property
    def neighbours(self) -> int:
        """Poses of each set that density and coverage look at, which depend on their number."""
        return min(NEIGHBOUR_SAMPLE, len(self.real), len(self.fake))


def draw_samples(real: Path, fake: Path, shots: Path | None = None, seed: int = 0) -> Samples:
    """Read the samples from caches, of the poses with all joints visible; memory grows by a number a pose.

    Raises
    ------
    DataError
        If a cache is damaged, or the skeletons differ.
    """
    drawn: dict[str, np.ndarray] = {}
    names: dict[Path, str] = {}
    # The two measures' samples were drawn apart before they were shared, and are still.
    for stream, size in {"distribution_metrics": WASSERSTEIN_SAMPLE, "shape_metrics": SHAPE_SAMPLE}.items():
        random = seeds.rng(seed, stream)
        for which, path in {"real": real, "fake": fake}.items():
            with open_cache(path) as file:
                names[path] = str(file.attrs["skeleton"])
                whole = _complete_rows(file)
                drawn[f"{which}_{stream}"] = _read(file, whole[random.permutation(len(whole))[:size]])
    annotated = None
    if shots is not None:
        with open_cache(shots) as file:
            names[shots] = str(file.attrs["skeleton"])
            annotated = file["poses"][:]
    for path, name in names.items():
        if name != names[real]:
            raise DataError(f"{path}: expected skeleton {names[real]} as in {real}, found {name}")
    return Samples(
        skeleton_named(names[real]),
        drawn["real_distribution_metrics"],
        drawn["fake_distribution_metrics"],
        drawn["real_shape_metrics"],
        drawn["fake_shape_metrics"],
        annotated,
        seed,
    )


def _complete_rows(file: h5py.File) -> np.ndarray:
    """Return the numbers of the poses whose joints are all visible, reading a piece of the file at a time."""
    starts = range(0, int(file.attrs["count"]), _ROWS)
    return np.concatenate(
        [np.zeros(0, int)]
        + [start + np.flatnonzero(file["visibility"][start : start + _ROWS].all(axis=1)) for start in starts]
    )


def _read(file: h5py.File, rows: np.ndarray) -> np.ndarray:
    """Return poses by row, in the order of the rows, reading a piece of the file at a time; there may be none."""
    poses = np.empty((len(rows), *file["poses"].shape[1:]), np.float32)
    for start in range(0, int(file.attrs["count"]), _ROWS):
        places = np.flatnonzero((rows >= start) & (rows < start + _ROWS))
        if len(places):
            poses[places] = file["poses"][start : start + _ROWS][rows[places] - start]
    return poses


def _pairwise(name: str, poses: np.ndarray) -> Figures:
    return {name: mean_pairwise_distance(poses[:PAIR_SAMPLE])} if len(poses) > 1 else {}


def _nearest_shot(of: Samples) -> Figures:
    if of.shots is None or not len(of.fake_shapes):
        return {}
    return {"nearest_shot_px": nearest_distance(of.fake_shapes[:PAIR_SAMPLE], of.shots)}


def _sizes(of: Samples) -> Figures:
    sizes = {
        "real_sample": len(of.real),
        "fake_sample": len(of.fake),
        "kernel_sample": of.kernel,
        "neighbour_sample": of.neighbours,
        "real_shape_sample": len(of.real_shapes),
        "fake_shape_sample": len(of.fake_shapes),
        "real_pair_sample": min(len(of.real_shapes), PAIR_SAMPLE),
        "fake_pair_sample": min(len(of.fake_shapes), PAIR_SAMPLE),
    }
    return {name: float(size) for name, size in sizes.items()}


TASKS: dict[str, Callable[[Samples], Figures]] = {
    "wasserstein": lambda of: {"sliced_wasserstein_px": sliced_wasserstein(of.real, of.fake, seed=of.seed)},
    "mmd": lambda of: kernel_figures(of.real[: of.kernel], of.fake[: of.kernel]),
    "density": lambda of: neighbour_figures(of.real[: of.neighbours], of.fake[: of.neighbours]),
    "displacement": lambda of: {"mean_displacement_px": mean_displacement(of.real, of.fake)},
    "lengths": lambda of: {"length_ratio_pp": length_ratio_distance(of.real_shapes, of.fake_shapes, of.skeleton)},
    "angles": lambda of: {"joint_angle_deg": joint_angle_distance(of.real_shapes, of.fake_shapes, of.skeleton)},
    "pairs": lambda of: _pairwise("pairwise_px", of.fake_shapes),
    "real_pairs": lambda of: _pairwise("real_pairwise_px", of.real_shapes),
    "nearest_shot": _nearest_shot,
    "sizes": _sizes,
}
"""What each task measures, the sizes of the samples behind the figures among them; nothing, if it asks for more poses."""
_OF_BOTH = ("wasserstein", "displacement", "lengths", "angles")
"""Tasks that ask for a pose of each set."""


def measure(samples: Samples, shard: int = 0, shards: int = 1) -> dict[str, Figures]:
    """Return the figures of every `shards`-th task from the `shard`-th on, by task."""
    empty = () if len(samples.real) and len(samples.fake) else _OF_BOTH
    return {name: {} if name in empty else TASKS[name](samples) for name in list(TASKS)[shard::shards]}


def gather(parts: Iterable[dict[str, Figures]], what: str = "measures") -> Figures:
    """Return the figures of all tasks.

    Raises
    ------
    DataError
        Naming `what`, if the parts are not all tasks, each once.
    """
    found: dict[str, Figures] = {}
    for part in parts:
        for name, figures in part.items():
            if name in found or name not in TASKS:
                raise DataError(f"{what}: expected each of {', '.join(TASKS)} once, found {name!r} again or unknown")
            found[name] = figures
    missing = [name for name in TASKS if name not in found]
    if missing:
        raise DataError(f"{what}: expected each of {', '.join(TASKS)} once, found no {missing[0]!r}")
    return {key: value for name in TASKS for key, value in found[name].items()}
