"""COCO-2017 person keypoints (Lin et al. 2014)."""

from __future__ import annotations

from flexpose_core.datasets.keypoints_json import KeypointsJsonReader
from flexpose_core.datasets.options import CocoOptions, KeypointsJsonOptions

ANNOTATIONS = "annotations/person_keypoints_{}2017.json"


class CocoReader(KeypointsJsonReader):
    """Reads train2017, of which part makes val, and val2017 as test."""

    tells_of_pictures = False  # half of them show nobody

    def __init__(self, options: CocoOptions) -> None:
        super().__init__(
            KeypointsJsonOptions(
                root=options.root,
                images=options.images,
                held_out=options.held_out,
                crop=options.crop,
                complete=options.complete,
                train=ANNOTATIONS.format("train"),
                test=ANNOTATIONS.format("val"),
            )
        )
        self.folders = {"train": "train2017", "val": "train2017", "test": "val2017"}
