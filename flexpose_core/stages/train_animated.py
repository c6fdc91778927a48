"""Training a cell's detector on its few annotated images, animated: the people in them take the poses of the annotation set."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.files import digest
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.rendering.animation import Puppets
from flexpose_core.stages.train_detector import (
    DETECTOR_KIND,
    ETA_KIND,
    complete_poses,
    described,
    frames_of,
    initialised,
    places_of,
)
from flexpose_core.training.checkpoint import load_into, load_weights, save_weights
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.animated import AnimatedFrames
from flexpose_core.training.objectives.supervised import LabelledFrames, SupervisedObjective

_SHOWN, _COLUMNS, _SIDE = 24, 6, 128


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
    loop: LoopOptions | None = None,
) -> None:
    """Train Φ and η on the images of the shots and on animated ones; η was pretrained as for any detector.

    Of the unlabelled images only the empty scenes are used. The weights file is that of `train_detector` without Ψ.

    Raises
    ------
    DataError
        If the caches' skeletons differ, no pose or shot has all joints visible, or a shot is none of the images.
    ConfigError
        If the skeleton is not that of a jointed body.
    CheckpointError
        If `eta_weights` are of another architecture.
    """
    device = pick_device(options.device)
    pictures, poses, annotated = load_cache(image_cache, images=True), load_cache(pose_cache), load_cache(shots)
    for path, other in {pose_cache: poses, shots: annotated}.items():
        if other.skeleton.name != pictures.skeleton.name:
            raise DataError(
                f"{path}: expected skeleton {pictures.skeleton.name} as in {image_cache}, found {other.skeleton.name}"
            )
    architecture = options.architecture(len(poses.skeleton))
    prior = complete_poses(poses, pose_cache)
    description = described(architecture, poses.skeleton)
    eta_tensors, eta_header = load_weights(eta_weights, ETA_KIND, description)
    eta = initialised(SkeletonToKeypoints, architecture, seed, "eta", device)
    load_into(eta, eta_tensors, eta_weights)
    phi = initialised(ImageToSkeleton, architecture, seed, "phi", device)
    labelled = animated_frames(annotated, shots, pictures, image_cache, prior, options, animation, device)
    supervision = msgspec.structs.replace(options.supervision, steps=animation.steps)
    objective = SupervisedObjective(
        Detector(phi, eta), labelled, options.gan.average_decay, supervision, options.mixed_precision
    )
    identity = "\n".join(
        [
            msgspec.json.encode(msgspec.structs.replace(options, device="auto")).decode(),
            msgspec.json.encode(animation).decode(),
            digest(prior.tobytes()),
            digest(annotated.poses.tobytes()),
            str(pictures.image_checksum),
            str(eta_header["checksum"]),
        ]
    )
    train(objective, animation.steps, "animated", seed, work, identity, loop)
    detector = objective.average.module
    tensors = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    save_weights(out_weights, tensors, DETECTOR_KIND, description, {"seed": seed, "steps": animation.steps})


def animated_frames(
    annotated: PoseSet,
    shots: Path,
    pictures: PoseSet,
    image_cache: Path,
    prior: np.ndarray,
    options: DetectorOptions,
    animation: AnimationOptions,
    device: torch.device,
) -> AnimatedFrames:
    """Return the images whose poses the shots are, and what animates them; shots that lack joints are left out.

    Raises
    ------
    DataError
        If no shot has all joints visible, one is none of the images, or these have no backgrounds.
    """
    complete = annotated.visibility.all(axis=1)
    if not complete.any():
        raise DataError(f"{shots}: expected a shot with all joints visible, found none among {len(annotated)}")
    rows = places_of(annotated, pictures, shots)[complete]
    if pictures.images is None or pictures.backgrounds is None or pictures.background is None:
        raise DataError(f"{image_cache}: expected images and backgrounds, found poses alone")
    own = annotated.poses[complete]
    images, backgrounds = frames_of(pictures, options.size, options.contrast).take(torch.as_tensor(rows), device)
    labelled = LabelledFrames(images, backgrounds, torch.from_numpy(own), annotated.skeleton, options.supervision)
    puppets = Puppets(pictures.images[rows], pictures.backgrounds[pictures.background[rows]], own, annotated.skeleton)
    return AnimatedFrames(labelled, puppets, prior, pictures.backgrounds, animation, options.contrast)
