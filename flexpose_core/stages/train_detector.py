"""From images and unpaired poses to a keypoint detector: η alone, then KeypointGAN, for some kinds of images after sketches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import nn

from flexpose_core import seeds
from flexpose_core.devices import arithmetic, pick_device
from flexpose_core.errors import DataError
from flexpose_core.files import digest, write_json
from flexpose_core.measures.detection import detection_metrics
from flexpose_core.models.building import initialised
from flexpose_core.models.keypoint_gan import (
    Detector,
    ImageToSkeleton,
    SkeletonDiscriminator,
    SkeletonToImage,
    SkeletonToKeypoints,
)
from flexpose_core.options.detector import Contrast, DetectorArchitecture, DetectorOptions
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.poses.images import EncodedImages
from flexpose_core.poses.pool import complete_poses
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.rendering.pictures import enlarge
from flexpose_core.skeletons import Skeleton
from flexpose_core.stamp import code_stamp
from flexpose_core.training.checkpoint import load_into, load_weights, save_weights
from flexpose_core.training.frames import Frames, Pixels
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.eta import DECAY, EtaObjective, PosePrior
from flexpose_core.training.objectives.keypoint_gan import KeypointGanObjective, reach_at
from flexpose_core.training.objectives.sketched import SketchedFrames, SketchedObjective
from flexpose_core.training.objectives.supervised import LabelledFrames, SupervisedObjective

ETA_KIND = "keypoint_regressor"
DETECTOR_KIND = "keypoint_detector"
_ETA_TEST_POSES = 512
_DECODED_AT_ONCE = 1024
IN_MEMORY = 4_000_000_000
SKETCHES = "sketches"
"""What the training on sketches is called, and its folder within the detector's."""


def pretrain_eta(
    options: DetectorOptions,
    pose_cache: Path,
    out_weights: Path,
    out_metrics: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
) -> None:
    """Train η on drawings of the poses; the metrics are its errors on clean drawings of some of the same poses.

    Raises
    ------
    DataError
        If no pose of the cache has all joints visible.
    """
    device = pick_device(options.device)
    poses = load_cache(pose_cache)
    architecture = options.architecture(len(poses.skeleton))
    # A drawing lacking limbs would teach Φ to drop them.
    complete = complete_poses(poses, pose_cache)
    eta = untrained(SkeletonToKeypoints, architecture, seed, "eta", device)
    objective = EtaObjective(
        eta, PosePrior(complete, poses.skeleton, device), options.size, options.eta, options.mixed_precision
    )
    identity = _identity(options, digest(complete.tobytes()))
    train(objective, options.eta.steps, "eta", seed, work, identity, loop)

    some = seeds.rng(seed, "eta_test").choice(len(complete), min(_ETA_TEST_POSES, len(complete)), replace=False)
    drawn = draw_distances(torch.from_numpy(complete[some]).to(device), poses.skeleton, options.size, DECAY)
    eta.eval()
    with torch.no_grad():
        predicted = eta(drawn).cpu().numpy()
    visible = np.ones(predicted.shape[:2], np.uint8)
    write_json(out_metrics, detection_metrics(predicted, complete[some], visible, poses.skeleton))
    save_weights(out_weights, eta.state_dict(), ETA_KIND, described(architecture, poses.skeleton), {"seed": seed})


def train_detector(
    options: DetectorOptions,
    image_cache: Path,
    pose_cache: Path,
    eta_weights: Path,
    out_weights: Path,
    seed: int,
    work: Path,
    loop: LoopOptions | None = None,
    supervision: Literal["none", "added", "alone"] = "none",
    shots: Path | None = None,
) -> None:
    """Train KeypointGAN on the images, whose own poses are not looked at, and on the poses of another cache.

    If `options.sketches` say so, Φ and η learn from sketches of these poses first.

    The weights file holds the averaged Φ and η under "detector." and, if it was trained, Ψ under "psi.".

    Parameters
    ----------
    supervision
        "added": the images of the shots and their poses are learnt from too; "alone": they are all that Φ and η learn
        from, η's pretraining apart.
    shots
        Annotations of some of the images.

    Raises
    ------
    DataError
        If the caches' skeletons differ, no pose has all joints visible, or a shot is none of the images.
    CheckpointError
        If `eta_weights` are of another architecture.
    """
    device = pick_device(options.device)
    pictures, poses = load_cache(image_cache, images=True), load_cache(pose_cache)
    wanted, found = pictures.skeleton.name, poses.skeleton.name
    if wanted != found:
        raise DataError(f"{pose_cache}: expected skeleton {wanted} as in {image_cache}, found {found}")
    architecture = options.architecture(len(poses.skeleton))
    # A drawing lacking limbs would teach Φ to drop them.
    complete = complete_poses(poses, pose_cache)
    description = described(architecture, poses.skeleton)
    eta_tensors, eta_header = load_weights(eta_weights, ETA_KIND, description)
    eta = untrained(SkeletonToKeypoints, architecture, seed, "eta", device)
    load_into(eta, eta_tensors, eta_weights)
    psi = untrained(SkeletonToImage, architecture, seed, "psi", device)
    # Only the shots' images are looked at where nothing else is learnt from.
    frames = frames_of(pictures, options.size, options.contrast, in_memory=0 if supervision == "alone" else IN_MEMORY)
    phi = untrained(ImageToSkeleton, architecture, seed, "phi", device)
    labelled, labels = None, ""
    if supervision != "none":
        if shots is None:
            raise DataError(f"detector: expected shots for supervision {supervision!r}, found none")
        labelled, labels = labelled_frames(shots, pictures, frames, options, device), supervision
    checksums = digest(complete.tobytes()), pictures.pictures_checksum, eta_header["checksum"]
    identity = _identity(
        options, *checksums, labels, "" if shots is None else digest(load_cache(shots).poses.tobytes())
    )
    objective: SupervisedObjective | KeypointGanObjective
    if supervision == "alone" and labelled is not None:
        steps, decay = options.supervision.steps, options.gan.average_decay
        objective = SupervisedObjective(
            Detector(phi, eta), labelled, decay, options.supervision, options.mixed_precision
        )
        train(objective, steps, "supervised", seed, work, identity, loop)
    else:
        steps = options.gan.steps
        prior = PosePrior(complete, poses.skeleton, device)
        if options.sketches.steps:
            _learn_from_sketches(
                Detector(phi, eta), frames, prior, options, seed, Path(work) / SKETCHES, identity, loop
            )
        objective = KeypointGanObjective(
            phi=phi,
            eta=eta,
            psi=psi,
            discriminator=untrained(SkeletonDiscriminator, architecture, seed, "discriminator", device),
            frames=frames,
            prior=prior,
            size=options.size,
            options=options.gan,
            mixed=options.mixed_precision,
            labelled=labelled,
            sketches=options.sketches,
        )
        train(objective, steps, "keypoint_gan", seed, work, identity, loop)

    networks = {"detector": objective.average.module, **({} if supervision == "alone" else {"psi": psi})}
    save_detector(out_weights, networks, description, seed, steps, arithmetic(device, options.mixed_precision))


def _learn_from_sketches(
    detector: Detector,
    frames: Frames,
    prior: PosePrior,
    options: DetectorOptions,
    seed: int,
    work: Path,
    identity: str,
    loop: LoopOptions | None,
) -> None:
    """Train Φ and η on sketches of the poses, before any image is seen; Φ as near-sighted as KeypointGAN has it at first."""
    detector.phi.reach = reach_at(0, options.gan)
    sketched = SketchedFrames(frames, prior, options.gan.jitter, options.sketches.batch)
    objective = SketchedObjective(
        detector, sketched, options.gan.average_decay, options.sketches, options.mixed_precision
    )
    train(objective, options.sketches.steps, SKETCHES, seed, work, identity, loop)


def save_detector(
    out: Path,
    networks: dict[str, nn.Module],
    description: dict[str, Any],
    seed: int,
    steps: int,
    computed: str,
) -> None:
    """Write what `stages.evaluate.load_detector` loads: "detector", Φ and η as one network, and "psi", Ψ, if it was trained.

    Parameters
    ----------
    computed
        The `devices.arithmetic` of their training.
    """
    tensors = {
        f"{part}.{name}": value for part, network in networks.items() for name, value in network.state_dict().items()
    }
    stated = {"seed": seed, "steps": steps, "arithmetic": computed}
    save_weights(out, tensors, DETECTOR_KIND, description, stated)


def labelled_frames(
    shots: Path, pictures: PoseSet, frames: Frames, options: DetectorOptions, device: torch.device
) -> LabelledFrames:
    """Return the images whose poses the shots are; raises DataError if one is not among the pictures."""
    annotated = load_cache(shots)
    rows = torch.as_tensor(places_of(annotated, pictures, shots))
    images, backgrounds = frames.take(rows, device)
    return LabelledFrames(
        images, backgrounds, torch.from_numpy(annotated.poses), annotated.skeleton, options.supervision
    )


def places_of(shots: PoseSet, pictures: PoseSet, path: Path) -> np.ndarray:
    """Return the row of each shot among the pictures, the one of the same sequence, frame and pose."""
    keys = [
        [(int(a), int(b), pose.tobytes()) for a, b, pose in zip(of.sequence, of.frame, of.poses, strict=True)]
        for of in (pictures, shots)
    ]
    known = {key: row for row, key in enumerate(keys[0])}
    missing = [key for key in keys[1] if key not in known]
    if missing:
        raise DataError(
            f"{path}: expected poses of the images, found sequence {missing[0][0]}, frame {missing[0][1]}, which is none"
        )
    return np.array([known[key] for key in keys[1]], np.int64)


def untrained(
    network: type[nn.Module], architecture: DetectorArchitecture, seed: int, name: str, device: torch.device
) -> Any:
    """Return one of the detector's networks with first weights that depend on seed and name alone."""
    return initialised(lambda: network(architecture), seed, f"detector/{name}", device)


def described(architecture: DetectorArchitecture, skeleton: Skeleton) -> dict[str, Any]:
    """Return what a weights file states: the architecture as plain JSON values, and the skeleton's name."""
    stated = {**msgspec.json.decode(msgspec.json.encode(architecture)), "skeleton": skeleton.name}
    # Files of before there were these options remain what they are.
    usual = {"contrast": "none", "symmetric": False}
    return {key: value for key, value in stated.items() if key not in usual or value != usual[key]}


class DecodedImages:
    """Images (N, 3, size, size) uint8 that are decoded each time they are asked for: for sets larger than memory."""

    def __init__(self, images: EncodedImages, size: int) -> None:
        self.images, self.size = images, size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        decoded = self.images[rows.numpy()]
        decoded = decoded if decoded.shape[1] == self.size else enlarge(decoded, self.size)
        return torch.from_numpy(np.ascontiguousarray(decoded.transpose(0, 3, 1, 2)))

    def all(self) -> torch.Tensor:
        """Return all images in one tensor."""
        images = torch.empty(len(self), 3, self.size, self.size, dtype=torch.uint8)
        for rows in torch.arange(len(self)).split(_DECODED_AT_ONCE):
            images[rows[0] : rows[-1] + 1] = self[rows]
        return images


def frames_of(pictures: PoseSet, size: int, contrast: Contrast, in_memory: int = IN_MEMORY) -> Frames:
    """Return the images at the working resolution, area-averaged where that is lower; poses are left behind.

    A detector must see them in the contrast that it was trained in.
    Images and backgrounds that take at most `in_memory` bytes each are decoded once and for all.
    """
    if pictures.images is None or pictures.backgrounds is None or pictures.background is None:
        raise DataError("detector: expected a pose set loaded with its images and backgrounds, found poses alone")

    def pixels(images: EncodedImages) -> Pixels:
        lazy = DecodedImages(images, size)
        return lazy.all() if len(images) * size * size * 3 <= in_memory else lazy

    return Frames(
        images=pixels(pictures.images),
        backgrounds=pixels(pictures.backgrounds),
        background=torch.from_numpy(pictures.background.astype(np.int64)),
        sequence=torch.from_numpy(pictures.sequence.astype(np.int64)),
        contrast=contrast,
    )


def _identity(options: DetectorOptions, *checksums: str) -> str:
    """State all that shapes the result, the code too; where it runs and how it is watched do not."""
    shaping = msgspec.structs.replace(options, device="auto")
    return "\n".join([code_stamp(__name__), msgspec.json.encode(shaping).decode(), *checksums])
