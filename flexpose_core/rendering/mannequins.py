"""Mannequins: bodies of trunk and limbs in random clothes and light, as sketches."""

from __future__ import annotations

import torch
from torch import Tensor

from flexpose_core.anatomy import Anatomy
from flexpose_core.devices import sent
from flexpose_core.rendering.differentiable import pixel_centres, segments, squared_distance
from flexpose_core.rendering.sketch_parts import Draws, hull

_CLOTHES, _SKIN = (0.45, 0.15), (0.35, 0.1)
"""`Draws.paint` of shirt and trousers each, and of head and bare limbs."""
_LIGHT, _CLOUDS, _NOISE = 0.15, (8, 0.08), 0.03
_THICK, _VARIATION = 0.034, (0.7, 1.4)
"""Half the thickness of an upper arm, in sizes of the pose (its greater extent); times so much, the same for all of a body."""
_LEG, _HEAD, _OUTER = 1.3, 1.7, 0.8
"""Of which thighs and heads are so many times as thick, and forearms and calves so much of upper arms and thighs."""
_TRUNK = (0.018, 0.046)
"""How far the trunk reaches beyond its joints, in sizes of the pose."""
_SLEEVES, _TROUSERS = (0.35, 0.65), (0.0, 0.4)
"""How often upper arms and forearms, thighs and calves are bare; who has bare upper arms has bare forearms."""
_SHARPNESS = 2.5  # of a limb's outline: pixels⁻¹


def draw_mannequins(poses: Tensor, anatomy: Anatomy, scenes: Tensor, draws: Draws) -> Tensor:
    """Return what `sketches.draw_sketches` does: limbs as capsules, the trunk as the hull of its joints, some limbs behind it.

    Which limbs are behind, and in which order all are drawn, is the same in all of a batch.
    """
    x, y = pixel_centres(poses, draws.size)
    light, extent = draws.light(x, _LIGHT) + draws.light(y, _LIGHT), (poses.amax(1) - poses.amin(1)).amax(1)[:, None]
    shirt, trousers, skin = draws.paint(*_CLOTHES), draws.paint(*_CLOTHES), draws.paint(*_SKIN)
    bare = {"arm": draws.uniform(0, 1, 1, 1, 1), "leg": draws.uniform(0, 1, 1, 1, 1)}
    thick = _THICK * draws.uniform(*_VARIATION, 1) * extent
    order = torch.randperm(len(anatomy.chains), generator=draws.random.torch).tolist()
    behind = int(torch.randint(len(order) // 2 + 1, (1,), generator=draws.random.torch))
    capsules = [
        squared_distance(x, y, *limb) for limb in segments(poses, sent(torch.as_tensor(anatomy.limbs), poses.device))
    ]

    def over(image: Tensor, cover: Tensor, paint: Tensor) -> Tensor:
        return image + cover * (paint + light + draws.clouds(*_CLOUDS) - image)

    def with_limb(image: Tensor, chain: tuple[int, ...]) -> Tensor:
        kind = kind_of(chain, anatomy)
        for place, limb in enumerate(chain):
            outer = min(place, 1)
            radius = thick * {"head": _HEAD, "arm": 1.0, "leg": _LEG}[kind] * (_OUTER if outer else 1.0)
            paint = skin
            if kind != "head":
                cloth, share = (shirt, _SLEEVES[outer]) if kind == "arm" else (trousers, _TROUSERS[outer])
                paint = torch.where(bare[kind] < share, skin, cloth)
            cover = torch.sigmoid((radius[..., None] - capsules[limb].sqrt()) * (draws.size * _SHARPNESS))
            image = over(image, cover[:, None], paint)
        return image

    image = scenes
    for place in order[:behind]:
        image = with_limb(image, anatomy.chains[place])
    trunk = poses[:, sent(torch.as_tensor(anatomy.trunk), poses.device)]
    image = over(image, hull(trunk, draws.size, extent * draws.uniform(*_TRUNK, 1)), shirt)
    for place in order[behind:]:
        image = with_limb(image, anatomy.chains[place])
    seen = (image - scenes).abs().amax(1, keepdim=True) > _NOISE
    return (image + seen * _NOISE * draws.normal(3, draws.size, draws.size)).clamp(-1, 1)


def kind_of(chain: tuple[int, ...], anatomy: Anatomy) -> str:
    """Return "head" of a single bone, "leg" of what hangs on a joint beside the trunk's root, "arm" of all else."""
    if len(chain) == 1:
        return "head"
    above = {int(child): int(parent) for parent, child in anatomy.trunk_lines}
    return "leg" if above.get(int(anatomy.limbs[chain[0]][0])) == anatomy.axis[0] else "arm"
