"""The paper's training of g_s: a GAN on skeleton images (section 3.2; losses of Karras et al. 2020)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core.devices import mixed_precision, sent
from flexpose_core.models.discriminator import ImageDiscriminator
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.options.generator import AdversarialOptions
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import tile, to_uint8
from flexpose_core.skeletons import skeleton_named
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
_SHOWN, _COLUMNS = 24, 12


class AdversarialObjective:
    """Non-saturating GAN with lazy R1; poses, (N, K, 2) in 0..1 on the CPU, are drawn with replacement."""

    def __init__(
        self,
        generator: StyleGenerator,
        discriminator: ImageDiscriminator,
        poses: Tensor,
        options: AdversarialOptions,
        mixed: bool = True,
    ) -> None:
        self.generator, self.discriminator, self.poses, self.options, self.mixed = (
            generator, discriminator, poses, options, mixed,
        )  # fmt: skip
        self.skeleton = skeleton_named(generator.architecture.skeleton)
        self.device = next(generator.parameters()).device
        self.average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(options.average))
        self.networks: dict[str, nn.Module] = {
            "generator": generator, "discriminator": discriminator, "average": self.average,
        }  # fmt: skip
        self.rates = {"generator": options.generator_rate, "discriminator": options.discriminator_rate}
        # Layers that the caller froze stay so.
        self.judging = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
        learning = {"generator": list(generator.parameters()), "discriminator": self.judging}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: Adam(learning[name], rate, _BETAS, fused=True) for name, rate in self.rates.items()
        }

    @property
    def averaged(self) -> StyleGenerator:
        """The average over steps, which is what is kept."""
        return cast(StyleGenerator, self.average.module)

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        options = self.options
        for name, optimiser in self.optimisers.items():
            set_learning_rate(optimiser, self.rates[name] * warmup_linear(step, options.steps))
        with torch.no_grad():
            real = self._draw(sent(self.poses[random.indices(options.batch, len(self.poses))], self.device))
        with mixed_precision(self.device, self.mixed):
            with torch.no_grad():
                fake = self.generator(self._latent(random))
            judged = discriminator_loss(self.discriminator(real), self.discriminator(fake))
        loss = judged
        if step % options.r1_interval == 0:
            loss = loss + options.r1_gamma * options.r1_interval * r1_penalty(self.discriminator, real)
        self._update("discriminator", loss)

        require_gradients(self.judging, False)
        with mixed_precision(self.device, self.mixed):
            generated = generator_loss(self.discriminator(self.generator(self._latent(random))))
        self._update("generator", generated)
        require_gradients(self.judging, True)
        self.average.update_parameters(self.generator)
        return {"discriminator": judged.detach(), "generator": generated.detach()}

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return images of the averaged generator."""
        generator = self.averaged
        z = random.normal(_SHOWN, generator.architecture.latent_width)
        with torch.no_grad():
            images = generator(z.to(self.device)).float()
        return tile(to_uint8(images.cpu().numpy()), _COLUMNS)

    def _draw(self, poses: Tensor) -> Tensor:
        architecture = self.generator.architecture
        images = draw_lines(poses, self.skeleton, architecture.resolution, architecture.channels)
        return images.contiguous(memory_format=torch.channels_last)

    def _latent(self, random: StepRandom) -> Tensor:
        return sent(random.normal(self.options.batch, self.generator.architecture.latent_width), self.device)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()
