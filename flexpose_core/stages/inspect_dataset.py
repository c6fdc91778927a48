"""A first look at a dataset's files: is all there, and do the joints lie where they should?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import yaml

from flexpose_core import seeds
from flexpose_core.datasets import open_reader
from flexpose_core.datasets.annotated import AnnotatedReader
from flexpose_core.datasets.catalogue import AT_MOST, CATALOGUE, Expected
from flexpose_core.datasets.options import AnnotatedOptions, DatasetOptions
from flexpose_core.datasets.raw import RawBatch, RawReader
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.poses.images import decode_image
from flexpose_core.rendering.pictures import pose_cells, tile, write_png

_COLUMNS, _SIDE = 12, 128
_SPARE = 4
"""Records looked at for every pose wanted: some lack joints."""
_FRAMES = 300
"""Of a video, as it is decoded from its beginning, only so many frames are looked at."""


def check_layout(name: str, root: Path, settings: list[str]) -> tuple[list[str], bool]:
    """Return lines that say what of the layout was found and what a reader makes of it, and whether all splits can be read."""
    entry = CATALOGUE[name]
    lines = [f"{entry.title} in {root}"]
    if not root.is_dir():
        lines.append(f"  missing   {root}: no such folder")
    lines += [_layout_line(expected, root) for expected in entry.layout]
    complete = False
    try:
        reader = open_reader(dataset_options(name, root, settings), seed=0)
        states = [_split_line(reader, split) for split in reader.splits()]
        lines += [line for line, _ in states]
        complete = all(readable for _, readable in states)
    except (ConfigError, DataError) as error:
        lines.append(f"  cannot be read yet: {error}")
    lines += [f"  obtain    {entry.obtain}", f"  licence   {entry.licence}"]
    if entry.note:
        lines.append(f"  note      {entry.note}")
    return lines, complete


def _layout_line(expected: Expected, root: Path) -> str:
    pattern, count = expected.found(root) if root.is_dir() else (expected.pattern, 0)
    state = "found" if count else {"always": "MISSING", "images": "missing", "optional": "not found"}[expected.needed]
    needed = {"always": "", "images": " (for images only)", "optional": " (optional)"}[expected.needed]
    shown = f"{count}+" if count == AT_MOST else str(count or "")
    return f"  {state:10}{shown:>7} {pattern}: {expected.what}{needed}"


def _split_line(reader: Any, split: str) -> tuple[str, bool]:
    try:
        count = len(reader.units(split))
    except DataError as error:
        return f"  {split:10}cannot be read yet: {error}", False
    if not count:
        return f"  {split:10}{count:>7} files or sequences to read: expected at least one", False
    return f"  {split:10}{count:>7} files or sequences to read", True


def show_poses(name: str, root: Path, settings: list[str], split: str, count: int, units: int, out: Path) -> list[str]:
    """Write a contact sheet of up to `count` poses from up to `units` files spread over a split, and return what was looked at.

    Where the images are found, poses are over them, every second one bare; elsewhere, or if the settings say `images=false`,
    they are drawings. Only as much is read as is shown: of a file, records at random until there are enough poses.

    Raises
    ------
    ConfigError
        If a setting, or the split, is none of the dataset's.
    DataError
        If the files looked at cannot be read, or hold no pose.
    """
    options = cast(AnnotatedOptions, dataset_options(name, root, settings))
    reader = open_reader(cast(DatasetOptions, options), seed=0)
    if split not in reader.splits():
        raise ConfigError(f"{name}: expected a split among {', '.join(reader.splits())}, found {split!r}")
    available = reader.units(split)
    places: list[int] = np.unique(np.linspace(0, len(available) - 1, units).astype(int)).tolist() if available else []
    stated = any(setting.partition("=")[0] == "images" for setting in settings)
    cells: list[_Cell] = []
    lines = []
    for number, place in enumerate(places):
        share = -(-(count - len(cells)) // (len(places) - number))
        own, line = _look_at(options, split, available[place], share, stated)
        cells += own
        lines.append(line)
    if not cells:
        looked = ", ".join(available[place] for place in places) or "its files"
        raise DataError(f"{name}: {split}: expected at least one pose in {looked}, found none: {'; '.join(lines)}")
    poses, visibility = np.stack([cell.pose for cell in cells]), np.stack([cell.visibility for cell in cells])
    images = [cell.image for cell in cells]
    write_png(out, tile(pose_cells(poses, visibility, images, reader.skeleton, _SIDE), _COLUMNS))
    pictured = sum(image is not None for image in images)
    return [*lines, f"{len(cells)} poses, {pictured} of them with their images, are in {out}"]


@dataclass(frozen=True)
class _Cell:
    """A pose (K, 2), its visibility (K,), and its image (S, S, 3) uint8 if there is one."""

    pose: np.ndarray
    visibility: np.ndarray
    image: np.ndarray | None


def _look_at(options: AnnotatedOptions, split: str, unit: str, count: int, stated: bool) -> tuple[list[_Cell], str]:
    """Return up to `count` poses of a unit and what was counted; with images where there are any, unless it is `stated` which."""
    if stated:
        return _read_some(options, split, unit, count)
    try:
        return _read_some(msgspec.structs.replace(options, images=True), split, unit, count)
    except (ConfigError, DataError) as error:
        # Without images; if it was something else, it is raised again here.
        own, line = _read_some(msgspec.structs.replace(options, images=False), split, unit, count)
        return own, f"{line}; without images: {error}"


def _read_some(options: AnnotatedOptions, split: str, unit: str, count: int) -> tuple[list[_Cell], str]:
    whole = cast(AnnotatedReader, open_reader(cast(DatasetOptions, options), seed=0))
    # A crop around a whole sequence needs the whole sequence.
    raw = whole.raw if options.crop.per == "sequence" else _Thinned(whole.raw, _SPARE * count)
    reader = AnnotatedReader(raw, whole.options)
    random = seeds.rng(0, f"inspect_dataset/{unit}")
    cells: list[_Cell] = []
    for batch in reader.read(split, [unit]):
        for row in np.sort(random.permutation(len(batch))[: count - len(cells)]):
            image = None if batch.images is None else decode_image(batch.images[row])
            cells.append(_Cell(batch.poses[row], batch.visibility[row], image))
        if len(cells) >= count:
            break
    counts = reader.counts(split)
    return cells, f"{unit}: of {counts['read']} records, {counts['kept']} kept; dropped: {counts['dropped'] or 'none'}"


class _Thinned:
    """A raw reader that gives only so many records of each batch, at random, so that no more images than these are read."""

    def __init__(self, raw: RawReader, count: int) -> None:
        self.raw, self.count = raw, count
        self.skeleton, self.is_video = raw.skeleton, raw.is_video

    def splits(self) -> tuple[str, ...]:
        return self.raw.splits()

    def units(self, split: str) -> list[str]:
        return self.raw.units(split)

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        random = seeds.rng(0, f"inspect_dataset/thinned/{unit}")
        for batch in self.raw.read(split, unit):
            of_video = batch.pictures is not None and any(picture.frame is not None for picture in batch.pictures)
            within = min(len(batch), _FRAMES) if of_video else len(batch)
            rows = np.sort(random.permutation(within)[: self.count])
            yield replace(batch.take(rows), dropped=batch.dropped)


def dataset_options(
    name: str,
    root: Path,
    settings: list[str],
    known: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> DatasetOptions:
    """Return the options of a dataset from KEY=VALUE settings; raises ConfigError naming the key.

    Parameters
    ----------
    known, fixed
        Plain values that settings take the place of, and that take the place of settings.
    """
    stated: dict[str, Any] = {**(known or {}), "reader": name, "root": str(root)}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected KEY=VALUE, found {setting!r}")
        try:
            stated[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: expected a value in YAML, found {value!r}") from error
    stated |= fixed or {}
    if name == "keypoints-json" and "train" not in stated:
        found = sorted(path.relative_to(root).as_posix() for path in root.glob("**/*.json"))
        listed = f"one of {', '.join(found[:5])}" if found else "an annotation file inside the root"
        raise ConfigError(f"{name}: expected --set train=FILE, {listed}; found no such setting")
    try:
        return msgspec.convert(stated, DatasetOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from error
