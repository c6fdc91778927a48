"""Γ: in what features generated and guidance poses are compared (paper, Eq. 5), and where g_t's joints are read from.

An `Observer` looks at a generator. `ImageObserver` has it draw images and takes features of them: VGG16's as in the
paper, or β's. `PoseObserver` reads the pose that a generator of mapping kind "pose" stands for; no image is drawn,
which is a thousand times cheaper, and only layers of the mapping network can then be fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from flexpose_core import seeds
from flexpose_core.devices import mixed_precision
from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.files import digest
from flexpose_core.models.adapters import AnyAdapter
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.options.adaptation import AdaptationOptions, PerceptualOptions
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.skeletons import skeleton_named

Extractor = Callable[[Tensor], list[Tensor]]

# relu1_2, relu2_2 and relu3_3: a 32-pixel image has 8 × 8 places left there.
_VGG_TAPS = (3, 8, 15)
_VGG_WIDTHS = ((64, 64), (128, 128), (256, 256, 256))
_VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Observer(Protocol):
    """What the fit of τ sees of g_t and of the guidance."""

    def generated(self, z: Tensor, transfer: AnyAdapter) -> list[Tensor]:
        """Return Γ(g_t(z)), tensors with the batch first."""

    def guidance(self, poses: Tensor) -> list[Tensor]:
        """Return Γ(α(t)) of poses (B, K, 2), tensors of the same shapes."""

    def joints(self, z: Tensor, transfer: AnyAdapter | None) -> Tensor:
        """Return the joints (B, K, 2) of g_t(z) in 0..1, with gradients."""


class PoseObserver:
    """Γ = the generator's own pose; for mapping kind "pose" only, else ConfigError."""

    def __init__(self, generator: StyleGenerator) -> None:
        if generator.architecture.mapping != "pose":
            raise ConfigError(
                "perceptual.kind: 'pose' needs a generator of mapping kind 'pose', "
                f"found {generator.architecture.mapping!r}"
            )
        self.generator = generator

    def generated(self, z: Tensor, transfer: AnyAdapter) -> list[Tensor]:
        return [self.generator.pose(z, transfer)]

    def guidance(self, poses: Tensor) -> list[Tensor]:
        return [poses]

    def joints(self, z: Tensor, transfer: AnyAdapter | None) -> Tensor:
        return self.generator.pose(z, transfer)


class ImageObserver:
    """Γ = features of images; joints are β's."""

    def __init__(
        self, generator: StyleGenerator, regressor: Regressor, extractor: Extractor, mixed: bool = True
    ) -> None:
        self.generator, self.regressor, self.extractor, self.mixed = generator, regressor, extractor, mixed
        self.skeleton = skeleton_named(generator.architecture.skeleton)

    def generated(self, z: Tensor, transfer: AnyAdapter) -> list[Tensor]:
        return self._features(self._draw(z, transfer))

    def guidance(self, poses: Tensor) -> list[Tensor]:
        architecture = self.generator.architecture
        return self._features(draw_lines(poses, self.skeleton, architecture.resolution, architecture.channels))

    def joints(self, z: Tensor, transfer: AnyAdapter | None) -> Tensor:
        images = self._draw(z, transfer)
        with mixed_precision(z.device, self.mixed):
            return self.regressor(images).float()

    def _draw(self, z: Tensor, transfer: AnyAdapter | None) -> Tensor:
        with mixed_precision(z.device, self.mixed):
            return self.generator(z, transfer).contiguous(memory_format=torch.channels_last)

    def _features(self, images: Tensor) -> list[Tensor]:
        with mixed_precision(images.device, self.mixed):
            return [feature.float() for feature in self.extractor(images.contiguous(memory_format=torch.channels_last))]


def build_observer(
    options: AdaptationOptions, generator: StyleGenerator, regressor: Regressor, seed: int
) -> tuple[Observer, str]:
    """Return Γ by its options, and in words what it is.

    Raises
    ------
    ConfigError
        If the generator has no pose to read, or weights are demanded that are not there.
    CheckpointError
        If a file of weights is missing or foreign.
    """
    perceptual, extractor = options.perceptual, regressor.features
    if perceptual.kind == "pose":
        return PoseObserver(generator), "pose"
    name = "encoder of β"
    if perceptual.kind == "joints":
        extractor, name = (lambda images: [regressor(images)]), "joints of β"
    elif perceptual.kind == "vgg16":
        vgg, origin = load_vgg16(perceptual.weights, perceptual.allow_download, seed)
        extractor, name = vgg.to(next(generator.parameters()).device), f"VGG16, {origin} weights"
    return ImageObserver(generator, regressor, extractor, options.mixed_precision), name


def features_stamp(options: PerceptualOptions, seed: int) -> str:
    """Return a digest of the weights of Γ that no other file's checksum tells of, VGG16's; "" where it has none.

    Raises as `build_observer`.
    """
    if options.kind != "vgg16":
        return ""
    vgg, _ = load_vgg16(options.weights, options.allow_download, seed)
    return digest(*(value.numpy().tobytes() for value in vgg.state_dict().values()))


class Vgg16Features(nn.Module):
    """Three levels of VGG16 (Simonyan & Zisserman 2015) of images in -1..1; one channel counts as three equal ones."""

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Sequential) -> None:
        super().__init__()
        self.trunk = trunk.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = ((images.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        taps = []
        for number, layer in enumerate(self.trunk):
            x = layer(x)
            if number in _VGG_TAPS:
                taps.append(x)
        return taps


def load_vgg16(weights: str, allow_download: bool, seed: int) -> tuple[Vgg16Features, str]:
    """Return VGG16's first levels and the origin of their weights; `weights` as in `PerceptualOptions`.

    Raises
    ------
    ConfigError
        If "imagenet" is asked for, not in torchvision's cache, and no download is allowed.
    CheckpointError
        If a file is missing or does not hold VGG16's weights.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(_VGG_URL).name
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.derive(seed, "vgg16"))
        trunk = vgg16_trunk()
    if weights == "random" or (weights == "auto" and not cached.exists()):
        return Vgg16Features(trunk), "random"
    if weights == "imagenet" and not cached.exists():
        if not allow_download:
            raise ConfigError(f"perceptual.weights: expected {cached}, as allow_download is false, found no such file")
        torch.hub.load_state_dict_from_url(_VGG_URL, progress=False, check_hash=True, weights_only=True)
    from_cache = weights in ("auto", "imagenet")
    path = cached if from_cache else Path(weights)
    load_trunk(trunk, path)
    return Vgg16Features(trunk), "ImageNet" if from_cache else path.name


def vgg16_trunk() -> nn.Sequential:
    """Return VGG16's first three levels, numbered as in torchvision's `vgg16().features`, at random (He et al. 2015).

    The seven convolutions are written out, since importing torchvision fails beside a torch that its compiled
    operators do not fit, and none of those is needed.
    """
    layers: list[nn.Module] = []
    before = 3
    for level in _VGG_WIDTHS:
        layers += [nn.MaxPool2d(2)] if layers else []
        for width in level:
            convolution = nn.Conv2d(before, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
            before = width
    return nn.Sequential(*layers)


def load_trunk(trunk: nn.Sequential, path: Path) -> None:
    """Load the convolutions from a file with torchvision's names, the classifier and later levels ignored."""
    wanted = trunk.state_dict()
    try:
        # torchvision hands out .pth files alone; weights_only restricts the unpickler to tensors.
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        trunk.load_state_dict({name: tensors[f"features.{name}"] for name in wanted})
    except KeyError as error:
        raise CheckpointError(f"{path}: expected weights of torchvision's vgg16, found no tensor {error}") from error
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, EOFError, UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: expected weights of torchvision's vgg16, found {reason}") from error
