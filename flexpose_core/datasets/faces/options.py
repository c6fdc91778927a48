"""Options of the embedded faces dataset."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from flexpose_core.datasets.drawing.options import SPLITS, CameraOptions, CropOptions, DrawingOptions

Count = Annotated[int, Meta(ge=0)]
Head = Annotated[int, Meta(ge=0, le=47)]


class HeadOptions(DrawingOptions, frozen=True):
    """Which heads (0 to 47) each split shows; no head is in two lists."""

    train: tuple[Head, ...] = tuple(range(28))
    val: tuple[Head, ...] = tuple(range(28, 32))
    test: tuple[Head, ...] = tuple(range(32, 40))


class FaceFrameOptions(DrawingOptions, frozen=True):
    """How many poses each split holds, the heads equally often."""

    train: Count = 6400
    val: Count = 800
    test: Count = 1600


class FacesOptions(DrawingOptions, frozen=True, tag_field="reader", tag="faces"):
    """Faces with 68 landmarks: with `images` a drawn dataset of short videos, without a set of annotations alone."""

    cameras: Annotated[tuple[CameraOptions, ...], Meta(min_length=1)] = (
        CameraOptions(yaw=(-20, 20), pitch=(-10, 10), roll=(-5, 5), distance=(0.8, 1.6)),
    )
    """Where the camera stands, as the head sees it, when a sequence begins."""
    subjects: HeadOptions = HeadOptions()
    frames: FaceFrameOptions = FaceFrameOptions()
    sequence: Annotated[int, Meta(ge=1)] = 8
    """Frames of a sequence, which shows one head before one background; the last sequence of a split may be shorter."""
    fps: Annotated[float, Meta(gt=0)] = 8.0
    sway: Annotated[float, Meta(ge=0, le=45)] = 6.0
    """How far the head turns over a sequence: standard deviation of yaw in degrees; of pitch and roll, half of it."""
    expression: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Strength of expressions; 0 leaves all faces neutral."""
    crop: CropOptions = CropOptions(scale=(0.5, 0.75), offset=0.08)
    """Of all landmarks of a sequence together, so that the background stands still."""
    images: bool = False
    image_size: Annotated[int, Meta(ge=16, le=512)] = 64

    def of_split(self, split: str) -> FacesOptions:
        """Return the options with no heads and frames of splits that a split does not depend on."""
        later = SPLITS[SPLITS.index(split) + 1 :]
        subjects = msgspec.structs.replace(self.subjects, **dict.fromkeys(later, ()))
        frames = msgspec.structs.replace(self.frames, **dict.fromkeys(later, 0))
        return msgspec.structs.replace(self, subjects=subjects, frames=frames)

    def has(self, split: str) -> bool:
        """Return whether a split has poses."""
        return self.known_size(split) != 0 and bool(getattr(self.subjects, split))

    def known_size(self, split: str) -> int | None:
        """Return how many poses a split has."""
        return getattr(self.frames, split) if self.images or split != "test" else 0
