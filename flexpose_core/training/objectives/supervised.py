"""Learning a detector from a few labelled images, augmented: alone, or beside KeypointGAN's losses."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import mixed_precision, sent
from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.detector import SketchOptions, SupervisionOptions
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.flat import FlatParameters
from flexpose_core.training.loop import set_learning_rate, warmup_linear
from flexpose_core.training.objectives.eta import DECAY, picture_rows

_SHOWN = 10


class Labelled(Protocol):
    """Where a training's labelled images come from."""

    @property
    def skeleton(self) -> Skeleton: ...

    def draw(self, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return images and backgrounds (B, 3, S, S) and poses (B, K, 2)."""


class LabelledFrames:
    """Annotated images, drawn with replacement and augmented: turned, scaled, moved, mirrored, recoloured.

    Parameters
    ----------
    images, backgrounds
        (M, 3, S, S) float in -1..1, on the device where the work is done.
    poses
        (M, K, 2) in 0..1.
    """

    def __init__(
        self, images: Tensor, backgrounds: Tensor, poses: Tensor, skeleton: Skeleton, options: SupervisionOptions
    ) -> None:
        self.images, self.backgrounds, self.poses = images, backgrounds, poses.to(images.device)
        self.skeleton, self.options = skeleton, options
        self.flip = torch.as_tensor(skeleton.flip_permutation, device=images.device)

    def draw(self, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return images and backgrounds (B, 3, S, S), channels last, and poses (B, K, 2), which may leave 0..1."""
        images, backgrounds, poses = self.picked(random)
        options, count = self.options, len(poses)
        matrix, shift, mirrored = (sent(value, poses.device) for value in self._transforms(count, random))
        poses = moved_poses(poses, matrix, shift)
        poses = torch.where(mirrored[:, None, None], poses[:, self.flip], poses)
        gain = sent(torch.exp(options.colour * random.normal(count, 3, 1, 1)), poses.device)
        offset = sent(options.colour * random.normal(count, 3, 1, 1), poses.device)
        images, backgrounds = (
            (moved_images(pictures, matrix, shift) * gain + offset)
            .clamp(-1, 1)
            .contiguous(memory_format=torch.channels_last)
            for pictures in (images, backgrounds)
        )
        return images, backgrounds, poses

    def picked(self, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `draw` augments: images, backgrounds and poses of a batch."""
        rows = sent(random.indices(self.options.batch, len(self.images)), self.images.device)
        return self.images[rows], self.backgrounds[rows], self.poses[rows]

    def _transforms(self, count: int, random: StepRandom) -> tuple[Tensor, Tensor, Tensor]:
        """Return matrices (B, 2, 2) and shifts (B, 2) as `moved_poses` takes them, and who is mirrored (B,)."""
        options = self.options
        angle = options.rotation * random.normal(count)
        scale = torch.exp(options.log_scale * random.normal(count))
        shift = 2 * options.shift * random.normal(count, 2)
        mirrored = random.uniform(count) < options.mirror
        sign = torch.where(mirrored, -1.0, 1.0)
        cos, sin = scale * angle.cos(), scale * angle.sin()
        matrix = torch.stack([torch.stack([cos * sign, -sin], 1), torch.stack([sin * sign, cos], 1)], 1)
        return matrix, shift, mirrored


def moved_poses(poses: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return poses (B, K, 2) in 0..1 under x ↦ A x + b, x counted from the image's centre in halves of its side."""
    centred = 2 * poses - 1
    return ((centred @ matrix.transpose(1, 2) + shift[:, None]) + 1) / 2


def moved_images(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return images (B, C, S, S) under the same map as `moved_poses`; the border's colours go on outside."""
    back = torch.linalg.inv(matrix)
    theta = torch.cat([back, -back @ shift[..., None]], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def supervision_loss(made: Tensor, predicted: Tensor, poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Return the error of keypoints, mean squared in units of half the image, plus that of Φ's skeleton image.

    Parameters
    ----------
    made
        (B, 1, S, S), Φ's skeleton images.
    predicted, poses
        (B, K, 2), η's keypoints of these, and the annotated ones.
    """
    drawn = draw_distances(poses, skeleton, made.shape[-1], DECAY)
    return 4 * F.mse_loss(predicted, poses) + F.mse_loss(made, drawn)


Source = TypeVar("Source", bound=Labelled)


class LabelledObjective(Generic[Source]):
    """Train Φ and η on labelled images and nothing else; `average` is their exponential moving average."""

    what = "supervised"
    """What the loss is called in the log."""

    def __init__(
        self,
        detector: Detector,
        labelled: Source,
        average_decay: float,
        options: SupervisionOptions | SketchOptions,
        mixed: bool,
    ) -> None:
        self.detector, self.labelled, self.options, self.mixed = detector, labelled, options, mixed
        averaging = get_ema_multi_avg_fn(average_decay)
        self.average = AveragedModel(detector, multi_avg_fn=averaging, use_buffers=True)
        self.flat = FlatParameters(detector.parameters())
        self.optimiser = Adam([self.flat.vector], betas=(0.9, 0.99), fused=True)
        self.networks: dict[str, nn.Module] = {"detector": detector, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"detector": self.optimiser}

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        set_learning_rate(self.optimiser, self.options.learning_rate * warmup_linear(step, self.options.steps))
        images, backgrounds, poses = self.labelled.draw(random)
        with mixed_precision(images.device, self.mixed):
            made = self.detector.phi(images - backgrounds)
            predicted = self.detector.eta(made)
        loss = supervision_loss(made, predicted, poses, self.labelled.skeleton)
        self.flat.differentiate(loss)
        self.optimiser.step()
        self.average.update_parameters(self.detector)
        return {self.what: loss.detach()}


class SupervisedObjective(LabelledObjective[LabelledFrames]):
    """Learning from annotated images; what is kept is the average."""

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return two rows: labelled images, and drawings of what is found in them."""
        images, backgrounds = self.labelled.images[:_SHOWN], self.labelled.backgrounds[:_SHOWN]
        detector = self.average.module.eval()
        with torch.no_grad():
            found = detector(images, backgrounds)
        return picture_rows([images, draw_distances(found, self.labelled.skeleton, images.shape[-1], DECAY)])
