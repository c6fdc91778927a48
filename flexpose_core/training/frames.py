"""Images without poses, as trainings take them: by row, in the contrast of a detector, each with others of its sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from flexpose_core.devices import sent
from flexpose_core.options.detector import Contrast
from flexpose_core.rendering.contrast import GROUND, local_contrast
from flexpose_core.streams import StepRandom


class Pixels(Protocol):
    """Images (N, 3, S, S) uint8 by row: a tensor, or what decodes them when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Frames:
    """Images without poses, what is known of their backgrounds, each image's row in these, and its sequence (N,)."""

    images: Pixels
    backgrounds: Pixels
    background: Tensor
    sequence: Tensor
    contrast: Contrast = "none"

    def take(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images and backgrounds of these rows, float in -1..1, channels last; of "local" contrast the latter are grey."""
        return in_contrast(_floats(self.images[rows], device), self.scenes(rows, device), self.contrast)

    def scenes(self, rows: Tensor, device: torch.device) -> Tensor:
        """Return the backgrounds of these rows as they are, float in -1..1, channels last."""
        return _floats(self.backgrounds[self.background[rows]], device)


def in_contrast(images: Tensor, backgrounds: Tensor, contrast: Contrast) -> tuple[Tensor, Tensor]:
    """Return images and their backgrounds (B, 3, S, S) in -1..1 as a detector of this contrast sees them."""
    if contrast == "none":
        return images, backgrounds
    images = local_contrast(images, backgrounds).contiguous(memory_format=torch.channels_last)
    return images, torch.full_like(images, GROUND)


class CompanionFrames:
    """For each frame, a frame of the same sequence, uniformly; now and then it is the same one."""

    def __init__(self, sequence: Tensor) -> None:
        _, self.index = sequence.unique(return_inverse=True)
        self.order = torch.argsort(self.index, stable=True)
        self.counts = torch.bincount(self.index)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, rows: Tensor, random: StepRandom) -> Tensor:
        groups = self.index[rows]
        offsets = (random.uniform(len(rows)) * self.counts[groups]).long()
        return self.order[self.starts[groups] + torch.minimum(offsets, self.counts[groups] - 1)]


def _floats(pixels: Tensor, device: torch.device) -> Tensor:
    return sent(pixels, device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
