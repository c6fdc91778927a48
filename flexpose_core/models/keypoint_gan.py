"""KeypointGAN's networks (Jakab et al. 2020, section 3), compact.

Φ maps an image to a skeleton image, η a skeleton image to keypoints, Ψ a skeleton image and an appearance back to the
image, and a discriminator tells Φ's skeleton images from drawn ones. The background is static and known: Φ sees
how the image differs from it, and Ψ paints a person with an alpha channel over it. Images are in -1..1 and square.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flexpose_core.options.detector import DetectorArchitecture, Widths
from flexpose_core.rendering.contrast import silhouette

_RGB = 3
_NEAR_LEVELS = 2  # of a U-Net: what these see is near
_PERSON_COLOUR_GAIN = 1.1  # tanh times this reaches pure white and black with a gradient left


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class _Rise(nn.Module):
    """Double the resolution: 1 x 1 conv to the finer width and shift (cheapest while still coarse), upsample, add, conv."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(coarse, fine, 1)
        self.mix = _conv(fine, fine)

    def forward(self, x: Tensor, finer: Tensor, shift: Tensor | None = None) -> Tensor:
        x = self.narrow(x)
        if shift is not None:
            x = x + shift[:, :, None, None]
        return self.mix(F.interpolate(x, scale_factor=2, mode="nearest") + finer)


class UNet(nn.Module):
    """An encoder and decoder with additive skips.

    Parameters
    ----------
    inputs, outputs
        Channels.
    widths
        Channels of each level.
    half
        The first level works at half the resolution already, and so does the output.
    """

    def __init__(self, inputs: int, outputs: int, widths: Widths, half: bool = False) -> None:
        super().__init__()
        self.first = _conv(inputs, widths[0], 2, 5) if half else _conv(inputs, widths[0])
        steps = list(pairwise(widths))
        self.falls = nn.ModuleList(_conv(fine, coarse, 2) for fine, coarse in steps)
        self.bottom = _conv(widths[-1], widths[-1])
        self.rises = nn.ModuleList(_Rise(coarse, fine) for fine, coarse in reversed(steps))
        self.last = nn.Conv2d(widths[0], outputs, 3, 1, 1)

    def forward(self, x: Tensor, reach: float = 1.0) -> Tensor:
        """Map images; `reach`, 0..1, is how much of what the levels beyond the second say is heard: at 0 a pixel of the output
        depends on a window of 13 alone, from 6 or 7 pixels before it on, as its place is even or odd (of 14, if the mirrored
        image is seen as well)."""
        levels = [self.first(x)]
        for fall in self.falls:
            levels.append(fall(levels[-1]))
        x = self.bottom(levels.pop())
        for rise in self.rises:
            if reach < 1 and len(levels) == _NEAR_LEVELS:
                x = reach * x
            x = rise(x, levels.pop())
        return self.last(x)


class ImageToSkeleton(nn.Module):
    """Φ (section 3.1): image minus background (B, 3, S, S) to a skeleton image (B, 1, S, S) in -1..1.

    A soft silhouette, computed from the difference, stands beside it: the one feature that people in any clothes share.
    `reach` is that of `UNet.forward`; a training may begin with less than 1.
    """

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        self.net = UNet(_RGB + 1, 1, architecture.image_widths)
        self.reach, self.symmetric = 1.0, architecture.symmetric
        self.apply(_initialise)
        with torch.no_grad():
            self.net.last.weight.mul_(0.3)

    def forward(self, difference: Tensor) -> Tensor:
        x = torch.cat([difference, silhouette(difference)], 1)
        if self.symmetric:
            seen, mirrored = self.net(torch.cat([x, x.flip(3)]), self.reach).float().chunk(2)
            x = (seen + mirrored.flip(3)) / 2
        else:
            x = self.net(x, self.reach).float()
        return torch.tanh(x - 1)  # so as to begin nearly blank


class SkeletonToKeypoints(nn.Module):
    """η (section 3.2): skeleton image (B, 1, S, S) to keypoints (B, K, 2) in 0..1.

    Each keypoint is the mean position under a softmax heat map of half the image's resolution.
    """

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        self.net = UNet(1, architecture.joints, architecture.eta_widths, half=True)
        self.apply(_initialise)

    def forward(self, skeleton_image: Tensor) -> Tensor:
        maps = self.net(skeleton_image).float()
        size = maps.shape[-1]
        heat = maps.flatten(2).softmax(-1).view(maps.shape)
        grid = (torch.arange(size, device=maps.device) + 0.5) / size
        return torch.stack([(heat.sum(2) * grid).sum(-1), (heat.sum(3) * grid).sum(-1)], -1)


class Detector(nn.Module):
    """η after Φ: images and backgrounds (B, 3, S, S) in -1..1 to keypoints (B, K, 2) in 0..1."""

    def __init__(self, phi: ImageToSkeleton, eta: SkeletonToKeypoints) -> None:
        super().__init__()
        self.phi, self.eta = phi, eta

    def forward(self, images: Tensor, backgrounds: Tensor) -> Tensor:
        return self.eta(self.phi(images - backgrounds))


class SkeletonToImage(nn.Module):
    """Ψ (section 3.1): skeleton image, appearance and background to the image.

    The appearance, another frame minus its background, is pooled to a code, so that it cannot carry the pose around the
    bottleneck; the code enters at every level. The person is painted over the background by a predicted alpha.
    """

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        widths = architecture.decoder_widths
        steps = list(pairwise(widths))
        self.skeleton = nn.ModuleList([_conv(1, widths[0]), *(_conv(fine, coarse, 2) for fine, coarse in steps)])
        self.appearance = nn.Sequential(_conv(_RGB, widths[0], 2), *(_conv(fine, coarse, 2) for fine, coarse in steps))
        self.bottom = _conv(2 * widths[-1], widths[-1])
        self.rises = nn.ModuleList(_Rise(coarse, fine) for fine, coarse in reversed(steps))
        self.shifts = nn.ModuleList(nn.Linear(widths[-1], fine) for fine, _ in reversed(steps))
        self.last = nn.Conv2d(widths[0], _RGB + 1, 3, 1, 1)
        self.apply(_initialise)

    def forward(self, skeleton_image: Tensor, appearance: Tensor, background: Tensor) -> Tensor:
        levels = []
        x = skeleton_image
        for fall in self.skeleton:
            x = fall(x)
            levels.append(x)
        code = self.appearance(appearance).mean((2, 3))
        x = levels.pop()
        x = self.bottom(torch.cat([x, code[:, :, None, None].expand_as(x)], 1))
        for rise, shift in zip(self.rises, self.shifts, strict=True):
            x = rise(x, levels.pop(), shift(code))
        painted = self.last(x).float()
        colour = torch.tanh(painted[:, :_RGB]) * _PERSON_COLOUR_GAIN
        alpha = torch.sigmoid(painted[:, _RGB:] - 1)  # so as to begin with the background showing through
        return background + alpha * (colour - background)


class SkeletonDiscriminator(nn.Module):
    """Tell drawn skeleton images from Φ's by patches and as a whole (section 3.3, the image-pose discriminator)."""

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        widths = architecture.discriminator_widths
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for fine, coarse in pairwise(widths):
            # Instance statistics: a sample's score must not depend on its batch, so real and fake may share one.
            layers += [nn.Conv2d(fine, coarse, 4, 2, 1), nn.InstanceNorm2d(coarse), nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.patch = nn.Conv2d(widths[-1], 1, 3, 1, 1)
        side = architecture.size // 2 ** len(widths)
        self.whole = nn.Linear(widths[-1] * side * side, 1)
        self.apply(_initialise)

    def forward(self, skeleton_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patch scores (B, 1, s, s) and the whole image's score (B, 1)."""
        features = self.features(skeleton_image)
        return self.patch(features).float(), self.whole(features.flatten(1)).float()
