"""From a raw dataset to pose caches, a card of counts, and a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets import open_reader
from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.files import read_json, write_json
from flexpose_core.poses.cache import load_cache, open_cache, write_cache
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile, write_png

_SHEET_COLUMNS, _SHEET_ROWS, _SHEET_SIDE = 12, 4, 128


def convert(name: str, options: DatasetOptions, split: str, seed: int, out: Path, card: Path) -> None:
    """Write one split of a dataset as a pose cache, and a card that says how many poses were kept and dropped, and why."""
    reader = open_reader(options, seed)
    attributes: dict[str, Any] = {
        "dataset": name,
        "split": split,
        "normalisation": "x, y in 0..1 over the square crop; pixel = value * side - 0.5",
    }

    def batches():
        yield from reader.read(split)
        attributes["counts"] = reader.counts(split)

    count = write_cache(out, batches(), reader.skeleton, attributes)
    write_json(card, {"dataset": name, "split": split, "poses": count, "counts": attributes["counts"]})


def gather_cards(cards: list[Path], out: Path) -> None:
    """Join the cards of a dataset's splits."""
    write_json(out, {card["split"]: card for card in map(read_json, cards)})


def contact_sheet(cache: Path, seed: int, out: Path) -> None:
    """Draw poses at random over their images, every second one bare; without images, draw the skeletons."""
    poses = load_cache(cache, images=_has_images(cache))
    count = _SHEET_COLUMNS * _SHEET_ROWS
    chosen = np.sort(seeds.rng(seed, "contact_sheet").choice(len(poses), min(count, len(poses)), replace=False))
    if poses.images is None:
        cells = draw_lines(poses.poses[chosen], poses.skeleton, _SHEET_SIDE)
    else:
        cells = enlarge(poses.images[chosen], _SHEET_SIDE)
        cells[1::2] = overlay_poses(cells, poses.poses[chosen], poses.skeleton)[1::2]
    write_png(out, tile(cells, _SHEET_COLUMNS))


def _has_images(cache: Path) -> bool:
    with open_cache(cache) as file:
        return "images" in file
