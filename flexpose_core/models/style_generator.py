"""The skeleton image generator g = φ ∘ A ∘ f (paper, Eq. 3), style-based after Karras et al. 2019 and 2020.

A latent code z goes through the mapping network f to w, through one learned affine A_l a layer to the style codes, and the
synthesis network φ draws the image: a learned constant, two style-modulated convolutions a resolution, and the sum of one
to-image output a resolution. The transfer function τ of Eq. 4 acts on the style codes, τ ∘ A; it may also act on the outputs of
f's layers.

f comes in two kinds. "mlp" is StyleGAN's: w is the last hidden layer. "pose" ends in 2K numbers, a pose, and w is a set of fixed
Fourier features of it, so that f can be learned as a GAN on joint positions and φ ∘ A by distillation from α.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flexpose_core.errors import ConfigError
from flexpose_core.models.convolution import EqualisedConvolution, EqualisedLinear
from flexpose_core.options.generator import COARSEST, LAYERS_PER_RESOLUTION, GeneratorArchitecture
from flexpose_core.skeletons import skeleton_named

__all__ = ["KIND", "Adapter", "GeneratorArchitecture", "MappingNetwork", "StyleGenerator", "fourier_features"]

KIND = "style_generator"
# The pose network's last layer counts in these units from the image's centre, so that its numbers have about unit variance.
POSE_CENTRE, POSE_UNIT = 0.5, 0.15
_SLOPE = 0.2
# Keeps the variance through a leaky ReLU (Karras et al. 2020), where that is needed: a network learned by distillation is told
# what to draw and finds its scales by itself, one that a discriminator alone tells fades to a constant by the last layer.
_GAIN = math.sqrt(2)
_MAPPING_RATE = 0.01
_TINY = 1e-8


class Adapter(Protocol):
    """τ (Eq. 4 and 6) or another adapter: what `StyleGenerator` asks of it; layers are counted from 1."""

    def mapping(self, layer: int, hidden: Tensor) -> Tensor:
        """Transform the (B, width) output of layer `layer` of the mapping network."""

    def style(self, layer: int, style: Tensor, w: Tensor) -> Tensor:
        """Transform the (B, width) output of A_l, l = `layer`, given its input w."""


def fourier_features(values: Tensor, octaves: int) -> Tensor:
    """Return sin and cos of π 2^k v for k < octaves: (B, n) -> (B, 2 n octaves) (Tancik et al. 2020)."""
    angles = (
        values[..., None] * (math.pi * 2.0 ** torch.arange(octaves, device=values.device, dtype=values.dtype))
    ).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def normalise(z: Tensor) -> Tensor:
    """Scale each latent code to unit mean square (Karras et al. 2018, pixelwise feature vector normalisation)."""
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + _TINY)


class MappingNetwork(nn.Module):
    """f: latent codes to w, both kinds."""

    def __init__(self, architecture: GeneratorArchitecture) -> None:
        super().__init__()
        self.kind = architecture.mapping
        self.octaves = architecture.octaves
        self.joints = len(skeleton_named(architecture.skeleton))
        widths = architecture.mapping_widths
        if self.kind == "pose":
            widths = (*widths, 2 * self.joints)
        self.widths = widths
        self.layers = nn.ModuleList(
            nn.Linear(a, b) if self.kind == "pose" else EqualisedLinear(a, b, rate=_MAPPING_RATE)
            for a, b in pairwise((architecture.latent_width, *widths))
        )
        self.width_of_w = 2 * self.octaves * widths[-1] if self.kind == "pose" else widths[-1]

    def hidden(self, z: Tensor, adapter: Adapter | None) -> Tensor:
        """Return the output of the last layer, each layer's output given to τ."""
        # In full precision also under autocast: a pose's coordinates would be multiples of 1/256, half a pixel of 128.
        with torch.autocast(z.device.type, enabled=False):
            hidden = normalise(z) if self.kind == "mlp" else z
            for number, layer in enumerate(self.layers, start=1):
                hidden = layer(hidden)
                if self.kind == "mlp" or number < len(self.layers):
                    hidden = F.leaky_relu(hidden, _SLOPE)
                    if self.kind == "mlp":
                        hidden = hidden * _GAIN
                if adapter is not None:
                    hidden = adapter.mapping(number, hidden)
        return hidden

    def pose(self, z: Tensor, adapter: Adapter | None = None) -> Tensor:
        """Return the pose (B, K, 2) in 0..1 that z stands for; kind "pose" only."""
        if self.kind != "pose":
            raise ConfigError(f"generator: expected a mapping network of kind 'pose', found {self.kind!r}")
        return (self.hidden(z, adapter) * POSE_UNIT + POSE_CENTRE).unflatten(1, (self.joints, 2))

    def encode(self, poses: Tensor) -> Tensor:
        """Return w of given poses (B, K, 2); kind "pose" only."""
        return fourier_features(poses.flatten(1), self.octaves)

    def forward(self, z: Tensor, adapter: Adapter | None = None) -> Tensor:
        return self.encode(self.pose(z, adapter)) if self.kind == "pose" else self.hidden(z, adapter)


class StyledConvolution(nn.Module):
    """A 3 × 3 convolution with weights w'_oi = s_i w_oi / |s w_o| (Karras et al. 2020, Eq. 1 and 3).

    The input is scaled by s and the output by 1 / |s w_o| instead of the weights, which is the same and lets one plain
    convolution serve the whole batch. There is no noise input: all of the image is to be explained by the style codes.

    Parameters
    ----------
    gain
        On the output.
    """

    def __init__(self, inputs: int, outputs: int, upsample: bool, gain: float = 1.0) -> None:
        super().__init__()
        self.inputs, self.upsample, self.gain = inputs, upsample, gain
        self.convolution = EqualisedConvolution(inputs, outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.convolution.kernel()
        with torch.autocast(x.device.type, enabled=False):
            demodulation = torch.rsqrt(style.square() @ weight.square().sum((2, 3)).t() + _TINY)
        # Before there are four times as many pixels, which changes nothing but the rounding.
        # Rounded once, so that a small change of the style is not lost.
        x = (x * style[:, :, None, None]).to(x.dtype)
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.conv2d(x, weight.to(x.dtype), padding=1)
        # The type of what the convolution made, not of what it was given: under autocast only the constant is in single precision.
        x = x * demodulation[:, :, None, None].to(x.dtype)
        x = F.leaky_relu(x + self.convolution.bias[:, None, None].to(x.dtype), _SLOPE)
        return x if self.gain == 1 else x * self.gain


def _style_affine(inputs: int, outputs: int, equalised: bool) -> nn.Module:
    """Return A_l; style codes start about 1, which modulates nothing (Karras et al. 2019, appendix C)."""
    if equalised:
        return EqualisedLinear(inputs, outputs, bias=1.0)
    affine = nn.Linear(inputs, outputs)
    nn.init.normal_(affine.weight, std=1 / math.sqrt(inputs))
    nn.init.ones_(affine.bias)
    return affine


class StyleGenerator(nn.Module):
    """g: latent codes to skeleton images, with every stage between them open to τ.

    Attributes
    ----------
    style_widths
        Width of each style layer's code, the output of A_l; layer 1 is the coarsest.
    mapping_widths
        Width of the output of each layer of f; for kind "pose" the last is 2K: a pose about the image's centre.
    """

    def __init__(self, architecture: GeneratorArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.synthesis_widths
        self.f = MappingNetwork(architecture)
        as_stylegan = architecture.mapping == "mlp"
        gain = _GAIN if as_stylegan else 1.0
        self.constant = nn.Parameter(torch.randn(1, widths[0], COARSEST, COARSEST))
        layers = []
        for level, width in enumerate(widths):
            coarser = widths[max(level - 1, 0)]
            layers += [
                StyledConvolution(coarser, width, level > 0, gain),
                StyledConvolution(width, width, False, gain),
            ]
        self.layers = nn.ModuleList(layers)
        self.style_widths = tuple(layer.inputs for layer in layers)
        self.mapping_widths = self.f.widths
        self.affines = nn.ModuleList(
            _style_affine(self.f.width_of_w, width, as_stylegan) for width in self.style_widths
        )
        self.to_image = nn.ModuleList(nn.Conv2d(width, architecture.channels, 1) for width in widths)

    def map(self, z: Tensor, adapter: Adapter | None = None) -> Tensor:
        """Return w = f(z), (B, width of w), of latent codes (B, latent_width)."""
        return self.f(z, adapter)

    def pose(self, z: Tensor, adapter: Adapter | None = None) -> Tensor:
        """Return the pose (B, K, 2) in 0..1 that f gives z; kind "pose" only, else ConfigError."""
        return self.f.pose(z, adapter)

    def styles(self, w: Tensor, adapter: Adapter | None = None) -> list[Tensor]:
        """Return the style codes τ_l(A_l(w)), one (B, style_widths[l - 1]) a layer."""
        # In full precision also under autocast, or the small steps that τ leaves I by would be lost to rounding.
        with torch.autocast(w.device.type, enabled=False):
            codes = [affine(w) for affine in self.affines]
            if adapter is not None:
                codes = [adapter.style(layer, code, w) for layer, code in enumerate(codes, start=1)]
        return codes

    def synthesize(self, styles: list[Tensor]) -> Tensor:
        """Return φ(styles): images (B, channels, S, S), -1..1 but for the network's error."""
        return self.image_of(self.hidden(styles))

    def hidden(self, styles: list[Tensor]) -> list[Tensor]:
        """Return φ's feature maps after the last layer of each resolution, coarsest first."""
        x = self.constant.expand(len(styles[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        levels = []
        for number, (layer, style) in enumerate(zip(self.layers, styles, strict=True), start=1):
            x = layer(x, style)
            if number % LAYERS_PER_RESOLUTION == 0:
                levels.append(x)
        return levels

    def image_of(self, levels: list[Tensor]) -> Tensor:
        """Return the sum of the to-image outputs of all resolutions (Karras et al. 2020, Figure 7b)."""
        image = self.to_image[0](levels[0])
        for to_image, level in zip(self.to_image[1:], levels[1:], strict=True):
            image = to_image(level) + F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        return image

    def draw(self, poses: Tensor) -> Tensor:
        """Return images φ(A(w)) of given poses (B, K, 2) in 0..1; kind "pose" only."""
        return self.synthesize(self.styles(self.f.encode(poses)))

    def forward(self, z: Tensor, adapter: Adapter | None = None) -> Tensor:
        """Return images g(z); with `adapter`, of the target domain: φ(τ(A(f(z)))) (Eq. 4)."""
        return self.synthesize(self.styles(self.map(z, adapter), adapter))
