"""β: skeleton images back to joint positions (paper, section 3.4); a small U-Net with one soft-argmaxed heat map a joint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flexpose_core.models.convolution import EqualisedConvolution
from flexpose_core.options.generator import TRUNK, RegressorArchitecture
from flexpose_core.skeletons import skeleton_named

__all__ = ["KIND", "Regressor", "RegressorArchitecture", "soft_argmax"]

KIND = "regressor"
_SLOPE = 0.1
_SHARPNESS = 3.0  # of the heat maps before training


def soft_argmax(heat: Tensor) -> Tensor:
    """Return the mean position (B, K, 2) in 0..1 under softmax(heat), heat (B, K, H, W)."""
    height, width = heat.shape[2:]
    weight = heat.flatten(2).softmax(2).unflatten(2, (height, width))
    x = (torch.arange(width, dtype=heat.dtype, device=heat.device) + 0.5) / width
    y = (torch.arange(height, dtype=heat.dtype, device=heat.device) + 0.5) / height
    # In full precision also under autocast: in bfloat16 positions are multiples of 1/256, half a pixel of 128.
    with torch.autocast(heat.device.type, enabled=False):
        return torch.stack([weight.sum(2) @ x, weight.sum(3) @ y], dim=-1)


class Regressor(nn.Module):
    """β: images (B, channels, S, S) in -1..1 to poses (B, K, 2) in 0..1."""

    def __init__(self, architecture: RegressorArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        joints, c = len(skeleton_named(architecture.skeleton)), architecture.width
        self.fold = max(1, architecture.resolution // TRUNK)

        self.stem = EqualisedConvolution(architecture.channels * self.fold**2, c)
        self.down = nn.ModuleList(
            [
                EqualisedConvolution(c, 2 * c, 2),
                EqualisedConvolution(2 * c, 3 * c, 2),
                EqualisedConvolution(3 * c, 3 * c, 2),
            ]
        )
        self.bottom = EqualisedConvolution(3 * c, 3 * c)
        self.up = nn.ModuleList([EqualisedConvolution(6 * c, 3 * c), EqualisedConvolution(5 * c, 2 * c)])
        self.heat = nn.Conv2d(2 * c, joints, 1)
        self.sharpness = nn.Parameter(torch.tensor(_SHARPNESS))

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the encoder's feature maps, finest first: at 1/2, 1/4 and 1/8 of the folded image."""
        x = F.leaky_relu(self.stem(F.pixel_unshuffle(images, self.fold)), _SLOPE)
        levels = []
        for layer in self.down:
            x = F.leaky_relu(layer(x), _SLOPE)
            levels.append(x)
        levels[-1] = F.leaky_relu(self.bottom(x), _SLOPE)
        return levels

    def heat_maps(self, images: Tensor) -> Tensor:
        """Return the logits (B, K, H, W), float32, whose soft-argmax is the pose."""
        fine, middle, x = self.features(images)
        for layer, level in zip(self.up, (middle, fine), strict=True):
            x = F.leaky_relu(layer(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), level], dim=1)), _SLOPE)
        # In full precision also under autocast: rounded logits move positions by a tenth of a pixel.
        with torch.autocast(x.device.type, enabled=False):
            return self.heat(x.to(self.heat.weight.dtype)) * self.sharpness

    def forward(self, images: Tensor) -> Tensor:
        return soft_argmax(self.heat_maps(images))
