"""Training of β: positions from disturbed drawings of widened source poses (paper, section 3.4)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flexpose_core.devices import mixed_precision, sent
from flexpose_core.models.regressor import Regressor, soft_argmax
from flexpose_core.options.generator import RegressionOptions
from flexpose_core.poses.widening import keep_inside, widen
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import tile, to_uint8
from flexpose_core.skeletons import skeleton_named
from flexpose_core.streams import StepRandom
from flexpose_core.training.loop import set_learning_rate, warmup_cosine
from flexpose_core.training.optimisers import adam, convolution_weights, muon, others

OTHERS_RATE = 0.03
_SQUARE_WEIGHT = 3.0  # of the squared beside the absolute error: far misses cost more
_SHOWN = 12


def disturb(images: Tensor, strength: float, random: StepRandom) -> Tensor:
    """Blur, dim, stain and roughen images (B, C, S, S) in -1..1, as a generator's are, each by an amount of its own."""
    count, channels, size, _ = images.shape

    def share(of: float) -> Tensor:
        """Amounts in 0..strength for this share of the images, 0 for the others."""
        return strength * random.uniform(count, 1, 1, 1) * (random.uniform(count, 1, 1, 1) < of)

    blurred = images
    for _ in range(2):
        blurred = F.avg_pool2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = torch.lerp(images, blurred, sent((0.9 * share(0.4)).clamp(max=1), images.device))
    gain = 1 - 0.25 * share(0.5) + 0.08 * strength * random.normal(count, channels, 1, 1)
    stain = (
        F.interpolate(random.normal(count, channels, 8, 8), size=size, mode="bilinear", align_corners=False)
        * 0.2
        * share(0.4)
    )
    noise = random.noise(*images.shape, on=images.device) * 0.15 * sent(share(1.0), images.device)
    return (images + 1) * sent(gain, images.device) - 1 + (sent(stain, images.device) + noise)


def heat_cross_entropy(heat: Tensor, poses: Tensor) -> Tensor:
    """Return the cross-entropy of softmax(heat), logits (B, K, H, W), with each joint spread over the four nearest places.

    The spread is bilinear: its mean is the joint itself, so that the soft-argmax of the optimum has no bias.
    """
    height, width = heat.shape[2:]
    centres_x, centres_y = (torch.arange(n, device=heat.device) + 0.5 for n in (width, height))
    # A joint beyond the outermost centres belongs to these.
    x = (poses[..., 0, None] * width).clamp(0.5, width - 0.5)
    y = (poses[..., 1, None] * height).clamp(0.5, height - 0.5)
    across, down = ((1 - (place - centres).abs()).clamp(min=0) for place, centres in ((x, centres_x), (y, centres_y)))
    target = down[..., :, None] * across[..., None, :]
    return -(target * heat.flatten(2).log_softmax(2).view_as(heat)).sum((2, 3)).mean()


class RegressionObjective:
    """Regress joint positions; poses, (N, K, 2) in 0..1 on the CPU, are drawn with replacement."""

    def __init__(self, regressor: Regressor, poses: Tensor, options: RegressionOptions, mixed: bool = True) -> None:
        self.regressor, self.poses, self.options, self.mixed = regressor, poses, options, mixed
        self.skeleton = skeleton_named(regressor.architecture.skeleton)
        self.device = next(regressor.parameters()).device
        convolutions = convolution_weights(regressor)
        self.networks: dict[str, nn.Module] = {"regressor": regressor}
        self.rates = {"convolutions": options.learning_rate, "others": OTHERS_RATE * options.learning_rate}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "convolutions": muon(convolutions, self.rates["convolutions"], mixed),
            "others": adam(others(regressor, convolutions), self.rates["others"]),
        }

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        for name, optimiser in self.optimisers.items():
            set_learning_rate(optimiser, self.rates[name] * warmup_cosine(step, options.steps))
        poses = self.poses[random.indices(options.batch, len(self.poses))]
        wide = round(options.widened * options.batch)
        poses = torch.cat([widen(poses[:wide], self.skeleton, random.torch, options.widening), poses[wide:]])
        poses = sent(keep_inside(poses, 0.0), self.device)
        images = disturb(self._draw(poses), options.disturbance, random).contiguous(memory_format=torch.channels_last)
        with mixed_precision(self.device, self.mixed):
            heat = self.regressor.heat_maps(images)
        error = soft_argmax(heat) - poses
        loss = error.abs().mean() + _SQUARE_WEIGHT * error.square().mean()
        loss = loss + options.heat_weight * heat_cross_entropy(heat, poses)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {"loss": loss.detach(), "error": error.detach().norm(dim=-1).mean()}

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return two rows: drawings of poses, and drawings of what β reads from them."""
        poses = self.poses[:: max(1, len(self.poses) // _SHOWN)][:_SHOWN].to(self.device)
        images = self._draw(poses)
        with torch.no_grad():
            again = self._draw(self.regressor(images.contiguous(memory_format=torch.channels_last)))
        return tile(to_uint8(torch.cat([images, again]).cpu().numpy()), len(poses))

    def _draw(self, poses: Tensor) -> Tensor:
        architecture = self.regressor.architecture
        return draw_lines(poses, self.skeleton, architecture.resolution, architecture.channels)
