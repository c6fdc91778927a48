"""Options of the embedded people dataset."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.datasets.drawing.options import SPLITS, CameraOptions, CropOptions, DrawingOptions

Fraction = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=0)]
Subject = Annotated[int, Meta(ge=0, le=9)]


class SubjectOptions(DrawingOptions, frozen=True):
    """Which people (0 to 9) each split shows; no person is in two lists."""

    train: tuple[Subject, ...] = (0, 1, 2, 3, 4, 5)
    val: tuple[Subject, ...] = (6, 7)
    test: tuple[Subject, ...] = (8, 9)


class FrameOptions(DrawingOptions, frozen=True):
    """About how many images each split holds, spread evenly over clips; cameras are added until there are as many."""

    train: Annotated[int, Meta(ge=1)] = 7200
    val: Annotated[int, Meta(ge=1)] = 1200
    test: Annotated[int, Meta(ge=1)] = 2000


class NoiseOptions(DrawingOptions, frozen=True):
    """Variety of annotation-only people beyond the motion's one skeleton."""

    angle: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation in degrees of the turn of each bone."""
    proportions: Annotated[float, Meta(ge=0)] = 0.0
    """Standard deviation of the log length of each group of bones, the same left and right."""


class PeopleOptions(DrawingOptions, frozen=True, tag_field="reader", tag="people"):
    """Motion-captured people: with `images` a drawn dataset of videos, without a set of annotations alone."""

    clips: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Names of embedded motion clips."""
    cameras: Annotated[tuple[CameraOptions, ...], Meta(min_length=1)] = (CameraOptions(),)
    facing: Literal["any", "front"] = "any"
    """`front` drops the frames in which pelvis and chest face away from the camera."""
    images: bool = False

    # With images.
    image_size: Annotated[int, Meta(ge=16, le=512)] = 64
    subjects: SubjectOptions = SubjectOptions()
    frames: FrameOptions = FrameOptions()
    fps: Annotated[float, Meta(gt=0)] = 30.0
    """Faster clips are thinned to about this rate."""
    held_out: Fraction = 0.28
    """The last part of each clip, which training and validation never see."""
    gap: Fraction = 0.04
    """The part of each clip before it that no split sees."""
    fill: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Longer side of the person's box in the median frame of a sequence; less where a joint would leave the picture."""
    background: Literal["plate", "median"] = "plate"
    """What is known of a sequence's background: `plate`, the scene filmed before the person enters; `median`, the temporal
    median of the video, into which a person who stays in place sinks."""
    wander: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """How far to either side the person strays over a sequence, in sides of the crop, as far as there is room."""

    # Without images.
    n_poses: Count = 0
    """Training poses of an annotation-only source."""
    held_out_poses: Count = 0
    """Further poses, drawn alike, of its val split."""
    noise: NoiseOptions = NoiseOptions()
    crop: CropOptions = CropOptions()

    def of_split(self, split: str) -> PeopleOptions:
        """Return the options with the usual ones in the place of those that a split does not depend on."""
        later = SPLITS[SPLITS.index(split) + 1 :] if self.images else ()
        usual = FrameOptions()
        subjects = msgspec.structs.replace(self.subjects, **dict.fromkeys(later, ()))
        frames = msgspec.structs.replace(self.frames, **{name: getattr(usual, name) for name in later})
        return msgspec.structs.replace(self, subjects=subjects, frames=frames)

    def has(self, split: str) -> bool:
        """Return whether a split has poses, as far as the options tell."""
        if not self.images:
            return self.known_size(split) != 0
        # Test people, and the training people in the last part of each clip.
        return bool(getattr(self.subjects, split) or (split == "test" and self.held_out and self.subjects.train))

    def known_size(self, split: str) -> int | None:
        """Return the most poses that a split can have, or None where only drawing tells."""
        return None if self.images else {"train": self.n_poses, "val": self.held_out_poses}.get(split, 0)
