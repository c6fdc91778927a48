"""Anybody's own annotations in COCO's keypoint format, with any joint names; and COCO itself."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flexpose_core.datasets.coco_json import CocoJson, JsonRows
from flexpose_core.datasets.joint_maps import derive_trunk, map_joints
from flexpose_core.datasets.options import KeypointsJsonOptions
from flexpose_core.datasets.raw import Picture, RawBatch, joined, raw_batch
from flexpose_core.datasets.splits import held_out
from flexpose_core.datasets.untrusted import inside, name_inside
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.skeletons import BODY15, Skeleton, skeleton_named

COCO_NAMES = {
    f"{side[0]}_{joint}": f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
"""Our joints by COCO's names: taken where a file has them and the options say nothing else."""
DERIVED = ("head", "neck", "pelvis")
NOSE = "nose"
_LONGEST_NAME = 120


class KeypointsJsonReader:
    """Reads one annotation file a split.

    Pelvis, neck and head are derived (see `derive_trunk`) where a file has none of that name; the head needs a joint `nose`.
    """

    tells_of_pictures = True
    """Whether people are told of pictures without any annotation, which are not read."""

    def __init__(self, options: KeypointsJsonOptions) -> None:
        self.root = Path(options.root)
        self.skeleton: Skeleton = skeleton_named(options.skeleton)
        self.files = {"train": options.train, "val": options.val, "test": options.test}
        self.folders = dict.fromkeys(self.files, options.pictures)
        self.with_images, self.held_out = options.images, options.held_out
        self.joints = options.joints
        self.is_video = options.still_cameras
        self.boxes_suffice = options.crop.around == "box" and not options.complete
        unknown = sorted(set(self.joints) - set(self.skeleton.joints))
        if unknown:
            known = ", ".join(self.skeleton.joints)
            raise ConfigError(f"keypoints-json: joints: expected names among {known}, found {unknown[0]!r}")

    def splits(self) -> tuple[str, ...]:
        """Return train and val, and test where there is a file for it."""
        return ("train", "val") if self.files["test"] is None else ("train", "val", "test")

    def units(self, split: str) -> list[str]:
        """Return the one file of a split."""
        file = self._file_of(split)
        if not inside(self.root, file, split).is_file():
            raise DataError(f"{self.root / file}: no such file")
        return [file]

    def _file_of(self, split: str) -> str:
        return self.files[split] or self.files["train"] or ""

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield up to 4,096 annotations at a time; of still cameras all, as a sequence may be anywhere in the file."""
        file = self._open(unit, split)
        self._check_names(file, unit)
        own_file = split == "test" or self.files["val"] is not None
        if own_file:
            batches = file.rows(file.images)
        else:
            # Drawn by their text; 1 and "1" stay together.
            for_val = held_out([str(key) for key in file.annotated()], self.held_out)
            images = {key for key in file.images if (str(key) in for_val) == (split == "val")}
            batches = file.rows(images, unclaimed=split == "train")
        if own_file or split == "train":
            self._tell_of_pictures(file, unit)
        read = (self._batch(rows, split, unit) for rows in batches)
        if not self.is_video:
            yield from read
            return
        whole, names = list(read), self._names(file, split, unit)
        # Before the others are opened: a file may take as much memory as there is.
        del file, batches, read
        for other, path in self.files.items():
            if path is not None and path != unit:
                names |= self._names(self._open(path, other), other, path)
        yield from self._videos(whole, names, split)

    def _open(self, unit: str, split: str) -> CocoJson:
        sources = (self.joints.get(joint, joint) for joint in self.skeleton.joints)
        names = [name for source in sources for name in ((source,) if isinstance(source, str) else source)]
        return CocoJson(inside(self.root, unit, split), self.boxes_suffice, tuple(dict.fromkeys(names)))

    def _tell_of_pictures(self, file: CocoJson, unit: str) -> None:
        alone = file.without_annotation() if self.tells_of_pictures else []
        if alone:
            first = file.images[alone[0]].file_name[:_LONGEST_NAME]
            print(
                f"{unit}: {len(alone)} of {len(file.images)} pictures have no annotation and are not read, first {first!r}",
                file=sys.stderr,
            )

    def _check_names(self, file: CocoJson, unit: str) -> None:
        """Leave out categories that lack joints of ours; raises DataError, of the one that lacks fewest, if all do."""
        lacking = {key: self._lacking(names) for key, names in file.names.items()}
        if all(lacking.values()):
            key = min(lacking, key=lambda name: len(lacking[name]))
            found, missing = ", ".join(file.names[key])[:300], ", ".join(lacking[key])
            raise DataError(
                f"{self.root / unit}: categories: expected keypoints for {missing} (options: joints), found {found}"
            )
        file.leave_out(key for key, missing in lacking.items() if missing)

    def _lacking(self, names: tuple[str, ...]) -> list[str]:
        """Return which of our joints have no source among these names, with the name that the options say."""
        told = {joint: self.joints.get(joint) for joint in self.skeleton.joints if self._source(joint, names) is None}
        return [
            f"{joint!r}" + (f", which joints has as {source!r}," if source else "") for joint, source in told.items()
        ]

    def _names(self, file: CocoJson, split: str, unit: str) -> set[str]:
        """Return the paths of a file's pictures below the root."""
        stated = f"{self.root / unit}: images"
        return {self._name(split, image.file_name, stated) for image in file.images.values() if image.file_name}

    def _videos(self, batches: Sequence[RawBatch], names: set[str], split: str) -> Iterator[RawBatch]:
        """Yield all batches of a split as one, a sequence a folder, each with its pictures among these of all splits.

        Where one picture of a folder shows several people, nothing tells who is who in the others: each is a sequence alone.
        """
        cameras: dict[str, list[str]] = {}
        for name in sorted(names):
            cameras.setdefault(_folder_of(name), []).append(name)
        if not batches:
            return
        whole = joined(batches)
        sources = list(whole.source) if whole.source is not None else []
        crowded = {_folder_of(name) for name, count in Counter(sources).items() if count > 1}
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(sources):
            rows.setdefault(_folder_of(name), []).append(row)
        sequence = np.empty(len(sources), np.int32)
        footage: dict[int, tuple[Picture, ...]] = {}
        for folder, own in sorted(rows.items()):
            pictures = tuple(Picture(inside(self.root, name, split)) for name in cameras.get(folder, ()))
            for some in [[row] for row in own] if folder in crowded else [own]:
                sequence[some] = len(footage)
                footage[len(footage)] = pictures
        yield replace(whole, sequence=sequence, footage=footage)

    def _batch(self, rows: JsonRows, split: str, unit: str) -> RawBatch:
        stated = f"{self.root / unit}: images"
        sources = [self._name(split, image.file_name, stated) for image in rows.images]
        pictures = None
        if self.with_images:
            pictures = tuple(Picture(inside(self.root, source, stated)) for source in sources)
        return raw_batch(
            self._mapped(rows),
            rows.index,
            sequence=rows.index,
            picture_size=np.array([(image.width, image.height) for image in rows.images], np.int32).reshape(-1, 2),
            source=sources,
            pictures=pictures,
            dropped=rows.dropped,
            # The corner of the first pixel is half a pixel before its centre.
            box=rows.boxes - 0.5,
        )

    def _name(self, split: str, file_name: str, stated: str) -> str:
        """Return a picture's path below the root in its shortest form, "" for none."""
        if self.with_images and ("\\" in file_name or file_name[1:3] == ":/" or "://" in file_name):
            raise DataError(
                f"{stated}: expected names from {self.folders[split] or 'the root'!r}, found {file_name[:200]!r}"
            )
        return name_inside(f"{self.folders[split]}/{file_name}".lstrip("/") if file_name else "", stated)

    def _mapped(self, rows: JsonRows) -> np.ndarray:
        if not len(rows.index):
            return np.empty((0, len(self.skeleton), 2))
        raw = np.where(rows.keypoints[..., 2:] > 0, rows.keypoints[..., :2], np.nan)
        sources = {joint: source for joint in self.skeleton.joints if (source := self._source(joint, rows.names))}
        joints = map_joints(raw, rows.names, sources, self.skeleton)
        if self.skeleton is not BODY15:
            return joints
        nose = raw[:, rows.names.index(NOSE)] if NOSE in rows.names else None
        return derive_trunk(joints, self.skeleton, nose)

    def _source(self, joint: str, names: tuple[str, ...]) -> str | tuple[str, ...] | None:
        """Return where a joint of ours comes from, by the options, by its own name or by COCO's; () if it is derived."""
        stated = self.joints.get(joint)
        for source in (stated,) if stated is not None else (joint, COCO_NAMES.get(joint, joint)):
            several = (source,) if isinstance(source, str) else source
            if set(several) <= set(names):
                return source
        derivable = self.skeleton is BODY15 and stated is None and joint in DERIVED
        return () if derivable and (joint != "head" or NOSE in names) else None


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
