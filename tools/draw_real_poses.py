"""Draw docs/overlays.png: `python tools/draw_real_poses.py DATA`, poses of real annotation files without their photographs.

DATA holds `penn_action/labels.tar.xz`, `lsp/joints.mat`, `coco/test_coco.json` and `pts/*.pts`. The photographs belong to others
and are not drawn; `python -m flexpose_core.datasets show` puts the same poses over them.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from flexpose_core.datasets import open_reader
from flexpose_core.datasets.crops import boxes_of, crops_around, to_crop
from flexpose_core.datasets.options import (
    AnnotatedOptions,
    KeypointsJsonOptions,
    LspOptions,
    PennActionOptions,
    SquareOptions,
)
from flexpose_core.datasets.pts import read_pts
from flexpose_core.rendering.pictures import overlay_poses, pose_cells, tile, write_png
from flexpose_core.skeletons import BODY15, FACE68

COLUMNS, SIDE = 12, 96


def main(data: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data / "penn_action/labels.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        rows = [
            bodies(PennActionOptions(root=folder), COLUMNS, spread=97),
            bodies(LspOptions(root=str(data / "lsp")), COLUMNS),
            bodies(
                KeypointsJsonOptions(root=str(data / "coco"), train="test_coco.json", held_out=0, complete=False),
                COLUMNS - 3,
            ),
        ]
    landmarks = np.stack([read_pts(path) - 1 for path in sorted((data / "pts").glob("*.pts"))[:3]])
    faces = to_crop(landmarks, crops_around(boxes_of(landmarks), SquareOptions()))
    ground = np.zeros((len(faces), SIDE, SIDE, 3), np.uint8)
    rows.append(overlay_poses(ground, faces, FACE68))
    write_png(out, tile(np.concatenate(rows), COLUMNS))


def bodies(options: AnnotatedOptions, count: int, spread: int = 1) -> np.ndarray:
    """Return pictures (count, S, S, 3) of poses spread over every so many-th file of the training split."""
    reader = open_reader(options, 0)
    batches = list(reader.read("train", reader.units("train")[::spread]))
    poses = np.concatenate([batch.poses for batch in batches])
    visibility = np.concatenate([batch.visibility for batch in batches])
    # The fuller ones of sets with parts of people.
    full = np.flatnonzero(visibility.sum(axis=1) >= np.sort(visibility.sum(axis=1))[-count])
    chosen = full[np.linspace(0, len(full) - 1, count).astype(int)]
    return pose_cells(poses[chosen], visibility[chosen], [None] * count, BODY15, SIDE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parents[1] / "docs/overlays.png")
