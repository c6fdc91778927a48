"""Figures 2 and 3: what the adaptation does to poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.manifold import TSNE

from flexpose_core import seeds
from flexpose_core.measures.distributions import pose_vectors
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.pool import pooled_poses
from flexpose_core.rendering.charts import new_figure, picture_figure, write_figure
from flexpose_core.rendering.pictures import read_png

ROWS = ("source sample", "the same, adapted", "nearest shot")
_EACH = 600
_COLOURS = {"source": "tab:gray", "target": "tab:orange", "adapted": "tab:blue"}


def draw_triptych(picture: Path, out_png: Path, out_svg: Path) -> None:
    """Draw Figure 2 from the picture of an adaptation, its three rows named; raises DataError if it is no picture."""
    write_figure(picture_figure(read_png(picture), ROWS), out_png, out_svg)


def draw_embedding(
    sources: Sequence[Path], target: Path, adapted: Path, seed: int, out_png: Path, out_svg: Path
) -> None:
    """Draw Figure 3: a t-SNE of source, target and adapted poses, as many of each; target poses are of the validation split."""
    poses = {
        "source": pooled_poses(sources)[0],
        "target": pooled_poses([target])[0],
        "adapted": load_cache(adapted).poses,
    }
    places = embed(poses, seed)
    figure = new_figure(5, 5)
    axes = figure.subplots()
    for name, points in places.items():
        axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.6, color=_COLOURS[name], label=name, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(markerscale=2)
    write_figure(figure, out_png, out_svg)


def embed(poses: Mapping[str, np.ndarray], seed: int, each: int = _EACH) -> dict[str, np.ndarray]:
    """Return the places (n, 2) of as many poses of each set (N, K, 2) in one t-SNE (van der Maaten & Hinton 2008).

    Distances are those of poses as vectors in px; the start is their first two principal components, so that far groups keep
    their order (Kobak & Berens 2019). The same seed gives the same places.
    """
    random = seeds.rng(seed, "embedding")
    count = min(each, *(len(own) for own in poses.values()))
    chosen = [pose_vectors(own[random.choice(len(own), count, replace=False)]) for own in poses.values()]
    perplexity = min(30.0, (count * len(poses) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="pca", random_state=seeds.derive(seed, "embedding/tsne") % 2**32)
    places = method.fit_transform(np.concatenate(chosen))
    return dict(zip(poses, np.split(places, len(poses)), strict=True))
