"""The reader of the embedded faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flexpose_core.datasets.drawing.reader import SPLITS, DrawnReader, check_cameras, check_crop, check_disjoint
from flexpose_core.datasets.faces.head import check_head
from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.faces.shots import shoot
from flexpose_core.datasets.faces.takes import Take, perform, plan_takes
from flexpose_core.errors import ConfigError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import FACE68

_NEAREST = 0.5  # metres


class FacesReader(DrawnReader):
    """Draws faces: sequences of images (train, val, test), or annotations alone (train, val).

    Landmarks that the head itself hides are given where they are and count as visible, as in WFLW.

    Parameters
    ----------
    options
        What to draw.
    seed
        Everything drawn is a function of `options` and `seed`.

    Raises
    ------
    ConfigError
        An unknown head, a head in two splits, or options that leave nothing to draw.
    """

    skeleton = FACE68

    def __init__(self, options: FacesOptions, seed: int) -> None:
        check_options(options)
        super().__init__("faces", options.images)
        self.options, self.seed = options, seed

    def _read(self, split: str) -> Iterator[PoseBatch]:
        """Yield a sequence at a time."""
        kept = 0
        for take in plan_takes(self.options, split, self.seed):
            kept += take.frames
            yield self._batch(take)
        self._counts[split] = {"kept": kept}

    def _batch(self, take: Take) -> PoseBatch:
        n = take.frames
        pictures: dict[str, np.ndarray] = {}
        if self.options.images:
            shot = shoot(take, self.options, self.seed)
            poses = shot.poses
            pictures["images"] = encode_images(shot.images, "png")
            pictures["backgrounds"] = np.repeat(encode_images([shot.background], "png"), n)
        else:
            poses = perform(take, self.options, self.seed).poses
        return PoseBatch(
            poses=poses,
            visibility=np.ones((n, len(FACE68)), np.uint8),
            clip=np.full(n, f"head{take.head:02d}"),
            subject=np.full(n, take.head, np.int32),
            camera=np.full(n, take.sequence, np.int32),
            sequence=np.full(n, take.sequence, np.int32),
            frame=np.arange(n, dtype=np.int32),
            **pictures,
        )


def check_options(options: FacesOptions) -> None:
    """Check what the option types cannot; raises ConfigError."""
    check_cameras("faces", options.cameras, _NEAREST)
    check_crop("faces", options.crop)
    for split in SPLITS[: 3 if options.images else 2]:
        heads = getattr(options.subjects, split)
        for head in heads:
            check_head(head)
        if not heads and getattr(options.frames, split):
            raise ConfigError(f"faces: expected a head in subjects.{split}, found none for {split}'s frames")
    if options.frames.train < 1:
        raise ConfigError("faces: expected frames.train of at least 1, found 0")
    check_disjoint("faces", "head", options.subjects)
