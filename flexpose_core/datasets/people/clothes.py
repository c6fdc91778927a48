"""Clothes, skin and hair: a body's mesh cut along hems and hairlines, with one colour a face.

Borders are level sets of smooth functions of the rest pose. Cutting the faces along them keeps hems straight, which colouring
whole faces of a coarse mesh would not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from flexpose_core.datasets.drawing.mesh import Mesh, cut, vertex_normals
from flexpose_core.datasets.people.body import Body, body_of_subject
from flexpose_core.errors import ConfigError

Colour = tuple[int, int, int]
EYE_SHADE = 0.62  # eyes are darker than the skin; at 64 px they are a pixel wide


@dataclass(frozen=True)
class Outfit:
    """Colours (RGB 0..255) and cut of one person's clothes. Lengths are fractions of the limb from its upper end."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    sleeve: float  # 0.5 ends above the elbow, 1 at it, 1.9 near the wrist
    leg: float  # 0.75 ends above the knee, 1.9 near the ankle
    stripe: Colour | None = None
    hairline: float = 0.5  # height of the hair's front edge, from the eyes (0) to the crown (1)
    nape: float = 0.5  # how far below the eyes the hair ends behind, in the same unit


OUTFITS = (
    Outfit((224, 172, 140), (60, 40, 25), (172, 46, 48), (44, 56, 92), (38, 36, 36), 0.55, 1.9),
    Outfit((240, 203, 178), (196, 160, 96), (72, 130, 100), (66, 66, 72), (205, 202, 196), 1.9, 1.9, nape=1.8),
    Outfit((112, 74, 50), (22, 18, 16), (222, 194, 92), (84, 92, 70), (92, 58, 38), 0.6, 0.8),
    Outfit(
        (156, 106, 76), (30, 22, 18), (112, 72, 132), (42, 42, 48), (196, 74, 72), 1.9, 0.85, (190, 168, 202), nape=1.6
    ),
    Outfit(
        (235, 192, 164), (138, 78, 38), (72, 124, 190), (192, 174, 138), (232, 232, 228), 0.6, 0.75, (226, 226, 222)
    ),
    Outfit((206, 156, 124), (172, 170, 168), (216, 214, 206), (112, 84, 62), (62, 58, 56), 1.9, 1.9, hairline=0.8),
    Outfit((198, 142, 106), (36, 26, 22), (206, 108, 74), (58, 78, 104), (240, 238, 232), 0.5, 1.9, nape=1.5),
    Outfit((84, 56, 40), (18, 15, 14), (92, 108, 88), (128, 122, 112), (48, 44, 44), 1.9, 1.9, (58, 72, 60)),
    Outfit((232, 186, 152), (92, 62, 38), (58, 62, 74), (126, 104, 74), (86, 60, 44), 0.6, 1.9),
    Outfit(
        (128, 88, 62), (26, 20, 18), (60, 118, 128), (176, 168, 156), (120, 48, 60), 0.9, 0.9, (204, 208, 202), nape=1.7
    ),
)


@dataclass(frozen=True)
class DressedBody:
    """A body ready to be drawn: its mesh, unit normals (V, 3) at rest, and a colour (T, 3) float32 of each face."""

    body: Body
    mesh: Mesh
    normals: np.ndarray
    colours: np.ndarray


class _Tailor:
    """The places of one body at rest that clothes are cut by; all `level_` functions are positive on the bare side."""

    def __init__(self, body: Body, outfit: Outfit) -> None:
        self.body, self.outfit = body, outfit
        self.eyes = (body.head_of("eye.L") + body.head_of("eye.R")) / 2
        self.crown = float(body.vertices[:, 2].max() - self.eyes[2])  # the unit of hair lengths

    def region(self, mesh: Mesh, *stems: str) -> np.ndarray:
        """Faces (T,) that bones of these stems carry, with at least half of the weight."""
        labels = self.body.rig.labels
        columns = [index for index, label in enumerate(labels) if label.startswith(stems)]
        return mesh.weights[:, columns].sum(axis=1)[mesh.faces].mean(axis=1) > 0.5

    def along(self, points: np.ndarray, upper: str, lower: str, end: str, reach: float) -> np.ndarray:
        """Distance (n,) beyond the hem that lies `reach` along a limb of two bones (1 at its middle joint)."""
        labels = (upper, lower) if reach <= 1 else (lower, end)
        start, stop = (self.body.head_of(label) for label in labels)
        axis = stop - start
        part = reach if reach <= 1 else reach - 1
        return (points - start - part * axis) @ axis / np.linalg.norm(axis)

    def sleeve(self, points: np.ndarray, side: str) -> np.ndarray:
        return self.along(points, f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}", self.outfit.sleeve)

    def trouser_leg(self, points: np.ndarray, side: str) -> np.ndarray:
        return self.along(points, f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}", self.outfit.leg)

    def waist(self, points: np.ndarray) -> np.ndarray:
        hips, chest = self.body.head_of("upperleg01.L")[2], self.body.head_of("spine01")[2]
        return points[:, 2] - (hips + 0.3 * (chest - hips))

    def collar(self, points: np.ndarray) -> np.ndarray:
        nape = self.body.head_of("neck01")
        return points[:, 2] - nape[2] + 0.45 * (nape[1] - points[:, 1]) - 0.045

    def shoe(self, points: np.ndarray) -> np.ndarray:
        ankle, sole = self.body.head_of("foot.L")[2], self.body.vertices[:, 2].min()
        return points[:, 2] - (sole + 1.1 * (ankle - sole))

    def hair(self, points: np.ndarray) -> np.ndarray:
        """Positive in the hair: over the forehead, or behind the ears down to the nape."""
        up = (points[:, 2] - self.eyes[2]) / self.crown
        back = (points[:, 1] - self.eyes[1]) / self.crown
        temple = np.minimum(back - 0.75 - 0.2 * (up < 0), up + self.outfit.nape)
        return np.maximum(up - self.outfit.hairline - 0.25 * np.maximum(0.3 - back, 0), temple)

    def stripes(self) -> np.ndarray:
        """Heights of the edges of horizontal stripes across the shirt, from the waist up."""
        low = self.body.vertices[:, 2].min()
        return np.arange(low, low + 2.2, 0.1)


HEAD = ("head", "eye", "neck")
ARM = ("upperarm", "lowerarm")
HAND = ("wrist", "finger", "metacarpal")
LEG = ("upperleg", "lowerleg")
FOOT = ("foot", "toe")
TRUNK = ("root", "pelvis", "spine", "clavicle", "shoulder01")


@cache
def dress(subject: int) -> DressedBody:
    """Return a subject's body in its clothes; raises ConfigError when there is no such subject."""
    body = body_of_subject(subject)
    if subject >= len(OUTFITS):
        raise ConfigError(f"people: expected a subject in 0..{len(OUTFITS) - 1}, found {subject}")
    tailor = _Tailor(body, OUTFITS[subject])
    mesh = _cut_all(Mesh(body.vertices, body.rig.weights, body.rig.faces), tailor)
    colours = _colour_faces(mesh, tailor)
    mesh = _thicken_hair(mesh, tailor)
    return DressedBody(body, mesh, vertex_normals(mesh), colours)


def _cut_all(mesh: Mesh, tailor: _Tailor) -> Mesh:
    for side in "LR":
        mesh = cut(mesh, tailor.sleeve(mesh.vertices, side), tailor.region(mesh, *ARM, *HAND) & _on_side(mesh, side))
        mesh = cut(
            mesh, tailor.trouser_leg(mesh.vertices, side), tailor.region(mesh, *LEG, *FOOT) & _on_side(mesh, side)
        )
    mesh = cut(mesh, tailor.shoe(mesh.vertices), tailor.region(mesh, *LEG, *FOOT))
    mesh = cut(mesh, tailor.waist(mesh.vertices), tailor.region(mesh, *TRUNK, *LEG))
    mesh = cut(mesh, tailor.collar(mesh.vertices), tailor.region(mesh, *TRUNK, *HEAD))
    mesh = cut(mesh, tailor.hair(mesh.vertices), tailor.region(mesh, *TRUNK, *HEAD))
    if tailor.outfit.stripe is not None:
        for height in tailor.stripes():
            mesh = cut(mesh, mesh.vertices[:, 2] - height, tailor.region(mesh, *TRUNK, *ARM))
    return mesh


def _on_side(mesh: Mesh, side: str) -> np.ndarray:
    left = mesh.vertices[mesh.faces, 0].mean(axis=1) > 0
    return left if side == "L" else ~left


def _colour_faces(mesh: Mesh, tailor: _Tailor) -> np.ndarray:
    outfit = tailor.outfit
    middle = mesh.vertices[mesh.faces].mean(axis=1)
    colours = np.empty((len(mesh.faces), 3), np.float32)
    colours[:] = outfit.skin
    trunk, arm = tailor.region(mesh, *TRUNK), tailor.region(mesh, *ARM)
    leg, head = tailor.region(mesh, *LEG), tailor.region(mesh, *HEAD)
    unsure = ~(trunk | arm | leg | head | tailor.region(mesh, *HAND) | tailor.region(mesh, *FOOT))
    trunk |= unsure & (np.abs(middle[:, 2] - tailor.body.head_of("spine03")[2]) < 0.35)
    leg |= unsure & ~trunk
    bare_arm, bare_leg = (
        np.where(middle[:, 0] > 0, level(middle, "L"), level(middle, "R")) > 0
        for level in (tailor.sleeve, tailor.trouser_leg)
    )
    below_collar, above_waist = tailor.collar(middle) <= 0, tailor.waist(middle) > 0
    shirt = (trunk & below_collar & above_waist) | (arm & ~bare_arm) | (head & below_collar)
    colours[shirt] = outfit.shirt
    if outfit.stripe is not None:
        band = np.floor((middle[:, 2] - tailor.stripes()[0]) / np.diff(tailor.stripes())[0]) % 2 == 0
        colours[shirt & band] = outfit.stripe
    colours[((trunk | leg) & ~above_waist & ~bare_leg)] = outfit.trousers
    colours[tailor.region(mesh, *FOOT, "lowerleg") & (tailor.shoe(middle) <= 0)] = outfit.shoes
    colours[tailor.region(mesh, *HEAD, *TRUNK) & (tailor.hair(middle) > 0)] = outfit.hair
    colours[tailor.region(mesh, "eye")] = EYE_SHADE * np.array(outfit.skin)
    return colours


def _thicken_hair(mesh: Mesh, tailor: _Tailor) -> Mesh:
    """Move the hair off the scalp by up to 2 cm."""
    depth = np.clip(tailor.hair(mesh.vertices) * tailor.crown, 0, 0.02)[:, None]
    head = [index for index, label in enumerate(tailor.body.rig.labels) if label.startswith(HEAD)]
    depth *= mesh.weights[:, head].sum(axis=1, keepdims=True)
    return replace(mesh, vertices=(mesh.vertices + depth * vertex_normals(mesh)).astype(np.float32))
