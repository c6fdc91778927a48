"""Training a cell's detector on its few annotated images, animated: the people in them take the poses of the annotation set."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from flexpose_core import seeds
from flexpose_core.anatomy import anatomy_of
from flexpose_core.devices import arithmetic, pick_device
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import digest
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.poses.images import EncodedImages
from flexpose_core.poses.pool import complete_poses
from flexpose_core.rendering.animation import Puppets, stands_out
from flexpose_core.stages.train_detector import (
    ETA_KIND,
    described,
    frames_of,
    places_of,
    save_detector,
    untrained,
)
from flexpose_core.stamp import code_stamp
from flexpose_core.training.checkpoint import load_into, load_weights
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.animated import AnimatedFrames, AnimatedObjective, as_seen
from flexpose_core.training.objectives.renewed import RenewedFrames, RenewedObjective
from flexpose_core.training.objectives.supervised import LabelledFrames

IN_MEMORY = 200_000_000


def train_animated(
    options: DetectorOptions,
    animation: AnimationOptions,
    image_cache: Path,
    pose_cache: Path,
    eta_weights: Path,
    shots: Path,
    out_weights: Path,
    seed: int,
    work: Path,
    renewed: bool = False,
    loop: LoopOptions | None = None,
    placed_cache: Path | None = None,
) -> None:
    """Train Φ and η on the images of the shots and on animated ones; η was pretrained as for any detector.

    Of the unlabelled images only the empty scenes are used, unless poses are `renewed` by what is found in them. The weights file
    is that of `train_detector` without Ψ.

    Parameters
    ----------
    placed_cache
        For renewed poses: the source's own, of which some people take one.

    Raises
    ------
    DataError
        If the caches' skeletons differ, no pose has all joints visible, or no shot can be animated.
    ConfigError
        If the skeleton is not that of a jointed body.
    CheckpointError
        If `eta_weights` are of another architecture.
    """
    device = pick_device(options.device)
    pictures, poses, annotated = load_cache(image_cache, images=True), load_cache(pose_cache), load_cache(shots)
    others = {pose_cache: poses, shots: annotated}
    if placed_cache is not None:
        others[placed_cache] = load_cache(placed_cache)
    for path, other in others.items():
        if other.skeleton.name != pictures.skeleton.name:
            raise DataError(
                f"{path}: expected skeleton {pictures.skeleton.name} as in {image_cache}, found {other.skeleton.name}"
            )
    people = cut_out(annotated, shots, pictures, image_cache)
    architecture = options.architecture(len(poses.skeleton))
    prior = complete_poses(poses, pose_cache)
    description = described(architecture, poses.skeleton)
    eta_tensors, eta_header = load_weights(eta_weights, ETA_KIND, description)
    eta = untrained(SkeletonToKeypoints, architecture, seed, "eta", device)
    load_into(eta, eta_tensors, eta_weights)
    phi = untrained(ImageToSkeleton, architecture, seed, "phi", device)
    images, backgrounds = as_seen(people.images, people.scenes, options.size, options.contrast, device)
    own = torch.from_numpy(people.poses)
    labelled = LabelledFrames(images, backgrounds, own, annotated.skeleton, options.supervision)
    animated = (RenewedFrames if renewed else AnimatedFrames)(
        labelled, people.puppets, prior, people.grounds, animation, options.contrast
    )
    steps = animation.renewal.steps if renewed else animation.steps
    supervision = msgspec.structs.replace(options.supervision, steps=steps)
    detector, how = Detector(phi, eta), (options.gan.average_decay, supervision, options.mixed_precision)
    if isinstance(animated, RenewedFrames):
        rows = np.sort(seeds.rng(seed, "renewal").permutation(len(pictures))[: animation.renewal.images])
        # Few images, and seldom: not worth decoding all.
        frames = frames_of(pictures, options.size, options.contrast, in_memory=0)
        if placed_cache is not None:
            animated.placed = complete_poses(others[placed_cache], placed_cache)
        objective: AnimatedObjective = RenewedObjective(detector, animated, frames, rows, *how)
    else:
        objective = AnimatedObjective(detector, animated, *how)
    shaping = msgspec.structs.replace(options, device="auto"), animation
    identity = "\n".join(
        [
            code_stamp(__name__),
            *(msgspec.json.encode(own).decode() for own in shaping),
            *(digest(array.tobytes()) for array in (prior, people.poses, people.images)),
            *([digest(others[placed_cache].poses.tobytes())] if placed_cache is not None else []),
            pictures.pictures_checksum,
            str(eta_header["checksum"]),
            *(["renewed"] if renewed else []),
        ]
    )
    train(objective, steps, "animated", seed, work, identity, loop)
    computed = arithmetic(device, options.mixed_precision)
    save_detector(out_weights, {"detector": objective.average.module}, description, seed, steps, computed)


@dataclass(frozen=True)
class People:
    """The annotated people.

    Parameters
    ----------
    puppets
        Those that can be animated, and their mirror images.
    images, scenes, poses
        (M, S, S, 3) uint8 with and without them, and (M, K, 2) in 0..1: all with all joints, to learn from as they are.
    animated
        (M,) bool: which of them can be animated.
    grounds
        All empty scenes of the target, decoded if they take no more than `IN_MEMORY` bytes.
    """

    puppets: Puppets
    images: np.ndarray
    scenes: np.ndarray
    poses: np.ndarray
    animated: np.ndarray
    grounds: EncodedImages | np.ndarray


def cut_out(annotated: PoseSet, shots: Path, pictures: PoseSet, image_cache: Path) -> People:
    """Cut the people of the shots out of their images.

    Shots that lack joints are left out. People who do not stand out from their scene are not animated, but remain labelled images.
    It is said how many are animated.

    Raises
    ------
    DataError
        If none is left, a shot is none of the images, or these have no backgrounds.
    ConfigError
        If the skeleton is not that of a jointed body.
    """
    if pictures.images is None or pictures.backgrounds is None or pictures.background is None:
        raise DataError(f"{image_cache}: expected images and backgrounds, found poses alone")
    try:
        anatomy = anatomy_of(pictures.skeleton)
    except ConfigError as error:
        raise ConfigError(f"{image_cache}: {error}") from error
    rows = places_of(annotated, pictures, shots)
    complete = annotated.visibility.all(axis=1)
    images, scenes = pictures.images[rows], pictures.backgrounds[pictures.background[rows]]
    told_apart = [
        stands_out(image, scene, pose * len(image), anatomy)
        for image, scene, pose in zip(images, scenes, annotated.poses, strict=True)
    ]
    animated = complete & np.array(told_apart)
    what = f"{len(annotated)} shots, {(~complete).sum()} of which lack joints"
    if not animated.any():
        raise DataError(
            f"{shots}: expected a person with all joints who stands out from the scene (still_cameras, or a plain backdrop), found "
            f"none in {what}; methods such as flexpose-pairs do without"
        )
    if not animated.all():
        print(
            f"animated: {animated.sum()} people of {what}; {(complete & ~animated).sum()} do not stand out from their scenes, "
            "and are learnt from as they are",
            file=sys.stderr,
        )
    puppets = Puppets(images[animated], scenes[animated], annotated.poses[animated], pictures.skeleton)
    grounds = pictures.backgrounds
    decoded = grounds[:] if grounds.decoded_bytes <= IN_MEMORY else grounds
    return People(puppets, images[complete], scenes[complete], annotated.poses[complete], animated[complete], decoded)
