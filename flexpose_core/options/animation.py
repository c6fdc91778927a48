"""Options of animating annotated images: a few people, cut into limbs that take other poses."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class RenewalOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the poses of animated people are renewed by what the detector finds in the target's images while it learns.

    Parameters
    ----------
    steps
        Of the training, in the place of `AnimationOptions.steps`: found poses go on becoming better.
    first
        Share of the steps after which this begins; at 0 it begins with the second renewal, as nothing is learnt before.
    every
        Steps from one renewal to the next.
    share
        Of the animated people that take found poses from then on; the others go on as before.
    placed
        Of those that do not take found poses, from the first step on: so many take poses that the source has of itself, placed
        where the shots are (`poses.alignment.placed`), the others the method's. The shots may lack what the target has.
        There are none for methods without a source, or whose poses are chosen.
    loosening
        Of found poses, as a share of that of the others: they err already, most of all at the ends of limbs.
    images
        So many training images are looked at, the same at each renewal.
    animated
        So many people are animated in found poses, loosened in full, at each renewal to see what the detector misses of their
        poses; found poses are given that. 0: they are taken as they are found.
    """

    steps: Count = 6000
    first: Share = 0.25
    every: Count = 500
    share: Share = 0.7
    placed: Share = 0.25
    loosening: Share = 0.5
    images: Count = 3000
    animated: Annotated[int, Meta(ge=0)] = 1000


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
    renewal
        For methods whose poses are renewed by what is found.
    """

    steps: Count = 3000
    share: Share = 0.8
    appearances: Count = 4
    behind: Share = 0.3
    turn: NotNegative = 0.5
    stretch: NotNegative = 0.25
    renewal: RenewalOptions = RenewalOptions()
