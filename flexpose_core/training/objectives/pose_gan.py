"""First stage of a distilled generator: the mapping network f as a GAN on joint positions."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import sent
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.style_generator import MappingNetwork
from flexpose_core.options.generator import PoseGanOptions
from flexpose_core.rendering.drawn import draw_lines
from flexpose_core.rendering.pictures import tile
from flexpose_core.skeletons import Skeleton
from flexpose_core.streams import StepRandom
from flexpose_core.training.eager import Adam
from flexpose_core.training.loop import set_learning_rate, warmup_linear
from flexpose_core.training.objectives.gan_losses import (
    discriminator_loss,
    generator_loss,
    r1_penalty,
    require_gradients,
)

_BETAS = (0.0, 0.99)
_SHOWN, _COLUMNS, _SIDE = 24, 12, 64


class PoseGanObjective:
    """Non-saturating GAN with lazy R1; poses, (N, K, 2) in 0..1 on the CPU, are drawn with replacement."""

    def __init__(
        self,
        mapping: MappingNetwork,
        discriminator: PoseDiscriminator,
        poses: Tensor,
        skeleton: Skeleton,
        latent_width: int,
        options: PoseGanOptions,
    ) -> None:
        self.mapping, self.discriminator, self.options = mapping, discriminator, options
        self.mixed = False  # a pose's coordinates need more digits
        self.poses, self.skeleton, self.latent_width = poses, skeleton, latent_width
        self.device = next(mapping.parameters()).device
        self.average = AveragedModel(mapping, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        self.networks: dict[str, nn.Module] = {"f": mapping, "discriminator": discriminator, "average": self.average}
        # Layers that the caller froze stay so.
        self.judging = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
        rate = options.learning_rate
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "f": Adam(mapping.parameters(), rate, _BETAS, fused=True),
            "discriminator": Adam(self.judging, rate, _BETAS, fused=True),
        }

    @property
    def averaged(self) -> MappingNetwork:
        """The average over steps, which is what is kept."""
        return cast(MappingNetwork, self.average.module)

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        for optimiser in self.optimisers.values():
            set_learning_rate(optimiser, options.learning_rate * warmup_linear(step, options.steps))
        real = sent(self.poses[random.indices(options.batch, len(self.poses))], self.device)
        with torch.no_grad():
            fake = self.mapping.pose(self._latent(options.batch, random))
        judged = discriminator_loss(self.discriminator(real), self.discriminator(fake))
        loss = judged
        if step % options.r1_interval == 0:
            loss = loss + options.r1_gamma * options.r1_interval * r1_penalty(self.discriminator, real)
        self._update("discriminator", loss)

        require_gradients(self.judging, False)
        generated = generator_loss(self.discriminator(self.mapping.pose(self._latent(options.batch, random))))
        self._update("f", generated)
        require_gradients(self.judging, True)
        self.average.update_parameters(self.mapping)
        return {"discriminator": judged.detach(), "generator": generated.detach()}

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return drawings of poses of the averaged f."""
        z = self._latent(_SHOWN, random)
        with torch.no_grad():
            poses = self.averaged.pose(z).cpu().numpy()
        return tile(draw_lines(poses, self.skeleton, _SIDE), _COLUMNS)

    def _latent(self, count: int, random: StepRandom) -> Tensor:
        return sent(random.normal(count, self.latent_width), self.device)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()
