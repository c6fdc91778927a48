"""Random geometric changes of poses: the support on which β and φ must be faithful is wider than the source.

A target pose is a source-like hinge structure under other cameras, bodies and framing; so poses are mirrored, their bones are
turned and stretched one by one, and the whole is rotated, sheared, scaled and shifted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flexpose_core.devices import sent
from flexpose_core.options.generator import WideningOptions
from flexpose_core.rendering.differentiable import constant
from flexpose_core.skeletons import Skeleton


def widen(
    poses: Tensor, skeleton: Skeleton, generator: torch.Generator, options: WideningOptions | None = None
) -> Tensor:
    """Return randomly changed poses, each by an amount of its own between none and full.

    Parameters
    ----------
    poses
        (B, K, 2) in 0..1.
    generator
        Where all draws come from, on the CPU whatever the poses' device.
    options
        Spreads; the usual ones if None.

    Returns
    -------
    (B, K, 2) inside the image.
    """
    options = options or WideningOptions()
    count, device = len(poses), poses.device

    def normal(*shape: int) -> Tensor:
        return sent(torch.randn(count, *shape, generator=generator), device)

    def uniform() -> Tensor:
        return sent(torch.rand(count, 1, 1, generator=generator), device)

    poses = _mirror(poses, skeleton, uniform() < options.mirror, uniform() < 0.5)
    amount = uniform()
    edges = len(skeleton.tree)
    turns = normal(edges) * options.bone_angle * amount[..., 0]
    stretches = (normal(edges) * options.bone_length * amount[..., 0]).exp()
    poses = _rehang(poses, skeleton, turns, stretches)
    amount = uniform()
    linear = rotation_matrices(normal() * options.rotation * amount[:, 0, 0])
    linear = linear @ (torch.eye(2, device=device) + normal(2, 2) * options.shear * amount)
    linear = linear * (normal(1, 1) * options.log_scale * amount).exp()
    poses = (poses - 0.5) @ linear.mT + 0.5 + normal(1, 2) * options.shift * amount
    return keep_inside(poses + normal(len(skeleton), 2) * options.jitter * uniform(), options.margin)


def rotation_matrices(angles: Tensor) -> Tensor:
    """Return the rotations (B, 2, 2) by these angles (B,) in radians."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))


def keep_inside(poses: Tensor, margin: float) -> Tensor:
    """Shrink poses that are too large and move all inside [margin, 1 - margin]; others are left as they are."""
    low, high = poses.amin(1, keepdim=True), poses.amax(1, keepdim=True)
    centre = (low + high) / 2
    shrink = ((high - low).amax(2, keepdim=True) / (1 - 2 * margin)).clamp(min=1)
    poses = (poses - centre) / shrink + centre
    low, high = poses.amin(1, keepdim=True), poses.amax(1, keepdim=True)
    return poses + (margin - low).clamp(min=0) + (1 - margin - high).clamp(max=0)


def _mirror(poses: Tensor, skeleton: Skeleton, chosen: Tensor, labels_kept: Tensor) -> Tensor:
    mirrored = torch.stack([1 - poses[..., 0], poses[..., 1]], dim=-1)
    swapped = mirrored[:, constant(skeleton, "flip_permutation", poses.device)]
    return torch.where(chosen, torch.where(labels_kept, mirrored, swapped), poses)


def _rehang(poses: Tensor, skeleton: Skeleton, turns: Tensor, stretches: Tensor) -> Tensor:
    """Turn and stretch each edge of the tree, (B, K - 1) each, and hang the joints anew from the root."""
    edges = constant(skeleton, "tree_ends", poses.device)
    vectors = poses[:, edges[:, 1]] - poses[:, edges[:, 0]]
    cos, sin = turns.cos() * stretches, turns.sin() * stretches
    x, y = vectors.unbind(-1)
    vectors = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
    joints = list(poses.unbind(1))
    for number, (parent, child) in enumerate(skeleton.tree_ends.tolist()):
        joints[child] = joints[parent] + vectors[:, number]
    return torch.stack(joints, dim=1)
