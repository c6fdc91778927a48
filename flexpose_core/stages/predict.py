"""A trained detector on pictures that it has not seen: the joints of the people in them, as COCO's keypoint format has them.

    python -m flexpose_core.stages.predict results/cells/NAME/detector.safetensors data/mine new.json found.json --set pictures=new

`new.json` lies in `data/mine`, the root, and is an annotation file as the reader `keypoints-json` takes it: of each person two
joints must be marked, roughly, that say how far he or she reaches, say the head and an ankle. `--set` takes the options of that
reader. Those that the detector's target had, such as `crop`, `joints` and `still_cameras`, should be the same: a detector expects
people as it saw them. Pictures and annotations have the ids that they have in `new.json`, and file names are those there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from flexpose_core.devices import pick_device
from flexpose_core.errors import FlexPoseError
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

    Raises
    ------
    ConfigError
        If a setting is none of the reader's.
    DataError
        If the file, or all of its pictures, cannot be read.
    CheckpointError
        If `detector` is no detector's weights file.
    """
    skeleton = load_detector(detector, pick_device(device))[3]
    fixed = {"train": annotations, "images": True, "complete": False, "held_out": 0, "skeleton": skeleton}
    # JSON is YAML, in which a name may look like something else.
    options = dataset_options(
        READER, root, [*settings, *(f"{key}={json.dumps(value)}" for key, value in fixed.items())]
    )
    with tempfile.TemporaryDirectory() as scratch:
        cache, card, found = (Path(scratch) / name for name in ("people.h5", "card.json", "found.h5"))
        convert(str(root), options, "train", 0, cache, card)
        find_poses(device, detector, cache, found, picture or Path(scratch) / "found.png", seed=0, most=None)
        write_annotations(out, found_keypoints(found, root / annotations))
        counts = read_json(card)["counts"]
    dropped = [
        f"{count} dropped: {why}, first {counts['first_dropped'][why]}" for why, count in counts["dropped"].items()
    ]
    return [f"{counts['kept']} of {counts['read']} people", *dropped]


def main(arguments: list[str] | None = None) -> int:
    """Write the annotation file; returns 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.predict", description="Find joints in pictures with a trained detector."
    )
    parser.add_argument("detector", type=Path, help="results/cells/NAME/detector.safetensors")
    parser.add_argument("root", type=Path, help="the folder of the annotation file and of the pictures")
    parser.add_argument("annotations", help="where people are: an annotation file inside the root")
    parser.add_argument("out", type=Path, help="the annotation file to write")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"an option of {READER}")
    parser.add_argument("--picture", type=Path, help="where to draw some of what is found, a PNG")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [%(default)s]")
    chosen = parser.parse_args(arguments)
    try:
        lines = predict(
            chosen.detector, chosen.root, chosen.annotations, chosen.out, chosen.set, chosen.picture, chosen.device
        )
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join([f"{chosen.out}: {lines[0]}", *lines[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
