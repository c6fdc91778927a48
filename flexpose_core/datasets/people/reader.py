"""The reader of the embedded people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.reader import SPLITS, DrawnReader, check_cameras, check_crop, check_disjoint
from flexpose_core.datasets.people.annotations import build_pool, draw_poses
from flexpose_core.datasets.people.body import body_of_subject
from flexpose_core.datasets.people.motion import clip_named
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.datasets.people.scenes import Scene, Shot, plan_scenes, shoot
from flexpose_core.errors import ConfigError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import BODY15

BATCH = 4096
_NEAREST = 2.0  # metres
_FEWEST_FACING = 1e-3
"""Share of the people drawn below which so many would have to be drawn that a mistake is more likely."""
_DRAWN_TO_JUDGE = 16 * BATCH
NO_SUBJECT = -1  # an annotation-only pose belongs to a body of its own


class PeopleReader(DrawnReader):
    """Draws people in motion: sequences of images (train, val, test), or annotations alone (train, val).

    Parameters
    ----------
    options
        What to draw.
    seed
        Everything drawn is a function of `options` and `seed`.

    Raises
    ------
    ConfigError
        An unknown clip or subject, a person in two splits, or options that leave nothing to draw.
    """

    skeleton = BODY15

    def __init__(self, options: PeopleOptions, seed: int) -> None:
        check_options(options)
        super().__init__("people", options.images)
        self.options, self.seed = options, seed

    def _read(self, split: str) -> Iterator[PoseBatch]:
        """Yield a sequence at a time, or batches of up to 4,096 annotations."""
        return self._read_images(split) if self.options.images else self._read_annotations(split)

    def _read_images(self, split: str) -> Iterator[PoseBatch]:
        counts = {"kept": 0, "between the time blocks": 0, "facing away": 0, "sequence too short": 0}
        for scene in plan_scenes(self.options, self.seed):
            if scene.split != split:
                continue
            shot = shoot(scene, self.options, self.seed)
            counts["between the time blocks"] += scene.skipped
            if shot is None:
                counts["sequence too short"] += len(scene.frames)
                continue
            counts["facing away"] += shot.facing_away
            counts["kept"] += len(shot.frames)
            yield _batch_of_shot(scene, shot)
        self._counts[split] = counts

    def _read_annotations(self, split: str) -> Iterator[PoseBatch]:
        wanted = self.options.n_poses if split == "train" else self.options.held_out_poses
        pool = build_pool(self.options.clips)
        names = np.array(self.options.clips)
        counts = {"kept": 0, "facing away": 0}
        for step in range(wanted * 100):  # ends long before, once `wanted` is reached
            missing = wanted - counts["kept"]
            if missing <= 0:
                break
            rng = seeds.rng(self.seed, "people/annotations", SPLITS.index(split), step)
            drawn = draw_poses(pool, BATCH, self.options, rng)
            n = min(missing, len(drawn.poses))
            numbers = np.arange(counts["kept"], counts["kept"] + n, dtype=np.int32)
            counts["kept"] += n
            counts["facing away"] += drawn.facing_away
            _check_facing(counts)
            posture = drawn.posture[:n]
            yield PoseBatch(
                poses=drawn.poses[:n],
                visibility=np.ones((n, len(BODY15)), np.uint8),
                clip=names[pool.clip[posture]],
                subject=np.full(n, NO_SUBJECT, np.int32),
                camera=numbers,
                sequence=numbers,
                frame=pool.frame[posture].astype(np.int32),
            )
        self._counts[split] = counts


def _check_facing(counts: dict[str, int]) -> None:
    """Raise ConfigError if next to nobody faces the cameras: the search would not end for hours."""
    drawn = counts["kept"] + counts["facing away"]
    if drawn >= _DRAWN_TO_JUDGE and counts["kept"] < _FEWEST_FACING * drawn:
        raise ConfigError(
            f"people: facing: expected cameras that at least one person in {1 / _FEWEST_FACING:.0f} faces, "
            f"found {counts['kept']} of {drawn}"
        )


def _batch_of_shot(scene: Scene, shot: Shot) -> PoseBatch:
    n = len(shot.frames)
    return PoseBatch(
        poses=shot.poses,
        visibility=np.ones(shot.poses.shape[:2], np.uint8),
        clip=np.full(n, scene.clip),
        subject=np.full(n, scene.subject, np.int32),
        camera=np.full(n, scene.camera, np.int32),
        sequence=np.full(n, scene.sequence, np.int32),
        frame=shot.frames.astype(np.int32),
        images=encode_images(shot.images, "png"),
        backgrounds=np.repeat(encode_images([shot.background], "png"), n),
    )


def check_options(options: PeopleOptions) -> None:
    """Check what the option types cannot; raises ConfigError."""
    for name in options.clips:
        clip_named(name)
    check_cameras("people", options.cameras, _NEAREST)
    if not options.images:
        if options.n_poses < 1:
            raise ConfigError("people: expected n_poses of at least 1 in a dataset without images, found 0")
        check_crop("people", options.crop)
        return
    if options.held_out + options.gap >= 1:
        raise ConfigError(f"people: expected held_out + gap below 1, found {options.held_out + options.gap:g}")
    for split in SPLITS:
        for subject in getattr(options.subjects, split):
            body_of_subject(subject)
    check_disjoint("people", "subject", options.subjects)
