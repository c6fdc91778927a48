"""Penn Action (Zhang, Zhu and Derpanis 2013): 2,326 clips of sports and exercises, `labels/%04d.mat` a clip."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from flexpose_core.datasets.joint_maps import both_sides, derive_trunk, map_joints
from flexpose_core.datasets.options import PennActionOptions
from flexpose_core.datasets.raw import Dropped, Picture, RawBatch, raw_batch
from flexpose_core.datasets.splits import UnitNumbers, part_of_training
from flexpose_core.datasets.untrusted import load_mat5
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15

JOINTS = (
    "head",
    "l_sho",
    "r_sho",
    "l_elb",
    "r_elb",
    "l_wri",
    "r_wri",
    "l_hip",
    "r_hip",
    "l_kne",
    "r_kne",
    "l_ank",
    "r_ank",
)
SOURCES = {
    "head": "head",
    **both_sides(shoulder="{}_sho", elbow="{}_elb", wrist="{}_wri", hip="{}_hip", knee="{}_kne", ankle="{}_ank"),
}


class PennActionReader:
    """Reads clips whose label file says that they belong to the split; neck and pelvis are derived.

    Joints marked invisible are occluded but annotated, but for those that lie at the origin of the pixels, (1, 1): these are not
    annotated.
    """

    skeleton = BODY15
    is_video = True

    def __init__(self, options: PennActionOptions) -> None:
        self.options = options
        self.root = Path(options.root)
        self._numbers = UnitNumbers()

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test."""
        return ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the label files of a split, such as labels/0001.mat."""
        training = [name for name, is_training in self._membership.items() if is_training]
        if split == "test":
            return [name for name, is_training in self._membership.items() if not is_training]
        return part_of_training(training, split, self.options.held_out)

    @cached_property
    def _membership(self) -> dict[str, bool]:
        paths = sorted((self.root / "labels").glob("*.mat"))
        if not paths:
            raise DataError(f"{self.root / 'labels'}: expected label files such as 0001.mat, found none")
        found, known = {}, set()
        for path in paths:
            labels = load_mat5(path, "train", "action")
            value, action = np.asarray(labels["train"]), _text(labels["action"])
            if value.size != 1 or value.dtype.kind not in "iuf":
                raise DataError(f"{path}: train: expected one number, found an array of shape {value.shape}")
            known.add(action[:40])
            if not self.options.actions or action in self.options.actions:
                found[path.relative_to(self.root).as_posix()] = float(value.flat[0]) == 1
        if not found:
            expected = ", ".join(sorted(known)[:20])
            raise ConfigError(
                f"penn-action: actions: expected some of {expected}, found {', '.join(self.options.actions)}"
            )
        return found

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield one clip."""
        path = self.root / unit
        labels = load_mat5(path, "x", "y", "visibility", "action", "dimensions")
        x, y, visibility = (np.asarray(labels[name]) for name in ("x", "y", "visibility"))
        for name, value in {"x": x, "y": y, "visibility": visibility}.items():
            if (
                value.ndim != 2
                or value.shape[1] != len(JOINTS)
                or value.shape != x.shape
                or value.dtype.kind not in "iufb"
            ):
                raise DataError(
                    f"{path}: {name}: expected numbers of shape (frames, {len(JOINTS)}), found {value.shape}"
                )
        size = np.asarray(labels["dimensions"]).ravel()
        if size.size < 2 or size.dtype.kind not in "iuf" or not ((size[:2] >= 1) & (size[:2] < 2**20)).all():
            raise DataError(f"{path}: dimensions: expected height, width and frames, found {str(size[:3])[:80]}")
        raw = np.stack([x, y], axis=-1).astype(np.float64)
        # Joints without an annotation lie at (1, 1), in the clips that were stretched a little beyond it.
        raw[(visibility == 0) & (raw < 2).all(axis=-1)] = np.nan
        raw -= 1  # MATLAB counts pixels from 1
        finite = np.isfinite(np.stack([x, y])).all(axis=(0, 2))
        rows = np.flatnonzero(finite)
        joints = derive_trunk(map_joints(raw[rows], JOINTS, SOURCES, BODY15), BODY15)
        sources = [f"frames/{path.stem}/{row + 1:06d}.jpg" for row in rows]
        pictures = tuple(Picture(self.root / source) for source in sources) if self.options.images else None
        lost = np.flatnonzero(~finite)
        yield raw_batch(
            joints,
            rows,
            clip=_text(labels["action"]),
            sequence=self._numbers.of(split, unit, self.units),
            picture_size=(int(size[1]), int(size[0])),
            source=sources,
            pictures=pictures,
            dropped=(Dropped("coordinates not finite", len(lost), f"{unit}: record {lost[0]}"),) if len(lost) else (),
        )


def _text(value: object) -> str:
    text = np.asarray(value)
    return str(text.flat[0]) if text.size and text.dtype.kind == "U" else ""
