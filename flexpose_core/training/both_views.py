"""What a detector finds in images, seen as they are and mirrored."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from flexpose_core.devices import single_precision
from flexpose_core.skeletons import Skeleton
from flexpose_core.training.frames import Frames

_BATCH = 256


@torch.no_grad()
def found_in_both_views(
    detector: nn.Module, frames: Frames, rows: np.ndarray, skeleton: Skeleton, device: torch.device
) -> np.ndarray:
    """Return the mean of what is found in each image and in its mirror image, mirrored back: (n, K, 2) float32 in 0..1."""
    batches = torch.from_numpy(rows).split(_BATCH)
    # Taking the frames too: their contrast is made by convolutions.
    with single_precision():
        return np.concatenate([mean_of_views(detector, *frames.take(some, device), skeleton) for some in batches])


@torch.no_grad()
def mean_of_views(detector: nn.Module, images: Tensor, backgrounds: Tensor, skeleton: Skeleton) -> np.ndarray:
    """Return the mean of what is found in images and in their mirror images, mirrored back: (n, K, 2) float32 in 0..1.

    In single precision, as `stages.evaluate.predict` measures.

    Parameters
    ----------
    images, backgrounds
        (n, 3, S, S) as the detector sees them.
    """
    detector.eval()
    flip = torch.as_tensor(skeleton.flip_permutation, device=images.device)
    with single_precision():
        found, mirrored = detector(images, backgrounds), detector(images.flip(3), backgrounds.flip(3))[:, flip]
    mirrored = torch.stack([1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)
    return ((found + mirrored) / 2).cpu().numpy()
