"""The discriminator on joint positions with which a "pose" mapping network is learned."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flexpose_core.skeletons import Skeleton

# Positions from the image's centre and bones as vectors, both brought to about unit variance.
_POSITION_SCALE, _BONE_SCALE = 4.0, 8.0
_SLOPE = 0.2


class PoseDiscriminator(nn.Module):
    """Judge poses (B, K, 2) in 0..1 by their joints and their bones; returns logits (B,)."""

    bones: Tensor

    def __init__(self, skeleton: Skeleton, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.register_buffer("bones", torch.as_tensor(skeleton.tree_ends))
        inputs = 2 * (len(skeleton) + len(skeleton.tree))
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *[width] * depth]))
        self.logit = nn.Linear(width, 1)

    @property
    def lower_layers(self) -> list[nn.Module]:
        """All layers but the last, from the input on."""
        return list(self.hidden)

    def forward(self, poses: Tensor) -> Tensor:
        vectors = poses[:, self.bones[:, 1]] - poses[:, self.bones[:, 0]]
        x = torch.cat([(poses - 0.5).flatten(1) * _POSITION_SCALE, vectors.flatten(1) * _BONE_SCALE], dim=1)
        for layer in self.hidden:
            x = F.leaky_relu(layer(x), _SLOPE)
        return self.logit(x).squeeze(1)
