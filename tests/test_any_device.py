"""Training steps with their networks on another device than the CPU: torch's `meta`, where a tensor left behind is an error.

Those of animated people are not among them, whose images OpenCV draws; nor are the buffers of earlier translations.
"""

from __future__ import annotations

import contextlib
import importlib

import msgspec
import numpy as np
import pytest
import torch

from flexpose_core.models.adapters import build_adapter
from flexpose_core.models.cycle_gan import PatchDiscriminator, PersonToSkeleton, SkeletonToPerson
from flexpose_core.models.discriminator import ImageDiscriminator
from flexpose_core.models.keypoint_gan import (
    ImageToSkeleton,
    SkeletonDiscriminator,
    SkeletonToImage,
    SkeletonToKeypoints,
)
from flexpose_core.models.perceptual import build_observer
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.regressor import Regressor
from flexpose_core.models.style_generator import MappingNetwork, StyleGenerator
from flexpose_core.options.adaptation import AdaptationOptions, PerceptualOptions
from flexpose_core.options.cycle_gan import CycleGanArchitecture, CycleGanOptions
from flexpose_core.options.detector import (
    DetectorArchitecture,
    EtaOptions,
    KeypointGanOptions,
    SketchOptions,
    SupervisionOptions,
)
from flexpose_core.options.generator import (
    AdversarialOptions,
    DistillationOptions,
    GeneratorArchitecture,
    PoseGanOptions,
    RegressionOptions,
    RegressorArchitecture,
)
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.streams import StepRandom
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.adaptation import AdaptationObjective
from flexpose_core.training.objectives.adversarial import AdversarialObjective
from flexpose_core.training.objectives.cycle_gan import CycleGanObjective, ImageBuffer
from flexpose_core.training.objectives.distillation import BoneHeads, DistillationObjective
from flexpose_core.training.objectives.eta import EtaObjective, PosePrior
from flexpose_core.training.objectives.keypoint_gan import KeypointGanObjective
from flexpose_core.training.objectives.pose_gan import PoseGanObjective
from flexpose_core.training.objectives.regression import RegressionObjective
from flexpose_core.training.objectives.supervised import LabelledFrames

META = torch.device("meta")
OBJECTIVES = "adversarial cycle_gan distillation eta keypoint_gan pose_gan regression supervised"


@pytest.fixture(autouse=True)
def without_what_meta_lacks(monkeypatch):
    """`meta` has neither autocast nor the fused Adam, and tells no values."""
    modules = [f"flexpose_core.training.objectives.{name}" for name in OBJECTIVES.split()]
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())
    for name in [*modules, "flexpose_core.training.optimisers"]:
        module = importlib.import_module(name)
        if hasattr(module, "Adam"):
            monkeypatch.setattr(module, "Adam", _unfused(module.Adam))
    monkeypatch.setattr(ImageBuffer, "exchange", lambda self, fresh, random: fresh)


def _unfused(adam):
    return lambda parameters, *arguments, fused=False, **options: adam(parameters, *arguments, **options)


def two_steps(objective) -> None:
    for step in range(2):
        losses = objective.step(step, StepRandom(0, "test", step))
        assert losses
        assert {loss.device for loss in losses.values()} == {META}


def there(network):
    return network.to(META)


def prior(skeleton) -> PosePrior:
    poses = np.random.default_rng(0).uniform(0.2, 0.8, (20, len(skeleton), 2)).astype(np.float32)
    return PosePrior(poses, skeleton, META)


def frames(contrast="none") -> Frames:
    images, scenes = torch.zeros(12, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    return Frames(images, scenes, torch.arange(12) % 2, torch.arange(12) % 2, contrast)


def architecture_for(skeleton) -> DetectorArchitecture:
    return DetectorArchitecture(
        joints=len(skeleton),
        size=16,
        image_widths=(4, 8, 8),
        eta_widths=(8, 8),
        decoder_widths=(4, 8),
        discriminator_widths=(4, 8),
        symmetric=True,
    )


def generator_of(mapping="pose") -> GeneratorArchitecture:
    return GeneratorArchitecture(
        skeleton="body15",
        resolution=16,
        latent_width=8,
        mapping=mapping,
        mapping_widths=(16, 16),
        synthesis_widths=(12, 12, 8),
    )


def regressor() -> Regressor:
    return there(Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4)))


def test_a_tensor_left_on_the_cpu_is_noticed():
    objective = EtaObjective(there(SkeletonToKeypoints(architecture_for(BODY15))), prior(BODY15), 16, EtaOptions())
    objective.prior.device = torch.device("cpu")
    with pytest.raises((RuntimeError, NotImplementedError)):
        two_steps(objective)


def test_eta():
    two_steps(EtaObjective(there(SkeletonToKeypoints(architecture_for(BODY15))), prior(BODY15), 16, EtaOptions()))


@pytest.mark.parametrize(("skeleton", "contrast"), [(BODY15, "none"), (FACE68, "local")], ids=["people", "faces"])
@pytest.mark.parametrize("labelled", [False, True])
def test_keypoint_gan_with_sketches(skeleton, contrast, labelled):
    architecture = architecture_for(skeleton)
    shots = None
    if labelled:
        pictures = torch.zeros(5, 3, 16, 16, device=META)
        shots = LabelledFrames(pictures, pictures, torch.rand(5, len(skeleton), 2), skeleton, SupervisionOptions())
    objective = KeypointGanObjective(
        there(ImageToSkeleton(architecture)),
        there(SkeletonToKeypoints(architecture)),
        there(SkeletonToImage(architecture)),
        there(SkeletonDiscriminator(architecture)),
        frames(contrast),
        prior(skeleton),
        16,
        KeypointGanOptions(steps=6, batch=4, local_share=0.5),
        True,
        shots,
        SketchOptions(weight=1, batch=4),
    )
    two_steps(objective)


def test_pose_gan():
    f, judge = there(MappingNetwork(generator_of())), there(PoseDiscriminator(BODY15, 16))
    two_steps(PoseGanObjective(f, judge, torch.rand(30, 15, 2), BODY15, 8, PoseGanOptions(steps=6, batch=8)))


def test_distillation():
    heads = there(BoneHeads((12, 12, 8), len(BODY15.bones)))
    generator = there(StyleGenerator(generator_of()))
    # From the second step on β reads the drawings.
    two_steps(DistillationObjective(generator, heads, regressor(), DistillationOptions(steps=2, batch=4)))


def test_adversarial():
    generator, judge = there(StyleGenerator(generator_of("mlp"))), there(ImageDiscriminator(3, 16, 8))
    two_steps(AdversarialObjective(generator, judge, torch.rand(30, 15, 2), AdversarialOptions(steps=18, batch=8)))


def test_regression():
    two_steps(RegressionObjective(regressor(), torch.rand(30, 15, 2), RegressionOptions(steps=5, batch=4)))


@pytest.mark.parametrize(
    ("trained", "kind", "layers"),
    [
        ("transfer", "vgg16", "all"),
        ("transfer", "regressor", "all"),
        ("transfer", "joints", "all"),
        ("transfer", "pose", "mapping"),
        ("scale-shift", "regressor", "all"),
        ("low-rank", "regressor", "all"),
        ("generator", "regressor", "all"),
    ],
)
def test_adaptation(trained, kind, layers):
    generator, read = there(StyleGenerator(generator_of())).requires_grad_(False), regressor().requires_grad_(False)
    options = AdaptationOptions(
        trained=trained,
        layers=layers,
        perceptual=PerceptualOptions(kind=kind, weights="random"),
        pair_steps=1,
        energy_steps=1,
        pair_batch=4,
        energy_batch=4,
    )
    adapter = there(build_adapter(options, generator, 0))
    observer, _ = build_observer(options, adapter.host(generator), read, 0)
    two_steps(AdaptationObjective(adapter, observer, torch.randn(20, 8), torch.rand(20, 15, 2), BODY15, options))


def test_cycle_gan():
    own = {"size": 16, "widths": (8, 16), "blocks": 1, "discriminator_widths": (8, 16)}
    architecture = msgspec.convert(own, CycleGanArchitecture)
    options = msgspec.convert({**own, "steps": 6, "batch": 4, "buffer": 6}, CycleGanOptions)
    objective = CycleGanObjective(
        there(SkeletonToPerson(architecture)),
        there(PersonToSkeleton(architecture)),
        there(PatchDiscriminator(6, (8, 16))),
        there(PatchDiscriminator(1, (8, 16))),
        frames(),
        prior(BODY15),
        options,
    )
    two_steps(objective)
