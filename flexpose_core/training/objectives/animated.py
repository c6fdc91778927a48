"""Annotated images, and the people in them in other poses, as labelled images for a detector to learn from (ours)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flexpose_core.devices import sent
from flexpose_core.geometry import loosened
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.detector import Contrast
from flexpose_core.poses.images import EncodedImages
from flexpose_core.rendering.animation import Puppets
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.rendering.pictures import enlarge
from flexpose_core.streams import StepRandom
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.eta import DECAY, picture_rows
from flexpose_core.training.objectives.supervised import (
    LabelledFrames,
    SupervisedObjective,
)

SHOWN = 10
"""Animated images in a picture of the log."""


class AnimatedFrames(LabelledFrames):
    """Annotated images and animated ones, augmented as `LabelledFrames` are; a fresh pose, person and scene each time.

    Parameters
    ----------
    labelled
        The annotated images, and how they are augmented.
    puppets
        The people in them, at the resolution of the dataset.
    prior
        (N, K, 2) in 0..1, the poses that they take, loosened.
    scenes
        Empty scenes of the target.
    contrast
        How the detector sees images, as in `Frames`.
    """

    def __init__(
        self,
        labelled: LabelledFrames,
        puppets: Puppets,
        prior: np.ndarray,
        scenes: EncodedImages | np.ndarray,
        animation: AnimationOptions,
        contrast: Contrast,
    ) -> None:
        super().__init__(labelled.images, labelled.backgrounds, labelled.poses, labelled.skeleton, labelled.options)
        self.puppets, self.prior, self.scenes = puppets, prior, scenes
        self.animation, self.contrast = animation, contrast

    def picked(self, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, backgrounds and poses of a batch, those animated first."""
        annotated = super().picked(random)
        count = int(random.numpy.binomial(self.options.batch, self.animation.share))
        if not count:
            return annotated
        animated = self.animate(*self.poses_to_take(count, random.numpy), random.numpy)
        images, backgrounds, poses = (
            torch.cat([new, own[count:]]) for new, own in zip(animated, annotated, strict=True)
        )
        return images, backgrounds, poses

    def animate(
        self, poses: np.ndarray, amount: np.ndarray | float, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return animated images, their scenes, (n, 3, S, S) as the detector sees them, and what the poses (n, K, 2) became.

        Parameters
        ----------
        amount
            Of loosening, as a share of the options: one number, or (n,) for each pose.
        """
        animation, limbs = self.animation, self.puppets.anatomy.limbs
        poses = loosened(poses, self.skeleton, limbs[:, 1], animation.turn, animation.stretch, rng, amount)
        scenes = self.scenes[rng.integers(len(self.scenes), size=len(poses))]
        drawn = self.puppets.draw(poses, scenes, animation.appearances, animation.behind, rng)
        seen = as_seen(drawn, scenes, self.images.shape[-1], self.contrast, self.images.device)
        return *seen, sent(torch.from_numpy(poses), self.images.device)

    def poses_to_take(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return poses (n, K, 2), and by what share of the options each is to be loosened (n,)."""
        return self.prior[rng.integers(len(self.prior), size=count)], np.ones(count)


class AnimatedObjective(SupervisedObjective):
    """Learning from `AnimatedFrames`, whose pictures in the log are of animated people."""

    labelled: AnimatedFrames

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return three rows: animated images, their poses drawn, and drawings of what is found in them."""
        taken = self.labelled.poses_to_take(SHOWN, random.numpy)
        images, backgrounds, poses = self.labelled.animate(*taken, random.numpy)
        detector = self.average.module.eval()
        with torch.no_grad():
            found = detector(images, backgrounds)
        skeleton, size = self.labelled.skeleton, images.shape[-1]
        return picture_rows([images, *(draw_distances(some, skeleton, size, DECAY) for some in (poses, found))])


def as_seen(
    images: np.ndarray, scenes: np.ndarray, size: int, contrast: Contrast, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return images and their scenes (n, S, S, 3) uint8 as the detector sees them, (n, 3, size, size) float in -1..1."""
    pixels, backgrounds = (
        torch.from_numpy(np.ascontiguousarray(enlarge(some, size).transpose(0, 3, 1, 2))) for some in (images, scenes)
    )
    places = torch.arange(len(images))
    return Frames(pixels, backgrounds, places, places, contrast).take(places, device)
