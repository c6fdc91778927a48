"""Options that drawn datasets share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Range = tuple[float, float]


class DrawingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every dataset that is drawn, and all its parts, derive from."""


SPLITS = ("train", "val", "test")
"""In the order in which their sequences are numbered, and so drawn: a split does not depend on those behind it."""


class CameraOptions(DrawingOptions, frozen=True):
    """A kind of camera; each camera draws uniformly from these ranges."""

    share: Annotated[float, Meta(gt=0)] = 1.0
    """How often this kind is drawn, against the others listed."""
    yaw: Range = (-180.0, 180.0)
    """Degrees about the vertical, from looking the person in the face; positive towards the person's right."""
    pitch: Range = (-5.0, 15.0)
    """Degrees above the person's level; negative looks up."""
    roll: Range = (0.0, 0.0)
    """Degrees about the line of sight."""
    distance: Range = (3.5, 6.0)
    """Metres from the camera to the pelvis, or to the middle of a head."""


class CropOptions(DrawingOptions, frozen=True):
    """How annotation-only poses lie in the unit square."""

    scale: Range = (0.5, 0.9)
    """Longer side of the joints' box."""
    offset: Annotated[float, Meta(ge=0, le=0.5)] = 0.12
    """The box's centre lies up to this far from the square's, in x and in y, as long as all joints stay inside."""
