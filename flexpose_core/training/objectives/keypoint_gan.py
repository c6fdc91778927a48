"""KeypointGAN (Jakab et al. 2020, section 3): learn Φ, η, Ψ from images and unpaired poses.

One step updates, in the order of the authors' code, first Φ and Ψ, then the discriminator, then η.

- Eq. 1-2: x̂ = Ψ(render(η(Φ(x))), x') must be like x, where x' is a frame of the same sequence. The authors
  compare VGG features; here, with no pretrained network, pixels at three scales and the finest's gradients. Under squared
  errors (`reconstruction_error`) Ψ paints the mean of what it is unsure of, faint features that Φ can learn from; under
  absolute ones their median, which is often none.
- Eq. 3: Φ(x) must look like a drawn pose to the discriminator, in the least-squares form.
- Nothing above says which way a face turns: a Φ that sees whole images may draw all of them the other way. One that at first
  sees the neighbourhood of each pixel alone must draw features where they are (ours; `local_share`), and one that learns from
  sketches of the poses before and beside all this draws what stands out as it does there (ours; `SketchOptions`).
- Φ(x) must be what its own keypoints draw, as an option of the authors' code asks: strokes, and no haze between them.
- Section 3.2: η is pretrained on drawn poses and goes on learning, from drawn poses and from Φ's skeleton images.
- Where some images are labelled, Φ and η also learn from these (ours).
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import mixed_precision
from flexpose_core.models.keypoint_gan import (
    Detector,
    ImageToSkeleton,
    SkeletonDiscriminator,
    SkeletonToImage,
    SkeletonToKeypoints,
)
from flexpose_core.options.detector import FADE, KeypointGanOptions, SketchOptions
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.flat import FlatParameters
from flexpose_core.training.frames import CompanionFrames, Frames
from flexpose_core.training.loop import set_learning_rate, warmup_linear
from flexpose_core.training.objectives.eta import (
    DECAY,
    PosePrior,
    keypoint_error,
    picture_rows,
)
from flexpose_core.training.objectives.sketched import SketchedFrames
from flexpose_core.training.objectives.supervised import LabelledFrames, supervision_loss


def reconstruction_loss(
    made: Tensor, truth: Tensor, scales: int = 3, error: Literal["absolute", "squared"] = "absolute"
) -> Tensor:
    """Return Eq. 2 on pixels: the mean error at `scales` resolutions, each half the last, plus that of the finest's gradients."""

    def mean_error(made: Tensor, truth: Tensor) -> Tensor:
        off = made - truth
        return off.abs().mean() if error == "absolute" else off.square().mean()

    loss = mean_error(made.diff(dim=3), truth.diff(dim=3)) + mean_error(made.diff(dim=2), truth.diff(dim=2))
    for scale in range(scales):
        if scale:
            made, truth = F.avg_pool2d(made, 2), F.avg_pool2d(truth, 2)
        loss = loss + mean_error(made, truth)
    return loss


def least_squares(scores: tuple[Tensor, ...], goal: float) -> Tensor:
    """Return one term of Eq. 3: the mean of (D - goal)² over each of the outputs, then over the outputs."""
    return torch.stack([((score - goal) ** 2).mean() for score in scores]).mean()


def reach_at(step: int, options: KeypointGanOptions) -> float:
    """Return `reach` of Φ at a step: 0 for `local_share` of the steps, then rising linearly to 1."""
    if not options.local_share:
        return 1.0
    return min(1.0, max(0.0, ((step + 1) / options.steps - options.local_share) / FADE))


NO_SKETCHES = SketchOptions()


class KeypointGanObjective:
    """The full training; the detector that is kept is `average`, the exponential moving average of Φ and η."""

    def __init__(
        self,
        phi: ImageToSkeleton,
        eta: SkeletonToKeypoints,
        psi: SkeletonToImage,
        discriminator: SkeletonDiscriminator,
        frames: Frames,
        prior: PosePrior,
        size: int,
        options: KeypointGanOptions,
        mixed: bool = True,
        labelled: LabelledFrames | None = None,
        sketches: SketchOptions = NO_SKETCHES,
    ) -> None:
        self.labelled, self.sketches = labelled, sketches
        self.phi, self.eta, self.psi, self.discriminator = phi, eta, psi, discriminator
        self.frames, self.prior, self.size, self.options, self.mixed = frames, prior, size, options, mixed
        self.companions = CompanionFrames(frames.sequence)
        self.sketched = SketchedFrames(frames, prior, options.jitter, sketches.batch)
        self.flip = torch.as_tensor(prior.skeleton.flip_permutation, device=prior.device)
        self.detector = Detector(phi, eta)
        averaging = get_ema_multi_avg_fn(options.average_decay)
        self.average = AveragedModel(self.detector, multi_avg_fn=averaging, use_buffers=True)
        self.networks: dict[str, nn.Module] = {
            "phi": phi, "eta": eta, "psi": psi, "discriminator": discriminator, "average": self.average,
        }  # fmt: skip
        self.unclipped: dict[str, Tensor] = {}
        self.flat = {
            "generators": FlatParameters([*phi.parameters(), *psi.parameters()]),
            "discriminator": FlatParameters(discriminator.parameters()),
            "eta": FlatParameters(eta.parameters()),
        }
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: Adam([flat.vector], betas=(0.5, 0.99), fused=True) for name, flat in self.flat.items()
        }

    def _draw(self, poses: Tensor) -> Tensor:
        images = draw_distances(poses, self.prior.skeleton, self.size, DECAY)
        return images.contiguous(memory_format=torch.channels_last)

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options, device = self.options, self.prior.device
        rate = warmup_linear(step, options.steps)
        for name, optimiser in self.optimisers.items():
            base = options.eta_learning_rate if name == "eta" else options.learning_rate
            set_learning_rate(optimiser, base * rate)
        self.phi.reach = reach_at(step, options)
        cast(Detector, self.average.module).phi.reach = self.phi.reach
        rows = random.indices(options.batch, len(self.frames.images))
        images, backgrounds = self.frames.take(rows, device)
        others, behind = self.frames.take(self.companions.draw(rows, random), device)
        poses = self.prior.draw(options.batch, options.jitter, random)

        with mixed_precision(device, self.mixed):
            made = self.phi(images - backgrounds)
            keypoints = self.eta(made)
        redrawn = self._draw(keypoints)
        with mixed_precision(device, self.mixed):
            rebuilt = self.psi(redrawn, others - behind, backgrounds)
            score = self.discriminator(made)
        reconstruction = reconstruction_loss(rebuilt, images, error=options.reconstruction_error)
        adversarial = least_squares(score, 1.0)
        # The prior settles which end is up; where it and the image then differ, the image is to have the last word.
        weight = options.adversarial_weight * options.final_adversarial_share ** (step / options.steps)
        loss = options.reconstruction_weight * reconstruction + weight * adversarial
        consistency = F.mse_loss(made, redrawn.detach())
        loss = loss + options.consistency_weight * consistency
        supervised = self._supervised(random)
        # Less and less, so that in the end images alone say what they look like.
        weight_of_sketches = self.sketches.weight * max(0.0, 1 - step / (self.sketches.share * options.steps))
        sketched = None if not weight_of_sketches else self._labelled_loss(*self.sketched.draw(random))
        labels = supervised if sketched is None else supervised + weight_of_sketches * sketched
        # η and the discriminator stay out of this update; η's part of the graph is used again below.
        self._update("generators", loss + labels, retain=True)

        drawn = self._draw(poses)
        with mixed_precision(device, self.mixed):
            both = self.discriminator(torch.cat([drawn, made.detach()]))
        real, fake = zip(*(scores.chunk(2) for scores in both), strict=True)
        discrimination = 0.5 * (least_squares(real, 1.0) + least_squares(fake, 0.0))
        self._update("discriminator", discrimination)

        with mixed_precision(device, self.mixed):
            regressed = self.eta(drawn)
        regression = options.drawn_weight * keypoint_error(regressed, poses, self.flip, options.own_labels)
        regression = regression + options.estimated_weight * F.mse_loss(redrawn, made.detach())
        self._update("eta", regression + labels)
        self.average.update_parameters(self.detector)
        return {
            "reconstruction": reconstruction.detach(),
            "adversarial": adversarial.detach(),
            "consistency": consistency.detach(),
            "discriminator": discrimination.detach(),
            "eta": regression.detach(),
            **({} if self.labelled is None else {"supervised": supervised.detach()}),
            **({} if sketched is None else {"sketched": sketched.detach()}),
        }

    def _supervised(self, random: StepRandom) -> Tensor:
        """Return the weighted loss on labelled images, 0 without them."""
        if self.labelled is None:
            return torch.zeros((), device=self.prior.device)
        return self.labelled.options.weight * self._labelled_loss(*self.labelled.draw(random))

    def _labelled_loss(self, images: Tensor, backgrounds: Tensor, poses: Tensor) -> Tensor:
        """Return the loss on images whose poses are known, annotated or sketched."""
        with mixed_precision(self.prior.device, self.mixed):
            made = self.phi(images - backgrounds)
            predicted = self.eta(made)
        return supervision_loss(made, predicted, poses, self.prior.skeleton)

    def _update(self, name: str, loss: Tensor, retain: bool = False) -> None:
        """Step one optimiser on the gradient of `loss` with respect to its own parameters and nothing else."""
        flat = self.flat[name]
        flat.differentiate(loss, retain)
        self.unclipped[f"gradient/{name}"] = nn.utils.clip_grad_norm_(flat.vector, self.options.clip_norm)
        self.optimisers[name].step()

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return four rows: images, Φ's skeleton images, drawings of η's keypoints, Ψ's reconstructions.

        With sketches beside, three rows of them follow, without Ψ's.
        """
        rows = torch.linspace(0, len(self.frames.images) - 1, min(10, len(self.frames.images))).long()
        images, backgrounds = self.frames.take(rows, self.prior.device)
        detector = cast(Detector, self.average.module.eval())
        self.psi.eval()
        with torch.no_grad():
            made = detector.phi(images - backgrounds)
            redrawn = self._draw(detector.eta(made))
            rebuilt = self.psi(redrawn, images - backgrounds, backgrounds)
            pictures = [images, made, redrawn, rebuilt]
            if self.sketches.weight:
                images, backgrounds = self.sketched.sketch(len(rows), random)[:2]
                made = detector.phi(images - backgrounds)
                pictures += [images, made, self._draw(detector.eta(made))]
        self.psi.train()
        return picture_rows(pictures)
