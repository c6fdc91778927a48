"""What the stages around g_s and β share: weights files, drawing and reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from flexpose_core.devices import mixed_precision
from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.measures import PIXELS
from flexpose_core.models import regressor as regressors
from flexpose_core.models import style_generator as generators
from flexpose_core.models.building import Network, channels_last
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import Adapter, GeneratorArchitecture, StyleGenerator
from flexpose_core.options.adaptation import Joints
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.skeletons import skeleton_named
from flexpose_core.training.checkpoint import load_into, load_weights, save_weights

CHUNK = 100
"""Images a forward pass: more do not fit the cores' caches."""


def save_generator(path: Path, generator: StyleGenerator, extra: dict | None = None) -> None:
    """Write a generator's weights atomically."""
    save_weights(
        path, dict(generator.state_dict()), generators.KIND, msgspec.to_builtins(generator.architecture), extra
    )


def load_generator(path: Path) -> StyleGenerator:
    """Return a frozen generator; raises CheckpointError for a damaged or foreign file."""
    return _load(path, generators.KIND, GeneratorArchitecture, StyleGenerator)


def save_regressor(path: Path, regressor: Regressor, extra: dict | None = None) -> None:
    """Write β's weights atomically."""
    save_weights(
        path, dict(regressor.state_dict()), regressors.KIND, msgspec.to_builtins(regressor.architecture), extra
    )


def load_regressor(path: Path) -> Regressor:
    """Return a frozen β; raises CheckpointError for a damaged or foreign file."""
    return _load(path, regressors.KIND, RegressorArchitecture, Regressor)


def _load(path: Path, kind: str, options: type, network: Callable[..., Network]) -> Network:
    tensors, header = load_weights(path, kind)
    try:
        built = network(msgspec.convert(header["architecture"], options))
    except (msgspec.ValidationError, ConfigError) as error:
        raise CheckpointError(f"{path}: expected the architecture of a {kind}, found {error}") from error
    load_into(built, tensors, path)
    return channels_last(built.eval().requires_grad_(False))


def check_fit(generator: GeneratorArchitecture, regressor: RegressorArchitecture, path: Path) -> None:
    """Raise CheckpointError, naming the regressor's `path`, unless β reads what the generator draws."""
    for name in ("skeleton", "channels", "resolution"):
        expected, found = getattr(generator, name), getattr(regressor, name)
        if expected != found:
            raise CheckpointError(f"{path}: {name}: expected {expected!r}, as the generator's, found {found!r}")


@torch.inference_mode()
def generate(
    generator: StyleGenerator, regressor: Regressor, z: Tensor, adapter: Adapter | None = None, mixed: bool = True
) -> tuple[Tensor, Tensor]:
    """Return images g(z) (N, C, S, S) and their joints β(g(z)) (N, K, 2), both float32, for latent codes (N, width)."""
    images, joints = [], []
    for chunk in z.split(CHUNK):
        with mixed_precision(z.device, mixed):
            drawn = generator(chunk, adapter)
            joints.append(regressor(drawn).float())
        images.append(drawn.float())
    return torch.cat(images), torch.cat(joints)


@torch.inference_mode()
def joints_of(
    generator: StyleGenerator,
    regressor: Regressor,
    z: Tensor,
    adapter: Adapter | None = None,
    mixed: bool = True,
    joints: Joints = "read",
) -> Tensor:
    """Return the joints of latent codes (N, width), as samples have them: β(g(z)), or the generator's own; (N, K, 2) float32."""
    if joints == "own":
        return generator.pose(z, adapter).float()
    return generate(generator, regressor, z, adapter, mixed)[1]


@torch.inference_mode()
def read(regressor: Regressor, images: Tensor, mixed: bool = True) -> Tensor:
    """Return β(images) (N, K, 2), float32."""
    joints = []
    for chunk in images.split(CHUNK):
        with mixed_precision(images.device, mixed):
            joints.append(regressor(chunk.contiguous(memory_format=torch.channels_last)).float())
    return torch.cat(joints)


def redraw(joints: Tensor, architecture: GeneratorArchitecture) -> Tensor:
    """Return ŷ = α(t̂) (Eq. 8), (N, C, S, S) as the generator draws, of joints (N, K, 2)."""
    skeleton = skeleton_named(architecture.skeleton)
    drawn = [draw_lines(some, skeleton, architecture.resolution, architecture.channels) for some in joints.split(CHUNK)]
    return torch.cat(drawn)


def joint_errors(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return mean, median and 95th percentile over joints and poses of the distance in px at 128."""
    distances = np.linalg.norm(predicted - truth, axis=-1) * PIXELS
    return {
        "mean_px": float(distances.mean()),
        "median_px": float(np.median(distances)),
        "p95_px": float(np.quantile(distances, 0.95)),
    }
