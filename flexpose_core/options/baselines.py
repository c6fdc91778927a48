"""Options of annotation sets made without a generator."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["source", "mixup", "kde", "similarity", "affine", "nearest", "pca"]

FROM_SOURCE = ("source", "similarity", "affine", "nearest", "pca")
"""Kinds that need source poses; the others see the shots alone."""
ONE_EACH = ("source", "similarity", "affine")
"""Kinds that take each of their source poses once, so that the source limits the size of the set."""


class BaselineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a sceptic would try instead of an adapted generator; see `flexpose_core.poses.baselines`.

    Parameters
    ----------
    kind
        "source": source poses as they are, and nothing of the target; "mixup": the guidance alone; "kde": a kernel
        density estimate on the shots; "similarity", "affine": source poses scaled and shifted to the shots, as a whole
        or each coordinate by itself; "nearest": source poses that resemble the guidance most, half and half with it;
        "pca": a Gaussian in the source's principal components with the shots' moments.
    bandwidth
        For "kde": the rule for the kernel's width.
    candidates
        For "nearest": source poses drawn to choose from.
    variance
        For "pca": share of the source's variance that the components kept must hold.
    shrinkage
        For "pca": κ, the covariance of M shots counts M / (M + κ), that of the source the rest.
    """

    kind: Kind
    bandwidth: Literal["scott", "silverman"] = "scott"
    candidates: Annotated[int, Meta(ge=1)] = 4000
    variance: Annotated[float, Meta(gt=0, le=1)] = 0.99
    shrinkage: Annotated[float, Meta(ge=0)] = 6.0

    @property
    def from_source(self) -> bool:
        """Whether source poses are needed."""
        return self.kind in FROM_SOURCE

    @property
    def from_target(self) -> bool:
        """Whether shots and their guidance are needed."""
        return self.kind != "source"
