"""A trained detector on pictures that it has not seen: the joints of the people in them, as COCO's keypoint format has them.

    python -m flexpose_core.stages.predict results/cells/NAME/detector.safetensors data/mine new.json found.json \
        --card results/data/mine/train.card.json

`new.json` lies in `data/mine`, the root, and is an annotation file as the reader `keypoints-json` takes it: each person needs what
the detector's training pictures were cut out by, a box (`crop.around: box`), or some joints that reach as far as he or she does. A
detector expects people as it saw them: the card of its target's training images says how these were read, and from the same root
new pictures share the scenes of still cameras with them. `--set` takes options of the reader in the place of those. Pictures and
annotations have the ids that they have in `new.json`, and file names are those there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from os.path import normpath
from pathlib import Path
from typing import Any

from flexpose_core.devices import pick_device
from flexpose_core.errors import ConfigError, DataError, FlexPoseError
from flexpose_core.files import read_json
from flexpose_core.stages.convert import convert
from flexpose_core.stages.evaluate import load_detector
from flexpose_core.stages.find_poses import find_poses
from flexpose_core.stages.found_keypoints import found_keypoints, write_annotations
from flexpose_core.stages.inspect_dataset import dataset_options

READER = "keypoints-json"


def predict(
    detector: Path,
    root: Path,
    annotations: str,
    out: Path,
    settings: list[str],
    picture: Path | None = None,
    device: str = "auto",
    card: Path | None = None,
) -> list[str]:
    """Write the joints found in the people of an annotation file, and return what was kept and dropped.

    Parameters
    ----------
    annotations
        Inside the root.
    settings
        More options of the reader, KEY=VALUE.
    picture
        Where to draw some of them.
    card
        Of the images that the detector was trained on: their options are taken.

    Raises
    ------
    ConfigError
        If a setting is none of the reader's, or the card is of another reader.
    DataError
        If the file, all of its pictures, or the card cannot be read.
    CheckpointError
        If `detector` is no detector's weights file.
    """
    skeleton = load_detector(detector, pick_device(device))[3]
    known = {} if card is None else options_of(card)
    files: dict[str, str | None]
    if "root" in known and Path(known.pop("root")).resolve() == root.resolve():
        # Beside the training pictures, not in their place: still cameras' scenes are made of all.
        own = [name for name in ("train", "val", "test") if normpath(known.get(name) or "/") == normpath(annotations)]
        split, files = (own[0], {}) if own else ("test", {"test": annotations})
    else:
        split, files = "train", {"train": annotations, "val": None, "test": None}
    every = {"complete": False, "held_out": 0, "val_from": "held_out", "limit": {}, "stride": 1}
    fixed = {**files, **every, "images": True, "skeleton": skeleton}
    options = dataset_options(READER, root, settings, known, fixed)
    with tempfile.TemporaryDirectory() as scratch:
        cache, counted, found = (Path(scratch) / name for name in ("people.h5", "card.json", "found.h5"))
        convert(str(root), options, split, 0, cache, counted)
        find_poses(device, detector, cache, found, picture or Path(scratch) / "found.png", seed=0, most=None)
        write_annotations(out, found_keypoints(found, root / annotations))
        counts = read_json(counted)["counts"]
    dropped = [
        f"{count} dropped: {why}, first {counts['first_dropped'][why]}" for why, count in counts["dropped"].items()
    ]
    return [f"{counts['kept']} of {counts['read']} people", *dropped]


def options_of(card: Path) -> dict[str, Any]:
    """Return the options of the dataset that a card is of; raises ConfigError if its reader is another one."""
    stated = read_json(card)
    try:
        options = dict(stated["origin"]["options"]["options"])
        reader = options.pop("reader")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{card}: expected the card of a dataset, with its origin, found none: {error}") from error
    if reader != READER:
        raise ConfigError(f"{card}: expected a dataset of the reader {READER}, found one of {reader}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Write the annotation file; returns 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.predict", description="Find joints in pictures with a trained detector."
    )
    parser.add_argument("detector", type=Path, help="results/cells/NAME/detector.safetensors")
    parser.add_argument("root", type=Path, help="the folder of the annotation file and of the pictures")
    parser.add_argument("annotations", help="where people are: an annotation file inside the root")
    parser.add_argument("out", type=Path, help="the annotation file to write")
    parser.add_argument(
        "--card",
        type=Path,
        help="results/data/TARGET/train.card.json, to read new pictures as those that it learnt from",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"an option of {READER}")
    parser.add_argument("--picture", type=Path, help="where to draw some of what is found, a PNG")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [%(default)s]")
    chosen = parser.parse_args(arguments)
    try:
        lines = predict(
            chosen.detector,
            chosen.root,
            chosen.annotations,
            chosen.out,
            chosen.set,
            chosen.picture,
            chosen.device,
            chosen.card,
        )
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join([f"{chosen.out}: {lines[0]}", *lines[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
