"""Replay an exported cell: check what the archive holds, evaluate its detector again, and say whether the figures are the same.

    python -m flexpose_core.stages.replay NAME.zip [--data RESULTS] [--retrain FOLDER --cores N] [--most-gb 8]

`--data` is a results folder that has the caches which the archive leaves out. `--retrain` makes the cell anew in a folder of its
own, from its options alone: datasets, priors, adaptation and detector.

An archive may come from anywhere: its names must lie inside the folder it is unpacked in and stand in its manifest, no entry may be
larger than stated there and all together no larger than `--most-gb`, and every checksum must hold. They tell damage, not forgery. A
configuration to retrain from can name files to read, such as weights; look at `origin` in its metrics file first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import math
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

import flexpose_core
from flexpose_core.datasets.untrusted import inside, name_inside, one_line
from flexpose_core.errors import DataError, FlexPoseError
from flexpose_core.files import atomic_path, read_json, write_text
from flexpose_core.grid import Grid
from flexpose_core.options.adaptation import NO_FILE
from flexpose_core.options.config import load_config
from flexpose_core.stages.evaluate import evaluate
from flexpose_core.stages.export import MANIFEST, MOST_BYTES, PIECE, Entry, Manifest, evaluated_files, measure, run_of
from flexpose_core.stamp import code_stamp, library_versions

MOST_FILES = 100
_LARGEST_MANIFEST = 1_000_000

_CODE = "code of the evaluation"


def unpack(archive: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Manifest:
    """Unpack an archive into a folder, and return its manifest.

    Raises
    ------
    DataError
        Naming the entry that is damaged, larger than stated, not in the manifest, missing, or leads out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            names = [entry.filename for entry in entries]
            if len(names) > MOST_FILES or len(set(names)) < len(names):
                raise DataError(f"{archive}: expected at most {MOST_FILES} different files, found {len(names)}")
            manifest = _read_manifest(opened, archive)
            _check_names(names, manifest, archive)
            total = sum(entry.bytes for entry in manifest.files.values())
            if total > most_bytes:
                raise DataError(
                    f"{archive}: expected at most {most_bytes / 1e6:.0f} MB, found {total / 1e6:.0f} MB: --most-gb sets the limit"
                )
            for name, entry in manifest.files.items():
                with opened.open(name) as source:
                    _copy(source, inside(folder, name, str(archive)), entry, f"{archive}: {name}")
    except FileNotFoundError as error:
        raise DataError(f"{archive}: no such file") from error
    # Encrypted and otherwise odd entries are RuntimeError and NotImplementedError.
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{archive}: damaged archive: {one_line(error)}") from error
    return manifest


def _read_manifest(opened: zipfile.ZipFile, archive: Path) -> Manifest:
    if MANIFEST not in opened.namelist():
        raise DataError(f"{archive}: expected an exported cell with {MANIFEST}, found none")
    with opened.open(MANIFEST) as file:
        text = _read(file, _LARGEST_MANIFEST + 1, f"{archive}: {MANIFEST}")
    if len(text) > _LARGEST_MANIFEST:
        raise DataError(f"{archive}: {MANIFEST}: expected at most {_LARGEST_MANIFEST} bytes, found more")
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise DataError(f"{archive}: {MANIFEST}: {one_line(error)}") from error


def _check_names(names: list[str], manifest: Manifest, archive: Path) -> None:
    for name in [*names, *manifest.files, *manifest.left_out]:
        if name_inside(name, str(archive)) != name:
            raise DataError(f"{archive}: expected plain paths, found {name[:80]!r}")
    for name in sorted({*names} ^ {MANIFEST, *manifest.files}):
        stands = "a file that its manifest names" if name in names else "all files of its manifest"
        raise DataError(f"{archive}: expected {stands}, {'found' if name in names else 'missing'} {name[:80]!r}")


def _copy(source: IO[bytes], path: Path, entry: Entry, what: str) -> None:
    state, size = hashlib.blake2b(digest_size=16), 0
    with atomic_path(path) as partial, open(partial, "wb") as file:
        while piece := _read(source, PIECE, what):
            size += len(piece)
            if size > entry.bytes:
                raise DataError(f"{what}: expected {entry.bytes} bytes, found more")
            state.update(piece)
            file.write(piece)
        if (size, state.hexdigest()) != (entry.bytes, entry.checksum):
            raise DataError(
                f"{what}: damaged: expected {entry.bytes} bytes with checksum {entry.checksum}, "
                f"found {size} with {state.hexdigest()}"
            )


def _read(source: IO[bytes], size: int, what: str) -> bytes:
    """Read a piece of an entry; what it was compressed with says in ways of its own that it is damaged."""
    try:
        return source.read(size)
    except (zlib.error, lzma.LZMAError, OSError) as error:
        raise DataError(f"{what}: damaged: {one_line(error)}") from error


def replay(
    archive: Path, folder: Path, data: Path | None = None, most_bytes: int = MOST_BYTES
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate an exported cell again in a folder; returns its metrics as exported and as found.

    Parameters
    ----------
    data
        A results folder with the files that the archive leaves out; their checksums must be those of the export.
    most_bytes
        The largest size of all files together.

    Raises
    ------
    DataError
        If the archive is not one, or a file that it leaves out is missing or another one.
    """
    manifest = unpack(archive, folder, most_bytes)
    paths = {name: folder / name for name in manifest.files}
    for name, entry in manifest.left_out.items():
        if data is None:
            raise DataError(f"{archive}: leaves out {name}: expected a results folder that has it (--data), found none")
        paths[name] = inside(data, name, str(archive))
        size, checksum = measure(paths[name])
        if (size, checksum) != (entry.bytes, entry.checksum):
            raise DataError(f"{paths[name]}: expected the file with checksum {entry.checksum}, found {checksum}")
    stated = read_json(folder / "cells" / manifest.run / "metrics.json")
    run = run_of(stated, manifest.run, archive)
    grid = Grid(load_config(_on_any_device(stated["origin"]["options"])))
    files = {what: paths.get(name) for name, what in evaluated_files(run).items() if what != "metrics"}
    missing = [what for what, path in files.items() if path is None]
    if missing:
        raise DataError(f"{archive}: expected everything to evaluate {run.name}, found no {missing[0]}")
    out = folder / "replayed"
    inputs: dict[str, Any] = files
    evaluate(
        grid.config.detector,
        grid.run_params(run.name),
        **inputs,
        out_metrics=out / "metrics.json",
        out_picture=out / "predictions.png",
    )
    return stated, read_json(out / "metrics.json")


def retrain(stated: dict[str, Any], folder: Path, cores: int) -> dict[str, Any]:
    """Make a cell anew in a folder, from the options in its metrics; returns the new metrics.

    Raises
    ------
    DataError
        If the workflow fails; it says itself why.
    """
    # Not by write_json: its seal would be an unknown key of a configuration.
    write_text(folder / "config.json", json.dumps(_from_here(stated["origin"]["options"]), indent=2))
    target = f"results/cells/{stated['name']}_s{stated['seed']}/metrics.json"
    root = Path(flexpose_core.__file__).parents[1]
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--snakefile", str(root / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.json"), "--", target]
    if subprocess.run(command, check=False).returncode:
        raise DataError(f"{folder}: expected the workflow to make {target}, found that it failed")
    return read_json(folder / target)


def _from_here(options: dict[str, Any]) -> dict[str, Any]:
    """Return options whose paths are absolute: relative ones start from this working directory, and not from the new one."""
    absolute = _on_any_device(options)
    for dataset in absolute["datasets"].values():
        if "root" in dataset:
            dataset["root"] = str(Path(dataset["root"]).absolute())
    for method in absolute["methods"].values():
        perceptual = (method.get("adaptation") or {}).get("perceptual") or {}
        if perceptual.get("weights", "auto") not in NO_FILE:
            perceptual["weights"] = str(Path(perceptual["weights"]).absolute())
    return absolute


def _on_any_device(options: Any) -> Any:
    """Return a copy of options without the demand for a GPU, which there need not be here."""
    if isinstance(options, dict):
        return {
            key: "auto" if (key, value) == ("device", "cuda") else _on_any_device(value)
            for key, value in options.items()
        }
    return [_on_any_device(value) for value in options] if isinstance(options, list) else options


def differences(stated: Any, found: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two metrics, their origin apart, one line a figure: none if all are equal to the last bit."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for key in sorted({*stated, *found} - ({"origin"} if not where else set())):
            yield from differences(stated.get(key), found.get(key), f"{where}.{key}" if where else key)
    elif stated != found:
        yield f"{where}: expected {stated}, found {found}"


def main(arguments: list[str] | None = None) -> int:
    """Replay an archive; returns 0 if the figures are the same, 2 if they differ, 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.replay", description="Replay an exported cell."
    )
    parser.add_argument("archive", type=Path, help="what flexpose_core.stages.export wrote")
    parser.add_argument("--data", type=Path, help="a results folder with the files that the archive leaves out")
    parser.add_argument(
        "--retrain", type=Path, metavar="FOLDER", help="make the whole cell anew in this folder besides"
    )
    parser.add_argument(
        "--most-gb", type=_positive, default=MOST_BYTES / 1e9, help="largest size of all files together [%(default)g]"
    )
    parser.add_argument("--cores", type=int, default=1, help="jobs at a time of --retrain [%(default)s]")
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            stated, found = replay(chosen.archive, Path(folder), chosen.data, int(chosen.most_gb * 1e9))
        _print_origin(stated["origin"])
        same = _print_differences("evaluated again", stated, found)
        if chosen.retrain is not None:
            again = retrain(stated, chosen.retrain.absolute(), chosen.cores)
            same &= _print_differences("made anew", stated, again)
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0 if same else 2


def _positive(text: str) -> float:
    """Return a finite number above 0; argparse makes of a ValueError what the user is told."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def _print_origin(origin: dict[str, Any]) -> None:
    here = {_CODE: code_stamp("flexpose_core.stages.evaluate"), **library_versions()}
    versions = origin.get("versions")
    there = {_CODE: origin.get("code"), **(versions if isinstance(versions, dict) else {})}
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            print(f"{name}: exported with {there.get(name)}, here {here.get(name)}")


def _print_differences(what: str, stated: dict[str, Any], found: dict[str, Any]) -> bool:
    lines = list(differences(stated, found))
    says = "the same to the last digit in every figure" if not lines else f"{len(lines)} figures differ"
    print(f"{found['name']}_s{found['seed']}, {what}: test MSE flip {found['test']['flip_aware']['mse']}: {says}")
    for line in lines[:20]:
        print(f"  {line}")
    return not lines


if __name__ == "__main__":
    sys.exit(main())
