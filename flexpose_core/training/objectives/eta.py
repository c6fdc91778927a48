"""Pretraining of η, from skeleton images to keypoints, on drawings of the pose set (Jakab et al. 2020, section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from flexpose_core.devices import mixed_precision, sent
from flexpose_core.models.keypoint_gan import SkeletonToKeypoints
from flexpose_core.options.detector import EtaOptions
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.rendering.pictures import tile, to_uint8
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.flat import FlatParameters
from flexpose_core.training.loop import set_learning_rate, warmup_linear

# Distance at which a drawn bone's brightness falls to 1/e, as a fraction of the image's side: about one pixel at 32 px.
DECAY = 0.03


class PosePrior:
    """The unpaired poses, drawn from uniformly with replacement."""

    def __init__(self, poses: np.ndarray, skeleton: Skeleton, device: torch.device) -> None:
        self.poses = torch.from_numpy(np.ascontiguousarray(poses, np.float32))
        self.skeleton = skeleton
        self.device = device

    def draw(self, count: int, jitter: float, random: StepRandom) -> Tensor:
        """Return (count, K, 2) poses, each moved as a whole by normal noise of standard deviation `jitter`."""
        poses = self.poses[random.indices(count, len(self.poses))]
        return sent(poses + jitter * random.normal(count, 1, 2), self.device)


def keypoint_error(predicted: Tensor, truth: Tensor, flip: Tensor, own_labels: float) -> Tensor:
    """Return the mean squared error of keypoints' coordinates, in units of half the image, under the better of two labellings.

    A one-channel skeleton image does not tell left from right. Where both are as likely, the plain squared error is
    least at the mean of the two, on the body's midline, and limbs collapse. The lower of the errors under both
    labellings is least at either of them; `own_labels` is the share of the plain error kept, so that η follows the
    labels where a pose tells them.
    """
    own = ((predicted - truth) ** 2).mean((1, 2))
    swapped = ((predicted - truth[:, flip]) ** 2).mean((1, 2))
    return 4 * (own_labels * own + (1 - own_labels) * torch.minimum(own, swapped)).mean()


class EtaObjective:
    """Regress the keypoints of drawn poses; half of the drawings carry pixel noise, as Φ's are never as clean."""

    def __init__(
        self, eta: SkeletonToKeypoints, prior: PosePrior, size: int, options: EtaOptions, mixed: bool = True
    ) -> None:
        self.eta, self.prior, self.size, self.options, self.mixed = eta, prior, size, options, mixed
        self.flip = torch.as_tensor(prior.skeleton.flip_permutation, device=prior.device)
        self.flat = FlatParameters(eta.parameters())
        self.optimiser = Adam([self.flat.vector], betas=(0.9, 0.99), fused=True)
        self.networks: dict[str, nn.Module] = {"eta": eta}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"eta": self.optimiser}

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        set_learning_rate(self.optimiser, options.learning_rate * warmup_linear(step, options.steps))
        poses = self.prior.draw(options.batch, options.jitter, random)
        images = draw_distances(poses, self.prior.skeleton, self.size, DECAY)
        strength = options.noise * (2 * random.uniform(options.batch, 1, 1, 1) - 1).clamp(min=0)
        noise = sent(strength, images.device) * random.noise(*images.shape, on=images.device)
        images = (images + noise).contiguous(memory_format=torch.channels_last)
        with mixed_precision(self.prior.device, self.mixed):
            predicted = self.eta(images)
        # Plain errors first: with the lower one from the start, η may settle on the mirrored labels throughout.
        own_labels = max(options.own_labels, 1 - 2 * step / options.steps)
        loss = keypoint_error(predicted, poses, self.flip, own_labels)
        self.flat.differentiate(loss)
        self.optimiser.step()
        return {"loss": loss.detach()}

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return two rows: drawings of poses, and drawings of what η makes of them."""
        poses = self.prior.poses[:: max(1, len(self.prior.poses) // 8)][:8].to(self.prior.device)
        images = draw_distances(poses, self.prior.skeleton, self.size, DECAY)
        self.eta.eval()
        with torch.no_grad():
            again = draw_distances(self.eta(images), self.prior.skeleton, self.size, DECAY)
        self.eta.train()
        return picture_rows([images, again])


def picture_rows(rows: list[Tensor]) -> np.ndarray:
    """Lay batches of images (B, 1 or 3, S, S) in -1..1 out as the rows of one (H, W, 3) uint8 picture."""
    pixels = np.concatenate([to_uint8(row.float().cpu().numpy()) for row in rows])
    return tile(pixels, columns=len(rows[0]))
