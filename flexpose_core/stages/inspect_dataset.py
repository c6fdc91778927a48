"""A first look at a dataset's files: is all there, and do the joints lie where they should?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from flexpose_core import seeds
from flexpose_core.datasets import open_reader
from flexpose_core.datasets.catalogue import CATALOGUE
from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.poses.images import decode_image
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.rendering.pictures import enlarge, overlay_poses, tile, write_png

_COLUMNS, _SIDE = 12, 128


def check_layout(name: str, root: Path, settings: list[str]) -> tuple[list[str], bool]:
    """Return lines that say what of the layout was found and what a reader makes of it, and whether poses can be read."""
    entry = CATALOGUE[name]
    lines = [f"{entry.title} in {root}"]
    if not root.is_dir():
        lines.append(f"  missing   {root}: no such folder")
    for expected in entry.layout:
        count = expected.found(root) if root.is_dir() else 0
        state = (
            "found" if count else {"always": "MISSING", "images": "missing", "optional": "not found"}[expected.needed]
        )
        needed = {"always": "", "images": " (for images only)", "optional": " (optional)"}[expected.needed]
        lines.append(f"  {state:10}{count or '':>7} {expected.pattern}: {expected.what}{needed}")
    complete = False
    try:
        reader = open_reader(dataset_options(name, root, settings), seed=0)
        for split in reader.splits():
            lines.append(f"  {split:10}{len(reader.units(split)):>7} files or sequences to read")
        complete = True
    except (ConfigError, DataError) as error:
        lines.append(f"  cannot be read yet: {error}")
    lines += [f"  obtain    {entry.obtain}", f"  licence   {entry.licence}"]
    if entry.note:
        lines.append(f"  note      {entry.note}")
    return lines, complete


def show_poses(name: str, root: Path, settings: list[str], split: str, count: int, units: int, out: Path) -> list[str]:
    """Write a contact sheet of up to `count` poses from up to `units` files spread over a split, and return what was counted.

    Over their images, every second one bare, if the options ask for images; as drawings otherwise.
    """
    reader = open_reader(dataset_options(name, root, settings), seed=0)
    if split not in reader.splits():
        raise ConfigError(f"{name}: expected a split among {', '.join(reader.splits())}, found {split!r}")
    available = reader.units(split)
    chosen = [
        available[place] for place in np.unique(np.linspace(0, len(available) - 1, units).astype(int)) if available
    ]
    poses, visibility, images = [], [], []
    random = seeds.rng(0, "inspect_dataset")
    lines = []
    for unit in chosen:
        batches = list(reader.read(split, [unit]))
        counts = reader.counts(split)
        lines.append(f"{unit}: {counts['kept']} of {counts['read']} poses kept; dropped: {counts['dropped'] or 'none'}")
        if not batches:
            continue
        own = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ("poses", "visibility")}
        some = random.permutation(len(own["poses"]))[: -(-count // len(chosen))]
        poses += [own["poses"][row] for row in some]
        visibility += [own["visibility"][row] for row in some]
        if batches[0].images is not None:
            encoded = np.concatenate([batch.images for batch in batches if batch.images is not None])
            images += [decode_image(encoded[row]) for row in some]
    if not poses:
        raise DataError(
            f"{name}: {split}: expected at least one pose in {', '.join(chosen) or 'its files'}, found none"
        )
    shown, seen = np.stack(poses[:count]), np.stack(visibility[:count])
    if images:
        cells = enlarge(np.stack([image for image in images[:count] if image is not None]), _SIDE)
        cells[1::2] = overlay_poses(cells, shown, reader.skeleton, seen)[1::2]
    else:
        cells = draw_lines(shown, reader.skeleton, _SIDE)
    write_png(out, tile(cells, _COLUMNS))
    return [*lines, f"{len(shown)} poses are in {out}"]


def dataset_options(name: str, root: Path, settings: list[str]) -> DatasetOptions:
    """Return the options of a dataset from KEY=VALUE settings; raises ConfigError naming the key."""
    stated: dict[str, Any] = {"reader": name, "root": str(root)}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected KEY=VALUE, found {setting!r}")
        try:
            stated[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: expected a value in YAML, found {value!r}") from error
    try:
        return msgspec.convert(stated, DatasetOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from error
