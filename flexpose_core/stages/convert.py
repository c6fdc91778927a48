"""From a raw dataset to pose caches and a card of counts.

A split is converted whole, or in shards: each of these reads a range of the dataset's files or sequences, and `gather_shards`
joins them, in order, into the cache that one shard would give.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flexpose_core import seeds
from flexpose_core.datasets import open_reader, reader_name
from flexpose_core.datasets.annotated import Counts
from flexpose_core.datasets.options import DatasetOptions, RealOptions
from flexpose_core.errors import DataError
from flexpose_core.files import write_json
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import (
    CHUNK,
    cached_images,
    describe_cache,
    open_cache,
    read_rows,
    write_cache,
)
from flexpose_core.skeletons import skeleton_named

NORMALISATION = (
    "x, y in 0..1 over the crop; in the cut-out image of S pixels: value * S - 0.5; in the original picture, where `crop` is "
    "stored as x, y, width, height: value * (width, height) + (x, y) - 0.5"
)


def convert(name: str, options: DatasetOptions, split: str, seed: int, out: Path, card: Path) -> None:
    """Write one split of a dataset as a pose cache, and a card that says how many poses were kept and dropped, and why."""
    reader = open_reader(options, seed)
    counts: dict[str, Any] = {}

    def batches() -> Iterator[PoseBatch]:
        yield from reader.read(split, reader.units(split))
        counts.update(reader.counts(split))
        _check_some(name, split, counts)

    _write(name, reader_name(options), split, batches(), reader.skeleton.name, counts, out, card)


def convert_shard(options: RealOptions, split: str, shard: int, shards: int, seed: int, out: Path) -> None:
    """Write the part of a split that lies in one of `shards` ranges of its units; it may be without any pose."""
    reader = open_reader(options, seed)
    if split not in reader.splits():
        raise DataError(f"{reader_name(options)}: expected a split among {', '.join(reader.splits())}, found {split!r}")
    units = reader.units(split)
    own = [units[place] for place in np.array_split(np.arange(len(units)), shards)[shard]]
    attributes: dict[str, Any] = {}

    def batches() -> Iterator[PoseBatch]:
        with tqdm(own, desc=f"{split} {shard + 1}/{shards}", unit="file", mininterval=2) as bar:
            for unit in bar:
                yield from reader.read(split, [unit])
                total.add(reader.counts(split))
        attributes["counts"] = total.summary()

    total = Counts()
    write_cache(out, batches(), reader.skeleton, attributes, may_be_empty=True)


def gather_shards(
    name: str,
    reader: str,
    split: str,
    limit: int | None,
    seed: int,
    shards: list[Path],
    out: Path,
    card: Path,
    paper: dict[str, int] | None = None,
) -> None:
    """Join the shards of a split; where there are more than `limit` poses, keep so many, drawn evenly, in their order.

    `paper` goes into the card as it is: the poses that the paper counts, by split.
    """
    total = Counts()
    sizes = []
    for path in shards:
        with open_cache(path) as file:
            sizes.append(int(file.attrs["count"]))
            total.add(describe_cache(file, path)["counts"])
            skeleton = str(file.attrs["skeleton"])
    count = sum(sizes)
    _check_some(name, split, total.summary())
    chosen = np.arange(count)
    if limit is not None and limit < count:
        chosen = np.sort(seeds.rng(seed, f"convert/limit/{split}").choice(count, limit, replace=False))
        total.kept = limit
        total.drop("over the limit", count - limit, "drawn at random")
    batches = _measurable(name, split, _rows_of(shards, sizes, chosen))
    _write(name, reader, split, batches, skeleton, total.summary(), out, card, paper)
    print(f"{name}: {split}: " + "\n".join(total.lines()), file=sys.stderr)


def _check_some(name: str, split: str, counts: dict[str, Any]) -> None:
    if counts["kept"]:
        return
    first = {why: f", first {name}" for why, name in counts["first_dropped"].items()}
    gone = [f"{count} dropped: {why}{first.get(why, '')}" for why, count in counts["dropped"].items() if count]
    made_of = " (`val` or `held_out` makes this split)" if split == "val" else ""
    raise DataError(
        f"{name}: {split}: expected at least one pose, found none{made_of}: {'; '.join(gone) or 'no records'}"
    )


def _rows_of(shards: list[Path], sizes: list[int], chosen: np.ndarray) -> Iterator[PoseBatch]:
    first = 0
    for path, size in zip(shards, sizes, strict=True):
        own = chosen[(chosen >= first) & (chosen < first + size)] - first
        first += size
        if not len(own):
            continue
        with open_cache(path, images="if any") as file:
            pictures = backgrounds = None
            if "images" in file:
                pictures, backgrounds = cached_images(file, path), cached_images(file, path, "background")
            for start in range(0, len(own), CHUNK):
                yield read_rows(file, path, own[start : start + CHUNK], pictures, backgrounds)


def _measurable(name: str, split: str, batches: Iterator[PoseBatch]) -> Iterator[PoseBatch]:
    """Yield all batches; raises DataError at the end of a split to measure on if nobody in it has a joint."""
    seen = False
    for batch in batches:
        seen = seen or bool(batch.visibility.any())
        yield batch
    if split != "train" and not seen:
        raise DataError(f"{name}: {split}: expected somebody with a joint to measure on, found people with boxes alone")


def _write(
    name: str,
    reader: str,
    split: str,
    batches: Iterator[PoseBatch],
    skeleton: str,
    counts: dict[str, Any],
    out: Path,
    card: Path,
    paper: dict[str, int] | None = None,
) -> None:
    attributes: dict[str, Any] = {
        "dataset": name,
        "reader": reader,
        "split": split,
        "normalisation": NORMALISATION,
        "counts": counts,
    }
    count = write_cache(out, batches, skeleton_named(skeleton), attributes)
    stated = {"dataset": name, "split": split, "poses": count, "counts": counts, "bytes": out.stat().st_size}
    write_json(card, {**stated, "paper": paper or {}})
