"""Training of g_s: losses in closed form, objectives that learn, and the whole stage small, repeated and resumed."""

import math

import msgspec
import numpy as np
import pytest
import torch

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.files import read_json
from flexpose_core.models.building import initialised
from flexpose_core.models.discriminator import ImageDiscriminator, minibatch_deviation
from flexpose_core.models.discriminators import load_discriminator
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import GeneratorArchitecture, MappingNetwork, StyleGenerator
from flexpose_core.options.generator import DistillationOptions, GeneratorOptions, PoseGanOptions
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.poses.widening import widen
from flexpose_core.rendering.differentiable import draw_distances, draw_lines
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages import train_generator as stage
from flexpose_core.stages.priors import load_generator, save_regressor
from flexpose_core.stages.train_generator import train_generator
from flexpose_core.streams import StepRandom
from flexpose_core.training.loop import LoopOptions
from flexpose_core.training.objectives import adversarial, distillation, pose_gan
from flexpose_core.training.objectives.gan_losses import discriminator_loss, generator_loss, r1_penalty
from flexpose_core.training.resuming import remove_checkpoints

CPU = torch.device("cpu")
NETWORK = {"resolution": 16, "latent_width": 8, "mapping_widths": [16, 16], "synthesis_widths": [12, 12, 8]}


def some_poses(count, skeleton=BODY15, seed=0):
    random = np.random.default_rng(seed)
    spokes = np.random.default_rng(7).uniform(-1, 1, (1, len(skeleton), 2)) * random.uniform(0.5, 1.2, (count, 1, 1))
    return (0.5 + 0.3 * spokes + random.uniform(-0.1, 0.1, (count, 1, 2))).astype(np.float32)


def tiny_generator():
    tiny = {**NETWORK, "resolution": 8, "synthesis_widths": [16, 12], "skeleton": "body15"}
    architecture = msgspec.convert(tiny, GeneratorArchitecture)
    return initialised(lambda: StyleGenerator(architecture), 0, "initialise/test", CPU)


def test_losses_of_an_undecided_discriminator():
    zero = torch.zeros(4)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))
    sure = torch.full((4,), 50.0)
    assert discriminator_loss(sure, -sure).item() == pytest.approx(0, abs=1e-6)
    assert generator_loss(-sure).item() == pytest.approx(50)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight():
    weight = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    penalty = r1_penalty(lambda x: x @ weight, torch.randn(5, 3))
    assert penalty.item() == pytest.approx(7.0)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight)


def test_minibatch_deviation_tells_equal_images_from_different_ones():
    images = torch.randn(16, 3, 4, 4)
    extended = minibatch_deviation(images, 8)
    assert torch.equal(extended[:, :3], images)
    for group in (slice(0, 8), slice(8, 16)):
        expected = (images[group].numpy().var(axis=0) + 1e-6) ** 0.5
        assert extended[group, 3].numpy() == pytest.approx(np.full((8, 4, 4), expected.mean()), rel=1e-4)
    same = minibatch_deviation(images[:1].expand(8, -1, -1, -1))
    assert same[:, 3].max() < 2e-3


@pytest.mark.parametrize("resolution", [8, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_discriminators_return_one_logit_each(resolution, channels):
    assert ImageDiscriminator(channels, resolution, 8)(torch.randn(6, channels, resolution, resolution)).shape == (6,)
    assert PoseDiscriminator(FACE68, 8)(torch.rand(6, 68, 2)).shape == (6,)


def test_the_pose_discriminator_sees_bones():
    torch.manual_seed(0)
    discriminator = PoseDiscriminator(BODY15)
    poses = torch.rand(2, 15, 2)
    # Position inputs alone could be blinded; then bones still tell poses apart, but not a pose from a moved one.
    with torch.no_grad():
        discriminator.hidden[0].weight[:, :30] = 0
    torch.testing.assert_close(discriminator(poses), discriminator(poses + 0.1))
    assert (discriminator(poses)[0] - discriminator(poses)[1]).abs() > 1e-4


def test_bone_maps_agree_with_the_distance_drawing():
    poses, size = torch.from_numpy(some_poses(4)), 24
    brightest = distillation.bone_maps(poses, BODY15, size).amax(1)
    drawn = (draw_distances(poses, BODY15, size, decay=1 / size)[:, 0] + 1) / 2
    torch.testing.assert_close(brightest, drawn, atol=1e-3, rtol=1e-3)


def test_multiscale_error_of_a_constant_and_of_a_checkerboard():
    wanted = torch.randn(2, 3, 8, 8)
    assert distillation.multiscale_error(wanted + 0.5, wanted).item() == pytest.approx(0.25 * (1 + 2 + 4), rel=1e-4)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    # Pooling cancels it: the finest scale alone sees it.
    assert distillation.multiscale_error(wanted + board, wanted).item() == pytest.approx(1.0, rel=1e-4)


def test_distillation_learns_to_draw_and_leaves_f_alone():
    generator = tiny_generator()
    heads = initialised(lambda: distillation.BoneHeads((16, 12), 14), 0, "initialise/heads", CPU)
    options = DistillationOptions(steps=200, batch=16, average=0.9, reading_weight=0)
    with torch.no_grad():
        generator.f.layers[-1].bias.copy_(torch.from_numpy((some_poses(1)[0] - 0.5) / 0.15).flatten())
    regressor = Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4))
    objective = distillation.DistillationObjective(generator, heads, regressor, options)
    mapping = {name: value.clone() for name, value in generator.f.state_dict().items()}
    with torch.no_grad():
        poses = widen(generator.pose(torch.randn(100, 8)), BODY15, torch.Generator().manual_seed(0))
        wanted = draw_lines(poses, BODY15, 8)
    for step in range(options.steps):
        objective.step(step, StepRandom(0, "test", step))
    assert all(torch.equal(value, mapping[name]) for name, value in generator.f.state_dict().items())
    with torch.no_grad():
        error = (objective.averaged.draw(poses) - wanted).square().mean()
    # The mean image is the best drawing that ignores the pose.
    assert error < 0.8 * (wanted - wanted.mean(0)).square().mean()


def test_pose_gan_moves_towards_the_poses():
    architecture = msgspec.convert({**NETWORK, "skeleton": "body15"}, GeneratorArchitecture)
    mapping = initialised(lambda: MappingNetwork(architecture), 0, "initialise/f", CPU)
    discriminator = initialised(lambda: PoseDiscriminator(BODY15, 32), 0, "initialise/d", CPU)
    poses = torch.from_numpy(some_poses(500))
    options = PoseGanOptions(steps=400, batch=64, average=0.95)
    objective = pose_gan.PoseGanObjective(mapping, discriminator, poses, BODY15, 8, options)
    z = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))

    def apart():
        with torch.no_grad():
            made = objective.averaged.pose(z)
        return (made.mean(0) - poses.mean(0)).norm(dim=-1).mean().item()

    before = apart()
    for step in range(options.steps):
        objective.step(step, StepRandom(0, "test", step))
    assert apart() < 0.25 * before


OPTIONS = {
    "architecture": NETWORK,
    "pose_gan": {"steps": 12, "batch": 16, "discriminator_width": 16},
    "distillation": {"steps": 12, "batch": 4},
    "adversarial": {"steps": 18, "batch": 8, "discriminator_width": 8},
    "device": "cpu",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, seed in (("train", 0), ("more", 1), ("val", 2)):
        write_cache(folder / f"{name}.h5", [plain_batch(some_poses(60, seed=seed))], BODY15, {})
    for name, resolution in (("regressor", 16), ("foreign", 32)):
        torch.manual_seed(0)
        architecture = RegressorArchitecture(skeleton="body15", resolution=resolution, width=4)
        save_regressor(folder / f"{name}.safetensors", Regressor(architecture))
    return folder


@pytest.fixture(autouse=True)
def few_tested(monkeypatch):
    monkeypatch.setattr(stage, "_TESTED", 300)


def run(folder, inputs, seed=0, loop=None, regressor="regressor", **changes):
    out = {
        "out_weights": "g.safetensors",
        "out_metrics": "g.json",
        "out_picture": "g.png",
        "out_discriminator": "d.safetensors",
    }
    train_generator(
        msgspec.convert({**OPTIONS, **changes}, GeneratorOptions),
        3,
        [inputs / "train.h5", inputs / "more.h5"],
        [inputs / "val.h5"],
        inputs / f"{regressor}.safetensors",
        **{name: folder / file for name, file in out.items()},
        seed=seed,
        work=folder / "work",
        loop=loop,
    )
    return [(folder / file).read_bytes() for file in out.values()]


def test_metrics_are_complete_and_sources_pooled(tmp_path, inputs):
    run(tmp_path, inputs)
    metrics = read_json(tmp_path / "g.json")
    assert metrics["training_poses"] == 120
    assert metrics["held_out_poses"] == 60
    assert metrics["training"]["sliced_wasserstein_px"] < metrics["generated"]["sliced_wasserstein_px"]
    assert set(metrics["drawing"]) == {"mean_px", "median_px", "p95_px"}
    kept = {path.relative_to(tmp_path / "work").as_posix() for path in (tmp_path / "work").rglob("*.safetensors")}
    assert kept == {"pose_gan.safetensors", "distillation/state.safetensors"}
    remove_checkpoints(tmp_path / "work")
    assert not list((tmp_path / "work").rglob("*.safetensors"))
    generator = load_generator(tmp_path / "g.safetensors")
    assert generator.architecture.skeleton == "body15"
    assert generator.architecture.mapping == "pose"
    discriminator, options = load_discriminator(tmp_path / "d.safetensors", generator.architecture)
    assert isinstance(discriminator, PoseDiscriminator)
    assert options.steps == OPTIONS["pose_gan"]["steps"]


@pytest.mark.parametrize(
    ("changes", "objective", "at"),
    [
        ({}, pose_gan.PoseGanObjective, 7),
        ({}, distillation.DistillationObjective, 5),
        (
            {"training": "adversarial", "architecture": {**NETWORK, "mapping": "mlp"}},
            adversarial.AdversarialObjective,
            17,
        ),
    ],
    ids=["pose_gan", "distillation", "adversarial"],
)
def test_same_seed_same_bytes_even_when_interrupted(tmp_path, inputs, monkeypatch, changes, objective, at):
    whole = run(tmp_path / "whole", inputs, **changes)
    step, steps = objective.step, []

    def interrupted(self, number, random):
        steps.append(number)
        if number == at and steps.count(at) == 1:
            raise KeyboardInterrupt
        return step(self, number, random)

    monkeypatch.setattr(objective, "step", interrupted)
    often = LoopOptions(checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", inputs, loop=often, **changes)
    assert run(tmp_path / "cut", inputs, loop=often, **changes) == whole
    # No step was taken twice: the second run went on where the first one stopped.
    assert sorted(steps) == sorted([*range(max(steps) + 1), at])
    assert run(tmp_path / "other", inputs, seed=1, **changes)[0] != whole[0]


def test_mistakes_are_named(tmp_path, inputs):
    with pytest.raises(CheckpointError, match=r"resolution: expected 16.*found 32"):
        run(tmp_path, inputs, regressor="foreign")
    with pytest.raises(ConfigError, match=r"mapping: expected 'pose'.*found 'mlp'"):
        msgspec.convert({"architecture": {"mapping": "mlp"}}, GeneratorOptions)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"distillation": {"stepz": 3}}, GeneratorOptions)
