"""Options of animating annotated images: a few people, cut into limbs that take other poses."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class AnimationOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a detector learns from animated images; batch, rate and augmentation are those of `SupervisionOptions`.

    Parameters
    ----------
    steps
        Of the training.
    share
        Of a batch that is animated; the rest are the annotated images as they are.
    appearances
        Of the people most like a pose in their proportions, mirrored ones included, so many are drawn from.
    behind
        How often a limb is drawn behind the trunk.
    turn, stretch
        How far poses are changed bone by bone of each limb, see `geometry.loosened`: the poses of a few shots, or those like them,
        are too much alike.
    """

    steps: Count = 3000
    share: Share = 0.8
    appearances: Count = 4
    behind: Share = 0.3
    turn: NotNegative = 0.5
    stretch: NotNegative = 0.25
