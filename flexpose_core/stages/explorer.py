"""A page to look around in: samples before and after the adaptation, ways between latent codes, errors on test images."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flexpose_core import streams
from flexpose_core.devices import pick_device
from flexpose_core.errors import DataError
from flexpose_core.files import write_text
from flexpose_core.measures.detection import better_labelling, squared_distances
from flexpose_core.measures.shapes import pose_distances
from flexpose_core.models.adapters import load_adapter
from flexpose_core.options.adaptation import Joints
from flexpose_core.poses.cache import PoseSet, load_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.rendering.pictures import enlarge
from flexpose_core.skeletons import Skeleton
from flexpose_core.stages.evaluate import load_detector, predict
from flexpose_core.stages.priors import check_fit, joints_of, load_generator, load_regressor
from flexpose_core.stages.train_detector import frames_of

_PLACE = "@DATA@"
_SAMPLES, _STOPS, _BETWEEN, _IMAGES, _SIDE, _DIGITS = 120, 8, 12, 24, 128, 4


def explore(
    about: Mapping[str, Any],
    template: Path,
    generator_weights: Path,
    regressor_weights: Path,
    transfer_weights: Path,
    shots: Path,
    detector_weights: Path,
    test: Path,
    seed: int,
    out: Path,
    joints: Joints = "read",
    device: str = "auto",
    mixed: bool = True,
) -> None:
    """Write a page that needs no server and no other file: all poses and images are in it.

    Parameters
    ----------
    about
        What is shown, by name.
    template
        The page with "@DATA@" where its data go.
    joints
        Of samples, see `AdaptationOptions`.
    mixed
        Whether samples are drawn and read in bfloat16, where the device computes with it.

    Raises
    ------
    DataError
        If the template has no place for the data.
    CheckpointError
        If weights are missing, damaged, or do not belong together.
    """
    page = Path(template).read_text(encoding="utf-8")
    if page.count(_PLACE) != 1:
        raise DataError(f"{template}: expected {_PLACE} once, found it {page.count(_PLACE)} times")
    where = pick_device(device)
    generator, regressor = load_generator(generator_weights).to(where), load_regressor(regressor_weights).to(where)
    check_fit(generator.architecture, regressor.architecture, regressor_weights)
    transfer = load_adapter(transfer_weights, generator).to(where).requires_grad_(False)
    adapted = transfer.host(generator)

    def both(z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        pairs = ((generator, None), (adapted, transfer))
        before, after = (
            joints_of(network, regressor, z.to(where), tau, mixed, joints).cpu().numpy() for network, tau in pairs
        )
        return before, after

    random = streams.torch_generator(seed, "explorer")
    width = generator.architecture.latent_width
    samples = both(torch.randn(_SAMPLES, width, generator=random))
    way = both(ways(torch.randn(_STOPS, width, generator=random), _BETWEEN))
    drawn, split = load_cache(shots), load_cache(test, images=True)
    detector, _, architecture, _ = load_detector(detector_weights, where)
    chosen = np.linspace(0, len(split) - 1, min(_IMAGES, len(split))).astype(int)
    # Of the images only those shown are decoded.
    frames = frames_of(split, architecture.size, architecture.contrast, in_memory=0)
    found = predict(detector, frames, where, chosen)
    data = {
        "about": [[name, str(value)] for name, value in about.items()],
        "joints": list(drawn.skeleton.joints),
        "bones": bones(drawn.skeleton),
        "shots": _rounded(drawn.poses, drawn.visibility),
        "samples": sampled(*samples, drawn.poses, split.poses[split.visibility.all(axis=1)]),
        "way": {"source": _rounded(way[0]), "adapted": _rounded(way[1]), "steps": _BETWEEN},
        "images": examples(found, split, chosen),
    }
    # "</" would end the element that the data stand in.
    write_text(
        out, page.replace(_PLACE, json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"))
    )


def ways(stops: Tensor, steps: int) -> Tensor:
    """Return latent codes (S · steps, width) on the way from each stop (S, width) to the next and back to the first.

    The ways keep the distribution of the codes: a cos φ + b sin φ of independent normal a, b is normal for each φ.
    """
    angle = torch.arange(steps)[None, :, None] / steps * torch.pi / 2
    return (stops[:, None] * angle.cos() + stops.roll(-1, 0)[:, None] * angle.sin()).flatten(0, 1)


def sampled(source: np.ndarray, adapted: np.ndarray, shots: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return samples (N, K, 2), each adapted one with the number of the nearest shot and with the nearest target pose.

    Distances are means over joints in px at 128. Without target poses there are none to be near.
    """
    to_shots = pose_distances(adapted, shots)
    told: dict[str, Any] = {
        "source": _rounded(source),
        "adapted": _rounded(adapted),
        "shot": to_shots.argmin(axis=1).tolist(),
        "shot_px": to_shots.min(axis=1).astype(float).round(2).tolist(),
        "target": [],
        "target_px": [],
    }
    if len(target):
        to_target = pose_distances(adapted, target)
        told["target"] = _rounded(target[to_target.argmin(axis=1)])
        told["target_px"] = to_target.min(axis=1).astype(float).round(2).tolist()
    return told


def bones(skeleton: Skeleton) -> list[list[Any]]:
    """Return each bone as places of its two joints and its colour, "#rrggbb"."""
    colours = np.round(skeleton.bone_colours * 255).astype(int).tolist()
    ends = skeleton.bone_ends.tolist()
    return [
        [*pair, "#" + "".join(f"{part:02x}" for part in colour)] for pair, colour in zip(ends, colours, strict=True)
    ]


def examples(found: np.ndarray, split: PoseSet, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Return images as data URLs with the joints found, under the better left/right labelling, the true ones, and errors in px.

    Parameters
    ----------
    found
        (n, K, 2) in 0..1, of the rows `chosen` (n,).
    """
    if split.images is None:
        raise DataError("explorer: expected a test split with images, found none")
    truth, visibility = split.poses[chosen], split.visibility[chosen].astype(bool)
    labelled = better_labelling(found, truth, visibility, split.skeleton)
    errors = np.sqrt(squared_distances(labelled, truth))
    encoded = encode_images(enlarge(split.images[chosen], _SIDE), "jpeg")
    return [
        {
            "jpeg": "data:image/jpeg;base64," + base64.b64encode(bytes(encoded[row])).decode(),
            "found": _rounded(labelled[row]),
            "true": _rounded(truth[row], visibility[row]),
            "errors": [round(float(e), 2) if v else None for e, v in zip(errors[row], visibility[row], strict=True)],
        }
        for row in range(len(chosen))
    ]


def _rounded(poses: np.ndarray, visibility: np.ndarray | None = None) -> list[Any]:
    """Return poses (..., K, 2) as lists; joints that are not visible, or nowhere, are None."""
    seen = np.isfinite(poses).all(axis=-1) if visibility is None else visibility.astype(bool)
    flat = poses.reshape(-1, 2).astype(float).round(_DIGITS).tolist()
    joints = np.empty(seen.size, object)
    joints[:] = [place if shown else None for place, shown in zip(flat, seen.ravel(), strict=True)]
    return joints.reshape(seen.shape).tolist()
