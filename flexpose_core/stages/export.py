"""One cell in one file, for another machine to replay: weights, poses, the images evaluated on, options, seeds and figures.

    python -m flexpose_core.stages.export results/cells/NAME NAME.zip [--without-images]

The archive holds files of the results folder under their paths there, and `manifest.json` with their sizes and checksums. What a
cell's figures need is all there but, with `--without-images`, caches with images, of which it holds the checksums: a licensed
dataset stays at home. Whoever has it converts it, and gives the folder to `flexpose_core.stages.replay`. The options of every
stage, with which the whole cell is made anew, stand under `origin` in its metrics file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import DataError, FlexPoseError
from flexpose_core.files import atomic_path, read_json
from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config
from flexpose_core.poses.cache import open_cache
from flexpose_core.runs import Run

MANIFEST = "manifest.json"
MOST_BYTES = 8_000_000_000
"""What replaying unpacks unless told to unpack more."""
PIECE = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)
"""The same files give the same bytes."""

Size = Annotated[int, Meta(ge=0)]
Checksum = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and BLAKE2b checksum (16 bytes, hexadecimal) of a file."""

    bytes: Size
    checksum: Checksum


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an archive holds, and which files with images it leaves out, by their paths in the results folder."""

    format: Literal["flexpose-cell-1"] = "flexpose-cell-1"
    run: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$(?!\n)")]
    files: dict[str, Entry]
    left_out: dict[str, Entry] = {}


def export_cell(cell: Path, out: Path, images: bool = True) -> Manifest:
    """Write the archive of a finished cell, given its folder among the results, and return what it holds.

    Raises
    ------
    DataError
        If the cell is not finished, a file is damaged, or its metrics do not say how it was made.
    """
    metrics = read_json(cell / "metrics.json")
    results = cell.absolute().parent.parent
    run = run_of(metrics, cell.name, cell / "metrics.json")
    needed, beside = evaluated_files(run), files_beside(run)
    files: dict[str, Entry] = {}
    left_out: dict[str, Entry] = {}
    for name in [*needed, *beside]:
        path = results / name
        if not path.is_file():
            if name in needed:
                raise DataError(f"{path}: no such file: expected a finished cell in {cell}")
            continue
        holder = left_out if not images and _has_images(path) else files
        holder[name] = Entry(*measure(path))
    manifest = Manifest(run=run.name, files=files, left_out=left_out)
    with atomic_path(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        text = json.dumps(msgspec.to_builtins(manifest), indent=2, sort_keys=True)
        archive.writestr(zipfile.ZipInfo(MANIFEST, _DATE), text)
        for name in files:
            with (
                open(results / name, "rb") as source,
                archive.open(zipfile.ZipInfo(name, _DATE), "w", force_zip64=True) as to,
            ):
                while piece := source.read(PIECE):
                    to.write(piece)
    return manifest


def run_of(metrics: dict[str, Any], name: str, path: Path | str) -> Run:
    """Return the run that a metrics file is of, by the options it was made with; raises DataError naming `path`."""
    try:
        options = metrics["origin"]["options"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected a metrics file with its origin, found none: evaluate the cell again"
        ) from error
    try:
        run = Grid(load_config(options)).run(name)
    except FlexPoseError as error:
        raise DataError(f"{path}: origin: {error}") from error
    if (metrics.get("name"), metrics.get("seed")) != (run.cell_name, run.seed):
        raise DataError(
            f"{path}: expected the metrics of {name}, found those of {metrics.get('name')}_s{metrics.get('seed')}"
        )
    return run


def evaluated_files(run: Run) -> dict[str, str]:
    """Return what evaluating a run reads, and its metrics: paths in the results folder, with what each is."""
    files = {
        f"cells/{run.name}/metrics.json": "metrics",
        f"cells/{run.name}/detector.safetensors": "detector_weights",
        f"pose_sets/{run.pose_set}/poses.h5": "pose_set",
        **{f"data/{run.cell.target}/{split}.h5": split for split in ("train", "val", "test")},
    }
    if run.chooses_layers:
        files[f"pose_sets/{run.pose_set}/adaptation.json"] = "adaptation"
    return files | ({f"guidance/{run.guidance}/shots.h5": "shots"} if run.method.guidance else {})


def files_beside(run: Run) -> list[str]:
    """Return the weights and figures on the way to a run's detector, of which it may have none."""
    own = [f"pose_sets/{run.pose_set}/{name}" for name in ("eta.safetensors", "eta.json")]
    own += [f"guidance/{run.guidance}/mixup.h5"] if run.method.guidance else []
    if run.method.poses == "adapted":
        own += [f"pose_sets/{run.pose_set}/{name}" for name in ("transfer.safetensors", "adaptation.json")]
        names = ("generator", "regressor")
        own += [f"priors/{run.prior}/{name}.{ending}" for name in names for ending in ("safetensors", "json")]
    if run.sees_placed:
        own.append(f"pose_sets/{run.pose_set}/placed.h5")
    if run.chooser:
        before = run.chooser
        own += [f"cells/{before.name}/{name}" for name in ("detector.safetensors", "found.h5")]
        own += [f"pose_sets/{before.pose_set}/poses.h5", *files_beside(before)]
    return list(dict.fromkeys(own))


def measure(path: Path) -> tuple[int, str]:
    """Return the size of a file and its checksum; raises DataError if it cannot be read."""
    state = hashlib.blake2b(digest_size=16)
    size = 0
    try:
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                state.update(piece)
                size += len(piece)
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror}") from error
    return size, state.hexdigest()


def _has_images(path: Path) -> bool:
    if path.suffix != ".h5":
        return False
    with open_cache(path) as file:
        return "images" in file


def main(arguments: list[str] | None = None) -> int:
    """Export one cell; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.export", description="Write one cell as one file."
    )
    parser.add_argument("cell", type=Path, help="the folder of a finished cell, results/cells/NAME")
    parser.add_argument("out", type=Path, help="the zip file to write")
    parser.add_argument(
        "--without-images", action="store_true", help="leave out caches with images, but for their checksums"
    )
    chosen = parser.parse_args(arguments)
    try:
        manifest = export_cell(chosen.cell, chosen.out, not chosen.without_images)
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    total = sum(entry.bytes for entry in manifest.files.values())
    print(f"{chosen.out}: {manifest.run}, {len(manifest.files)} files, {total / 1e6:.1f} MB")
    if total > MOST_BYTES:
        print(f"to replay it: --most-gb {math.ceil(total / 1e9)}, or export it --without-images")
    for name in manifest.left_out:
        print(f"left out: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
