"""Animated people in the poses that the detector finds in the target's images: the poses and the detector make each other better.

As in wake-sleep (Hinton et al. 1995): what is inferred from real images tells which images to dream up next, and their labels
are exact however wrong the inference was. Loosened, the poses also cover what was not quite found.

A detector errs towards the mean pose, and poses that are found are too much alike. How it errs can be seen on animated people,
whose poses are known: each found pose is given what was missed of an animated one in which much the same was found, as in
approximate Bayesian computation with regression (Beaumont et al. 2002), its slope taken to be one.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from flexpose_core.devices import single_precision
from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.animation import RenewalOptions
from flexpose_core.options.detector import SupervisionOptions
from flexpose_core.streams import StepRandom
from flexpose_core.training.both_views import found_in_both_views, mean_of_views
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.animated import AnimatedFrames, AnimatedObjective

_ALIKE = 3
"""Animated people whose found poses are nearest to one; what is missed of one of them is drawn."""
_BATCH, _ROWS = 250, 2000


class FoundPoses(nn.Module):
    """Poses found in images (n, K, 2), in 0..1, of which none is known at first; a checkpoint holds them."""

    watched = False
    """They are no weights whose growth would tell of a training that diverges."""
    poses: Tensor
    known: Tensor

    def __init__(self, count: int, joints: int) -> None:
        super().__init__()
        self.register_buffer("poses", torch.zeros(count, joints, 2))
        self.register_buffer("known", torch.zeros(()))
        self._read: list[np.ndarray | None] = []
        self.register_load_state_dict_post_hook(lambda module, _: module._read.clear())

    def renew(self, poses: np.ndarray) -> None:
        self.poses.copy_(torch.from_numpy(poses))
        self.known.fill_(1)
        self._read.clear()

    def read(self) -> np.ndarray | None:
        """Return the poses, None while none is known; read from the device once, as every step of a training asks."""
        if not self._read:
            self._read.append(self.poses.cpu().numpy() if self.known else None)
        return self._read[0]


class RenewedFrames(AnimatedFrames):
    """Animated people of whom a share takes found poses, once there are some, and of the others a share placed ones."""

    found: FoundPoses | None = None
    placed: np.ndarray | None = None
    """(N, K, 2) in 0..1, the source's poses where the shots are."""

    def poses_to_take(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        poses, amount = super().poses_to_take(count, rng)
        if self.placed is not None:
            chosen = rng.random(count) < self.animation.renewal.placed
            rows = rng.integers(len(self.placed), size=count)
            poses = np.where(chosen[:, None, None], self.placed[rows], poses)
        known = self.found.read() if self.found is not None else None
        if known is None:
            return poses, amount
        chosen = rng.random(count) < self.animation.renewal.share
        rows = rng.integers(len(known), size=count)
        return np.where(chosen[:, None, None], known[rows], poses), np.where(
            chosen, self.animation.renewal.loosening, amount
        )


class RenewedObjective(AnimatedObjective):
    """Learning from `RenewedFrames`; what is found is found anew every so many steps.

    Parameters
    ----------
    frames, rows
        Images, and which of them are looked at.
    """

    def __init__(
        self,
        detector: Detector,
        labelled: RenewedFrames,
        frames: Frames,
        rows: np.ndarray,
        average_decay: float,
        options: SupervisionOptions,
        mixed: bool,
    ) -> None:
        super().__init__(detector, labelled, average_decay, options, mixed)
        self.frames, self.rows, self.renewal = frames, rows, labelled.animation.renewal
        device = labelled.images.device
        self.found = labelled.found = FoundPoses(len(rows), len(labelled.skeleton)).to(device)
        self.networks["found"] = self.found

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        if is_due(step, self.options.steps, self.renewal):
            detector, device = self.average.module, self.found.poses.device
            found = found_in_both_views(detector, self.frames, self.rows, self.labelled.skeleton, device)
            # Of weights that are not finite the loop says so at its next look at them.
            if np.isfinite(found).all():
                if self.renewal.animated:
                    found = with_what_is_missed(found, *self._tried(found, random.numpy), random.numpy)
                self.found.renew(found)
        return super().step(step, random)

    def _tried(self, found: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return what is found in people animated to take found poses, loosened, and those poses, (m, K, 2) each."""
        labelled, poses = self.labelled, found[rng.integers(len(found), size=self.renewal.animated)]
        seen, drawn = [], []
        for some in np.array_split(poses, -(-len(poses) // _BATCH)):
            with single_precision():
                images, backgrounds, taken = labelled.animate(some, 1.0, rng)
            seen.append(mean_of_views(self.average.module, images, backgrounds, labelled.skeleton))
            drawn.append(taken.cpu().numpy())
        return np.concatenate(seen), np.concatenate(drawn)


def with_what_is_missed(found: np.ndarray, seen: np.ndarray, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return found poses (n, K, 2), each with what was missed of a known one in which much the same was found.

    Parameters
    ----------
    seen, drawn
        (m, K, 2) what is found in images of known poses, and these.
    """
    count, known = min(_ALIKE, len(seen)), seen.reshape(len(seen), -1)
    alike = []
    for some in np.array_split(found.reshape(len(found), -1), -(-len(found) // _ROWS)):
        off = cdist(some, known)
        nearest = np.argpartition(off, count - 1, axis=1)[:, :count]
        order = np.take_along_axis(off, nearest, axis=1).argsort(axis=1, kind="stable")
        alike.append(np.take_along_axis(nearest, order, axis=1))
    chosen = np.concatenate(alike)[np.arange(len(found)), rng.integers(count, size=len(found))]
    return found + (drawn - seen)[chosen]


def is_due(step: int, steps: int, renewal: RenewalOptions) -> bool:
    """Return whether poses are renewed before this step, of so many in all."""
    first = round(renewal.first * steps)
    return step >= max(first, 1) and (step - first) % renewal.every == 0
