"""Looks: skin, hair, brows, beard, lips and eyes of each head, as one colour a face of a mesh cut along their borders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.mesh import Mesh, cut_and_trace, vertex_normals
from flexpose_core.datasets.faces.bust import add_bust
from flexpose_core.datasets.faces.head import HeadModel, load_heads
from flexpose_core.skeletons import FACE68

SKINS = (
    (242, 206, 184), (236, 192, 166), (228, 178, 148), (214, 162, 128), (198, 144, 108),
    (168, 116, 82), (140, 94, 66), (112, 74, 52), (86, 56, 42),
)  # fmt: skip
HAIRS = (
    (26, 20, 18), (44, 32, 26), (70, 48, 32), (104, 72, 44), (150, 112, 66), (196, 160, 104), (128, 62, 34),
    (150, 146, 142), (208, 204, 198),
)  # fmt: skip
IRISES = ((72, 46, 28), (94, 64, 36), (64, 92, 60), (70, 104, 140), (96, 112, 120), (44, 30, 22))
CLOTHES = (
    (58, 72, 104), (150, 52, 54), (222, 218, 210), (46, 46, 50), (92, 118, 92), (190, 160, 96), (124, 92, 142),
    (64, 124, 136), (206, 128, 96),
)  # fmt: skip
WHITE_OF_EYE = np.array([228, 224, 218])
PUPIL_COLOUR = np.array([14, 12, 12])
MOUTH = np.array([64, 24, 24])
IRIS, PUPIL = 0.0062, 0.0028  # radii in metres
BROW_END, BROW_MIDDLE = 0.0012, 0.0034  # half the width of a brow in metres


@dataclass(frozen=True)
class Looks:
    """How one head looks; colours are RGB, 0..255."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    clothes: np.ndarray
    lips: np.ndarray
    hairline: float  # height of the hair's front edge, from the eyes (0) to the crown (1); above 1 there is no hair
    nape: float  # how far below the eyes the hair ends behind, in the same unit
    thickness: float  # of the hair, in metres
    brow: float  # width of the brows against the usual one
    beard: float  # 0 for none, 1 for a full one; between, the skin shows through


def draw_looks(head: int) -> Looks:
    """Return the looks of a head: the same in every dataset."""
    rng = seeds.rng(0, "faces/looks", head)
    male = bool(load_heads().gender[head] < 0.5)

    def pick(palette: tuple, spread: float) -> np.ndarray:
        return np.clip(np.array(palette[rng.integers(len(palette))]) + rng.normal(0, spread, 3), 4, 250)

    # Neighbouring heads differ in skin, and every nine of them show all shades.
    skin = np.clip(np.array(SKINS[(head * 4 + 1) % len(SKINS)]) * rng.uniform(0.95, 1.05) + rng.normal(0, 3, 3), 4, 250)
    dark = skin.mean() < 120
    hair = pick(HAIRS[:2] if dark else HAIRS, 5)
    made_up = not male and rng.random() < 0.5
    lips = skin * [0.86, 0.62, 0.60] if not made_up else 0.4 * skin + 0.6 * np.array([158, 40, 58])
    bald = male and rng.random() < 0.15
    short = male or rng.random() < 0.25
    return Looks(
        skin=skin,
        hair=hair,
        iris=pick(IRISES[:2] + IRISES[-1:] if dark else IRISES, 6),
        clothes=pick(CLOTHES, 12),
        lips=lips,
        hairline=9.0 if bald else float(rng.uniform(0.42, 0.66)),
        nape=float(rng.uniform(0.2, 0.6) if short else rng.uniform(0.9, 1.6)),
        thickness=float(rng.uniform(0.004, 0.016) if short else rng.uniform(0.014, 0.03)),
        brow=float(rng.uniform(0.8, 1.3) if male else rng.uniform(0.55, 1.0)),
        beard=float(rng.choice([0, 0.3, 0.75, 0.9], p=[0.5, 0.2, 0.15, 0.15])) if male else 0.0,
    )


@dataclass(frozen=True)
class Portrait:
    """A head ready to be drawn, of V vertices and T faces."""

    vertices: np.ndarray  # (V, 3) float32, neutral
    actions: np.ndarray  # (A, V, 3) float32
    follow: np.ndarray  # (V,) float32, how far each vertex follows the head's turns
    faces: np.ndarray  # (T, 3)
    colours: np.ndarray  # (T, 3) float32


@lru_cache(maxsize=64)
def portray(head: int) -> Portrait:
    """Return a head with shoulders, cut and coloured by its looks."""
    model, looks = load_heads(), draw_looks(head)
    vertices, faces, follow, clothed = add_bust(model.heads[head], model.faces)
    actions = np.zeros((len(vertices), len(model.action_labels), 3), np.float32)
    actions[: len(model.mirrored)] = model.actions.swapaxes(0, 1)
    # What a new vertex on a cut takes from the ends of its edge: the actions, and how far it follows the head.
    carried = np.concatenate([actions.reshape(len(vertices), -1), follow[:, None].astype(np.float32)], axis=1)
    painter = _Painter(model, head, looks)
    regions = np.concatenate([model.regions, np.where(clothed[len(model.regions) :], "clothes", "skin")])
    mesh, regions = painter.cut(Mesh(vertices, carried, faces), regions)
    colours = painter.colours(mesh, regions)
    mesh = painter.thicken_hair(mesh, regions)
    count = len(model.action_labels)
    moved = mesh.weights[:, :-1].reshape(-1, count, 3).swapaxes(0, 1)
    return Portrait(mesh.vertices, np.ascontiguousarray(moved), mesh.weights[:, -1], mesh.faces, colours)


class _Painter:
    """The places of one head that its colours are bounded by; all levels are positive inside of what they name."""

    def __init__(self, model: HeadModel, head: int, looks: Looks) -> None:
        self.looks = looks
        self.points = dict(zip(FACE68.joints, model.landmarks_of(head).astype(np.float64), strict=True))
        self.eyes = np.mean([self.points[f"p{k}"] for k in range(36, 48)], axis=0)
        self.crown = float(model.heads[head, :, 2].max() - self.eyes[2])  # the unit of hair lengths
        eyeballs = np.unique(model.faces[model.regions == "eye"])
        balls = model.heads[head, eyeballs]
        self.poles = [side[side[:, 1].argmin()] for side in (balls[balls[:, 0] > 0], balls[balls[:, 0] < 0])]

    def around_pole(self, points: np.ndarray, radius: float) -> np.ndarray:
        off = np.min([np.linalg.norm((points - pole)[:, [0, 2]], axis=1) for pole in self.poles], axis=0)
        behind = points[:, 1] > self.poles[0][1] + 0.012
        return np.where(behind, -radius, radius - off)

    def brow(self, points: np.ndarray) -> np.ndarray:
        """Half the width less the distance to the line of the brow, seen from the front."""
        flat = np.stack([np.abs(points[:, 0]), points[:, 2]], axis=1)
        line = np.array([self.points[f"p{k}"][[0, 2]] for k in range(22, 27)])
        best = np.full(len(points), -1.0)
        for number, (start, end) in enumerate(pairwise(line)):
            along = end - start
            share = np.clip((flat - start) @ along / (along @ along), 0, 1)
            distance = np.linalg.norm(flat - start - share[:, None] * along, axis=1)
            place = (number + share) / 4  # from the nose outwards
            width = BROW_END + (BROW_MIDDLE - BROW_END) * np.sin(np.pi * np.clip(0.25 + 0.75 * place, 0, 1))
            best = np.maximum(best, self.looks.brow * width - distance)
        return np.where(points[:, 1] < self.eyes[1] + 0.03, best, -1.0)

    def hair(self, points: np.ndarray) -> np.ndarray:
        """In units of the crown: over the forehead, or behind the ears down to the nape."""
        up = (points[:, 2] - self.eyes[2]) / self.crown
        back = (points[:, 1] - self.eyes[1]) / self.crown
        temple = np.minimum(back - 0.85 - 0.15 * (up < 0), up + self.looks.nape)
        return np.maximum(
            up - self.looks.hairline - 0.25 * np.maximum(0.3 - back, 0), temple - 9 * (self.looks.hairline > 1)
        )

    def beard(self, points: np.ndarray) -> np.ndarray:
        """In metres: above the jaw, below a line from under the nose past the corners of the mouth to the ears."""
        nose, corner, ear = self.points["p33"], self.points["p54"], self.points["p15"]
        jaw = np.array([self.points[f"p{k}"] for k in range(8, 16)])
        below = np.interp(points[:, 1], np.maximum.accumulate(jaw[:, 1]), jaw[:, 2]) - 0.006
        slope = (ear[2] - corner[2] + 0.008) / (ear[1] - corner[1])
        cheek = corner[2] - 0.008 + slope * np.maximum(points[:, 1] - corner[1], 0)
        above = np.where(np.abs(points[:, 0]) < corner[0] + 0.005, nose[2] - 0.005, cheek)
        level = np.minimum(above - points[:, 2], points[:, 2] - below)
        return np.minimum(level, ear[1] + 0.002 - points[:, 1])

    def cut(self, mesh: Mesh, regions: np.ndarray) -> tuple[Mesh, np.ndarray]:
        """Cut the mesh along the borders of eyes, brows, hair and beard."""
        levels = [
            ("eye", lambda points: self.around_pole(points, IRIS)),
            ("eye", lambda points: self.around_pole(points, PUPIL)),
            ("skin", self.brow),
            ("skin", self.hair),
        ]
        if self.looks.beard:
            levels.append(("skin", self.beard))
        for region, level in levels:
            mesh, origin = cut_and_trace(mesh, level(mesh.vertices.astype(np.float64)), regions == region)
            regions = regions[origin]
        return mesh, regions

    def colours(self, mesh: Mesh, regions: np.ndarray) -> np.ndarray:
        """Return a colour (T, 3) float32 of each face."""
        looks = self.looks
        middle = mesh.vertices[mesh.faces].astype(np.float64).mean(axis=1)
        colours = np.empty((len(middle), 3))
        colours[:] = self._skin(middle)
        skin = regions == "skin"
        if looks.beard:
            bearded = skin & (self.beard(middle) > 0)
            colours[bearded] += looks.beard * (0.9 * looks.hair - colours[bearded])
        colours[skin & (self.brow(middle) > 0)] = 0.85 * looks.hair + 0.15 * looks.skin
        haired = skin & (self.hair(middle) > 0)
        strands = 1 + 0.08 * np.sin(middle[haired] @ np.array([900.0, 0, 300.0]))
        colours[haired] = looks.hair * strands[:, None]
        colours[regions == "lips"] = looks.lips
        colours[regions == "eye_cavity"] = 0.72 * looks.skin
        colours[regions == "mouth_cavity"] = MOUTH
        colours[regions == "tongue"] = (150, 72, 72)
        colours[regions == "clothes"] = looks.clothes
        eye = regions == "eye"
        colours[eye] = WHITE_OF_EYE
        colours[eye & (self.around_pole(middle, IRIS) > 0)] = looks.iris
        colours[eye & (self.around_pole(middle, PUPIL) > 0)] = PUPIL_COLOUR
        return colours.astype(np.float32)

    def _skin(self, points: np.ndarray) -> np.ndarray:
        """The colour of the skin: redder on nose and cheeks, darker about the eyes and below the chin."""

        def near(place: np.ndarray, size: np.ndarray | float) -> np.ndarray:
            return np.exp(-np.square((points - place) / size).sum(axis=1))[:, None]

        back = np.array([0, 0.005, 0])
        cheeks = [(self.points[f"p{a}"] + self.points[f"p{b}"]) / 2 + back for a, b in ((46, 54), (41, 48))]
        red = 0.6 * near(self.points["p30"], 0.014) + sum(near(cheek, 0.022) for cheek in cheeks)
        lids = [np.mean([self.points[f"p{k}"] for k in range(first, first + 6)], axis=0) for first in (36, 42)]
        socket = sum(near(lid, np.array([0.024, 0.03, 0.012])) for lid in lids)
        below = np.clip((self.points["p8"][2] + 0.004 - points[:, 2]) / 0.03, 0, 1)[:, None]
        return self.looks.skin * (1 - red * [0.0, 0.09, 0.07]) * (1 - 0.14 * socket) * (1 - 0.28 * below)

    def thicken_hair(self, mesh: Mesh, regions: np.ndarray) -> Mesh:
        """Move the hair off the scalp."""
        of_skin = np.zeros(len(mesh.vertices), bool)
        of_skin[np.unique(mesh.faces[regions == "skin"])] = True
        depth = np.clip(self.hair(mesh.vertices.astype(np.float64)) * self.crown, 0, self.looks.thickness) * of_skin
        moved = mesh.vertices + depth[:, None] * vertex_normals(mesh)
        return Mesh(moved.astype(np.float32), mesh.weights, mesh.faces)
