"""The joints that a detector found, in pixels of the original pictures, as COCO's keypoint format has them.

    python -m flexpose_core.stages.found_keypoints results/cells/NAME/found.h5 found.json

Snakemake makes `found.h5` of any cell, of its target's training pictures: of all, or of 10,000 drawn at random. File names start
from the dataset's root. `frame` is that of a video, or, of a dataset of single pictures, the number of the annotation that the
person was cut out by.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from flexpose_core.datasets.crops import from_crop
from flexpose_core.errors import DataError, FlexPoseError
from flexpose_core.files import write_text
from flexpose_core.poses.cache import load_cache
from flexpose_core.skeletons import FACE68

ANNOTATED = 2
"""COCO's flag of a joint that is annotated and visible."""


def found_keypoints(found: Path) -> dict[str, Any]:
    """Return the poses of a cache as the content of an annotation file; coordinates are rounded to a hundredth of a pixel.

    Raises
    ------
    DataError
        If the cache does not say where in which picture its poses are, as that of a drawn dataset.
    """
    poses = load_cache(found)
    if poses.crop is None or poses.source is None:
        raise DataError(f"{found}: expected poses that were cut out of pictures, found none that say of which")
    names = [str(name) for name in poses.source[np.arange(len(poses))]]
    images = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    joints = from_crop(poses.poses.astype(np.float64), poses.crop.astype(np.float64)).round(2)
    flagged = np.concatenate([joints, np.full((*joints.shape[:2], 1), ANNOTATED)], axis=2)
    category = "face" if poses.skeleton == FACE68 else "person"
    return {
        "images": [{"id": number, "file_name": name} for name, number in images.items()],
        "annotations": [
            {
                "id": number,
                "image_id": images[name],
                "category_id": 1,
                "frame": int(frame),
                "num_keypoints": len(own),
                "keypoints": own.ravel().tolist(),
            }
            for number, (name, frame, own) in enumerate(zip(names, poses.frame, flagged, strict=True), 1)
        ],
        "categories": [{"id": 1, "name": category, "keypoints": list(poses.skeleton.joints)}],
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the annotation file; returns 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m flexpose_core.stages.found_keypoints",
        description="Write found joints in COCO's keypoint format.",
    )
    parser.add_argument("found", type=Path, help="results/cells/NAME/found.h5")
    parser.add_argument("out", type=Path, help="the annotation file to write")
    chosen = parser.parse_args(arguments)
    try:
        content = found_keypoints(chosen.found)
        write_text(chosen.out, json.dumps(content))
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
