"""The reader of the embedded people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.people.annotations import build_pool, draw_poses
from flexpose_core.datasets.people.body import body_of_subject
from flexpose_core.datasets.people.motion import clip_named
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.datasets.people.scenes import SPLITS, Scene, Shot, plan_scenes, shoot
from flexpose_core.errors import ConfigError
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import BODY15

BATCH = 4096
WHOLE = "all"  # drawn at once: scenes and annotations follow from one another
NO_SUBJECT = -1  # an annotation-only pose belongs to a body of its own


class PeopleReader:
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
        self.options = options
        self.seed = seed
        self._counts: dict[str, dict[str, int]] = {}

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return SPLITS if self.options.images else SPLITS[:2]

    def units(self, split: str) -> list[str]:
        """Return the one unit of every split."""
        if split not in self.splits():
            raise ConfigError(f"people: expected a split among {', '.join(self.splits())}, found {split!r}")
        return [WHOLE]

    def read(self, split: str, units: Sequence[str] = (WHOLE,)) -> Iterator[PoseBatch]:
        """Yield a sequence at a time, or batches of up to 4,096 annotations."""
        if list(units) != self.units(split):
            raise ConfigError(f"people: expected the unit {WHOLE!r}, found {list(units)}")
        self._counts.pop(split, None)
        return self._read_images(split) if self.options.images else self._read_annotations(split)

    def counts(self, split: str) -> dict[str, Any]:
        """Return the numbers of poses read, kept, and dropped by reason, once `read` has ended."""
        if split not in self._counts:
            raise ConfigError(f"people: expected the split {split!r} to have been read to its end before it is counted")
        dropped = {reason: count for reason, count in self._counts[split].items() if reason != "kept"}
        kept = self._counts[split]["kept"]
        return {"read": kept + sum(dropped.values()), "kept": kept, "dropped": dropped, "first_dropped": {}}

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
    for camera in options.cameras:
        for key in ("yaw", "pitch", "roll", "distance"):
            low, high = getattr(camera, key)
            if low > high:
                raise ConfigError(f"people: expected cameras.{key} as [low, high], found [{low}, {high}]")
        if camera.distance[0] < 2:
            raise ConfigError(f"people: expected cameras.distance of at least 2 m, found {camera.distance[0]}")
    if not options.images:
        if options.n_poses < 1:
            raise ConfigError("people: expected n_poses of at least 1 in a dataset without images, found 0")
        return
    if options.held_out + options.gap >= 1:
        raise ConfigError(f"people: expected held_out + gap below 1, found {options.held_out + options.gap:g}")
    for split in SPLITS:
        for subject in getattr(options.subjects, split):
            body_of_subject(subject)
    for one, other in combinations(SPLITS, 2):
        shared = set(getattr(options.subjects, one)) & set(getattr(options.subjects, other))
        if shared:
            raise ConfigError(f"people: expected no subject in both {one} and {other}, found {min(shared)}")
