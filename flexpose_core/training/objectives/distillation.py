"""Second stage of a distilled generator: φ ∘ A learns to draw the poses of a given f as α does."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import mixed_precision, sent
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.options.generator import DistillationOptions
from flexpose_core.poses.widening import widen
from flexpose_core.rendering.differentiable import constant, draw_lines
from flexpose_core.rendering.pictures import tile, to_uint8
from flexpose_core.skeletons import Skeleton, skeleton_named
from flexpose_core.streams import StepRandom
from flexpose_core.training.loop import set_learning_rate, warmup_cosine
from flexpose_core.training.optimisers import LINEAR_RATE, adam, convolution_weights, linear_weights, muon, others

OTHERS_RATE = 0.1
_SCALES = (1, 2, 4)
_SHOWN = 12
_TINY = 1e-9
_READING_FROM = 0.5  # share of the steps; β reads nothing from the blurs of the first


def multiscale_error(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Σ_s s · E |pool_s(drawn) - pool_s(wanted)|², s = 1, 2, 4: the pull of coarse scales finds what fine ones draw."""
    difference = drawn - wanted
    return sum((s * F.avg_pool2d(difference, s).square().mean() for s in _SCALES), start=difference.new_zeros(()))


class BoneHeads(nn.Module):
    """One 1 × 1 convolution a resolution, from φ's feature maps to one map a bone; thrown away after the training."""

    def __init__(self, widths: tuple[int, ...], bones: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(width, bones, 1) for width in widths)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        return [head(level) for head, level in zip(self.heads, levels, strict=True)]


def bone_maps(poses: Tensor, skeleton: Skeleton, size: int) -> Tensor:
    """Return exp(-distance to each drawn bone in pixels), (B, bones, size, size), of poses (B, K, 2) in 0..1."""
    ends = constant(skeleton, "bone_ends", poses.device)
    start, along = poses[:, ends[:, 0]], poses[:, ends[:, 1]] - poses[:, ends[:, 0]]
    centres = (torch.arange(size, device=poses.device, dtype=poses.dtype) + 0.5) / size
    (ax, ay), (dx, dy) = (vector[..., None, None].unbind(2) for vector in (start, along))
    x, y = centres.view(1, 1, 1, size) - ax, centres.view(1, 1, size, 1) - ay
    share = ((x * dx + y * dy) / (dx * dx + dy * dy + _TINY)).clamp(0, 1)
    distance = ((x - share * dx) ** 2 + (y - share * dy) ** 2).sqrt()
    return torch.exp(-distance * size)


class DistillationObjective:
    """Lower the error of φ(A(w(p))) against α(p), p = f(z) with z normal, partly widened; f is frozen.

    Beside the image, the feature maps of each resolution are to tell where each bone is: bones that others cover, or that are
    thinner than a pixel, give no other signal at first. Later on, β is to read the pose from the image, as it will from samples.
    """

    def __init__(
        self,
        generator: StyleGenerator,
        heads: BoneHeads,
        regressor: Regressor,
        options: DistillationOptions,
        mixed: bool = True,
    ) -> None:
        self.generator, self.heads, self.regressor = generator, heads, regressor.requires_grad_(False)
        self.options, self.mixed = options, mixed
        self.skeleton = skeleton_named(generator.architecture.skeleton)
        self.device = next(generator.parameters()).device
        generator.f.requires_grad_(False)
        self.average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        self.networks: dict[str, nn.Module] = {"generator": generator, "heads": heads, "average": self.average}
        convolutions = convolution_weights(generator)
        affines = linear_weights(generator.affines)
        rate = options.learning_rate
        self.rates = {"convolutions": rate, "affines": LINEAR_RATE * rate, "others": OTHERS_RATE * rate}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "convolutions": muon(convolutions, self.rates["convolutions"], mixed),
            "affines": muon(affines, self.rates["affines"], mixed),
            "others": adam([*others(generator, convolutions, affines), *heads.parameters()], self.rates["others"]),
        }

    @property
    def averaged(self) -> StyleGenerator:
        """The average over steps, which is what is kept."""
        return cast(StyleGenerator, self.average.module)

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        for name, optimiser in self.optimisers.items():
            set_learning_rate(optimiser, self.rates[name] * warmup_cosine(step, options.steps))
        poses = self._poses(random)
        with mixed_precision(self.device, self.mixed):
            levels = self.generator.hidden(self.generator.styles(self.generator.f.encode(poses)))
            drawn = self.generator.image_of(levels).float()
            found = self.heads(levels)
        wanted = self._wanted(poses)
        loss = multiscale_error(drawn, wanted)
        if options.reading_weight and step >= _READING_FROM * options.steps:
            with mixed_precision(self.device, self.mixed):
                joints = self.regressor(drawn)
            reading = (joints - poses).norm(dim=-1).mean()
            loss = loss + options.reading_weight * reading
        for maps in found:
            loss = loss + options.bone_weight * F.mse_loss(
                maps.float(), bone_maps(poses, self.skeleton, maps.shape[-1])
            )
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.average.update_parameters(self.generator)
        return {"loss": loss.detach(), "squared_error": (drawn.detach() - wanted).square().mean()}

    @torch.no_grad()
    def _poses(self, random: StepRandom) -> Tensor:
        options = self.options
        z = sent(random.normal(options.batch, self.generator.architecture.latent_width), self.device)
        poses = self.generator.pose(z)
        wide = round(options.widened * options.batch)
        widened = widen(poses[:wide], self.skeleton, random.torch, options.widening)
        return torch.cat([widened, poses[wide:]])

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return two rows: what the averaged generator draws, and α's drawings of the same poses."""
        generator = self.averaged
        z = random.normal(_SHOWN, generator.architecture.latent_width)
        with torch.no_grad():
            poses = generator.pose(z.to(self.device))
            images = torch.cat([generator.draw(poses).float(), self._wanted(poses)])
        return tile(to_uint8(images.cpu().numpy()), _SHOWN)

    def _wanted(self, poses: Tensor) -> Tensor:
        architecture = self.generator.architecture
        return draw_lines(poses, self.skeleton, architecture.resolution, architecture.channels)
