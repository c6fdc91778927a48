"""Sketches of the unpaired poses as labelled images, to learn from before and beside KeypointGAN (ours)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.rendering.sketches import draw_sketches
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom
from flexpose_core.training.frames import Frames, in_contrast
from flexpose_core.training.objectives.eta import DECAY, PosePrior, picture_rows
from flexpose_core.training.objectives.supervised import LabelledObjective

_SHOWN = 10


class SketchedFrames:
    """Poses of the prior, sketched before scenes of the target: labelled images of nobody.

    Parameters
    ----------
    frames
        Whose scenes and contrast they have.
    jitter
        As in `PosePrior.draw`.
    batch
        How many `draw` returns.
    """

    def __init__(self, frames: Frames, prior: PosePrior, jitter: float, batch: int) -> None:
        self.frames, self.prior, self.jitter, self.batch = frames, prior, jitter, batch

    @property
    def skeleton(self) -> Skeleton:
        return self.prior.skeleton

    def draw(self, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return images and backgrounds (batch, 3, S, S), channels last, as the detector sees them, and poses (batch, K, 2)."""
        return self.sketch(self.batch, random)

    def sketch(self, count: int, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return so many of what `draw` returns."""
        poses = self.prior.draw(count, self.jitter, random)
        scenes = self.frames.scenes(random.indices(count, len(self.frames.images)), self.prior.device)
        sketches = draw_sketches(poses, self.skeleton, scenes, random)
        return *in_contrast(sketches, scenes, self.frames.contrast), poses


class SketchedObjective(LabelledObjective[SketchedFrames]):
    """Learning from sketches before KeypointGAN begins, which goes on from Φ and η as they are at the last step, not averaged."""

    what = "sketched"

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return four rows: sketches, Φ's skeleton images of them, drawings of η's keypoints, drawings of their poses."""
        images, backgrounds, poses = self.labelled.sketch(_SHOWN, random)
        detector = cast(Detector, self.average.module.eval())
        with torch.no_grad():
            made = detector.phi(images - backgrounds)
            found = detector.eta(made)
        drawn = (draw_distances(some, self.labelled.skeleton, images.shape[-1], DECAY) for some in (found, poses))
        return picture_rows([images, made, *drawn])
