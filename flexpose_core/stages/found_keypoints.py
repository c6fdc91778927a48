"""The joints that a detector found, in pixels of the original pictures, as COCO's keypoint format has them.

    python -m flexpose_core.stages.found_keypoints results/cells/NAME/found.h5 found.json [--like data/mine/train.json]

Snakemake makes `found.h5` of any cell, of its target's training pictures: of all, or of 10,000 drawn at random. File names start
from the dataset's root. `frame` is that of a video, or, of a dataset of single pictures, the place, from 0, of the annotation that
the person was cut out by. With `--like`, the file that one's own data were read from, pictures are as they stand there, and people
have the ids that they have there.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from flexpose_core.datasets.coco_json import LARGEST_FILE
from flexpose_core.datasets.crops import from_crop
from flexpose_core.datasets.untrusted import read_bytes
from flexpose_core.errors import DataError, FlexPoseError
from flexpose_core.files import write_text
from flexpose_core.poses.cache import load_cache
from flexpose_core.skeletons import FACE68

ANNOTATED = 2
"""COCO's flag of a joint that is annotated and visible."""


def found_keypoints(found: Path, like: Path | None = None) -> dict[str, Any]:
    """Return the poses of a cache as the content of an annotation file; coordinates are rounded to a hundredth of a pixel.

    Parameters
    ----------
    like
        The annotation file that the cache's images were read from: pictures and ids are as they are there.

    Raises
    ------
    DataError
        If the cache does not say where in which picture its poses are, as that of a drawn dataset, or was read from another file.
    """
    poses = load_cache(found)
    if poses.crop is None or poses.source is None:
        raise DataError(f"{found}: expected poses that were cut out of pictures, found none that say of which")
    names = [str(name) for name in poses.source[np.arange(len(poses))]]
    images = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    joints = from_crop(poses.poses.astype(np.float64), poses.crop.astype(np.float64)).round(2)
    flagged = np.concatenate([joints, np.full((*joints.shape[:2], 1), ANNOTATED)], axis=2)
    category = "face" if poses.skeleton == FACE68 else "person"
    content = {
        "images": [{"id": number, "file_name": name} for name, number in images.items()],
        "annotations": [
            {
                "id": number,
                "image_id": images[name],
                "category_id": 1,
                "frame": int(frame),
                "num_keypoints": len(own),
                "keypoints": own.ravel().tolist(),
                **_extent(own[:, :2]),
            }
            for number, (name, frame, own) in enumerate(zip(names, poses.frame, flagged, strict=True), 1)
        ],
        "categories": [{"id": 1, "name": category, "keypoints": list(poses.skeleton.joints)}],
    }
    return content if like is None else _named_as(content, like, names)


def _extent(joints: np.ndarray) -> dict[str, Any]:
    """Return the joints' box (K, 2) as COCO's tools want it; no area is known but the box's."""
    # COCO counts from the corner of the first pixel in boxes, and from its centre in joints.
    low, sides = joints.min(axis=0) + 0.5, np.ptp(joints, axis=0)
    box = [*low.round(2).tolist(), *sides.round(2).tolist()]
    return {"bbox": box, "area": round(float(sides.prod()), 2), "iscrowd": 0}


def _named_as(content: dict[str, Any], like: Path, names: list[str]) -> dict[str, Any]:
    """Return the content with the pictures and ids of another file, whose annotations it counts."""
    other = load_json(like)
    pictures: dict[Any, dict[str, Any]] = {}
    for image in other["images"]:
        # As the reader does, which counts what has no id, or one that was before, as damaged.
        if isinstance(image.get("id"), int | str):
            pictures.setdefault(image["id"], image)
    people = other["annotations"]
    kept: dict[Any, Any] = {}
    for own, name in zip(content["annotations"], names, strict=True):
        place = own["frame"]
        wanted = people[place].get("image_id") if place < len(people) else None
        image = pictures.get(wanted) if isinstance(wanted, int | str) else None
        if image is None or not _is_named(name, str(image.get("file_name", ""))):
            raise DataError(f"{like}: expected the file that people were read from, found another picture than {name}")
        own["image_id"] = image["id"]
        own["id"] = people[place].get("id", place)
        # By which people are cut out, if they are by boxes: it stays as it was.
        own |= {key: people[place][key] for key in ("bbox", "area") if people[place].get(key) is not None}
        kept[image["id"]] = image
    return {**content, "images": list(kept.values())}


def _is_named(name: str, file_name: str) -> bool:
    """Return whether a path from the root is that of a `file_name`, which starts from a folder in it."""
    steps = [step for step in os.path.normpath(file_name).split("/") if step not in ("", ".", "..")]
    return name.split("/")[-len(steps) :] == steps if steps else not name


def load_json(path: Path) -> dict[str, Any]:
    """Return an annotation file as it is; raises DataError for anything else."""
    try:
        content = json.loads(read_bytes(path, LARGEST_FILE).removeprefix(codecs.BOM_UTF8))
        for name in ("images", "annotations"):
            if not all(isinstance(entry, dict) for entry in content[name]):
                raise TypeError(name)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: expected COCO's images and annotations, found none: {error}") from error
    return content


def write_annotations(out: Path, content: dict[str, Any]) -> None:
    write_text(out, json.dumps(content))


def main(arguments: list[str] | None = None) -> int:
    """Write the annotation file; returns 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.found_keypoints",
        description="Write found joints in COCO's keypoint format.",
    )
    parser.add_argument("found", type=Path, help="results/cells/NAME/found.h5")
    parser.add_argument("out", type=Path, help="the annotation file to write")
    parser.add_argument(
        "--like", type=Path, help="the annotation file that people were read from, for its pictures and ids"
    )
    chosen = parser.parse_args(arguments)
    try:
        content = found_keypoints(chosen.found, chosen.like)
        write_annotations(chosen.out, content)
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{chosen.out}: {len(content['annotations'])} people in {len(content['images'])} pictures")
    held = load_cache(chosen.found).attributes.get("images", 0)
    if held > len(content["annotations"]):
        print(f"These were drawn from {held} people in the training pictures.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
