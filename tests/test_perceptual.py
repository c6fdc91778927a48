"""Γ: what each kind sees, where VGG16's weights come from, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.models.perceptual import (
    ImageObserver,
    PoseObserver,
    Vgg16Features,
    build_observer,
    load_vgg16,
    vgg16_trunk,
)
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import GeneratorArchitecture, StyleGenerator
from flexpose_core.models.transfer import Transfer
from flexpose_core.options.adaptation import AdaptationOptions, PerceptualOptions
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.skeletons import BODY15


def small_generator(mapping="pose", channels=3):
    torch.manual_seed(0)
    return StyleGenerator(
        GeneratorArchitecture(
            skeleton="body15",
            channels=channels,
            resolution=16,
            latent_width=6,
            mapping=mapping,
            mapping_widths=(8, 8),
            synthesis_widths=(8, 8, 6),
        )
    ).requires_grad_(False)


def small_regressor(channels=3):
    torch.manual_seed(1)
    return Regressor(
        RegressorArchitecture(skeleton="body15", channels=channels, resolution=16, width=4)
    ).requires_grad_(False)


def options(kind, **perceptual):
    return AdaptationOptions(perceptual=PerceptualOptions(kind=kind, **perceptual), mixed_precision=False)


@pytest.fixture
def z():
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["vgg16", "regressor", "joints", "pose"])
def test_both_sides_have_the_same_shapes_and_only_tau_gets_gradients(kind, channels, z):
    generator, regressor = small_generator(channels=channels), small_regressor(channels)
    observer, name = build_observer(options(kind, weights="random"), generator, regressor, seed=0)
    transfer = Transfer.for_generator(generator, ["all", "mapping"], bias=True)
    generated = observer.generated(z, transfer)
    guided = observer.guidance(torch.rand(3, 15, 2))
    assert [tuple(a.shape) for a in generated] == [tuple(b.shape) for b in guided]
    sum(level.square().sum() for level in generated).backward()
    assert transfer.mapping_blocks["3"].U.grad.abs().sum() > 0
    assert observer.joints(z, None).shape == (3, 15, 2)
    assert name


def test_joints_and_encoder_are_the_regressors(z):
    generator, regressor = small_generator(), small_regressor()
    poses = torch.rand(3, 15, 2)
    drawn = draw_lines(poses, BODY15, 16)
    for kind, expected in (("joints", [regressor(drawn)]), ("regressor", regressor.features(drawn))):
        observer, _ = build_observer(options(kind), generator, regressor, 0)
        for found, wanted in zip(observer.guidance(poses), expected, strict=True):
            torch.testing.assert_close(found, wanted)
        transfer = Transfer.for_generator(generator, [1], bias=False)
        torch.testing.assert_close(observer.joints(z, transfer), regressor(generator(z)))


def test_pose_kind_reads_the_generators_pose(z):
    generator = small_generator()
    observer, _ = build_observer(options("pose"), generator, small_regressor(), 0)
    assert isinstance(observer, PoseObserver)
    torch.testing.assert_close(observer.joints(z, None), generator.pose(z))
    with pytest.raises(ConfigError, match="'pose' needs a generator of mapping kind 'pose', found 'mlp'"):
        build_observer(options("pose"), small_generator("mlp"), small_regressor(), 0)


def test_vgg16_levels_and_one_channel():
    vgg = Vgg16Features(vgg16_trunk())
    levels = vgg(torch.randn(2, 3, 32, 32))
    assert [tuple(level.shape) for level in levels] == [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8)]
    assert all(level.min() == 0 for level in levels)
    grey = torch.rand(2, 1, 32, 32) * 2 - 1
    for one, three in zip(vgg(grey), vgg(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three)
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_first_vgg16_level_by_hand():
    vgg = Vgg16Features(vgg16_trunk())
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    normalised = ((image + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(1, 3, 1, 1)
    first, second = vgg.trunk[0], vgg.trunk[2]
    hidden = nn.functional.conv2d(normalised, first.weight, first.bias, padding=1).relu()
    expected = nn.functional.conv2d(hidden, second.weight, second.bias, padding=1).relu()
    torch.testing.assert_close(vgg(image)[0], expected)


def as_torchvision_names(trunk):
    return {f"features.{name}": tensor.clone() for name, tensor in trunk.state_dict().items()} | {
        "classifier.0.weight": torch.zeros(2, 2),
        "features.28.bias": torch.zeros(2),
    }


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_come_from_a_file(tmp_path, suffix):
    trunk = vgg16_trunk()
    path = tmp_path / f"vgg16.{suffix}"
    tensors = as_torchvision_names(trunk)
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    vgg, origin = load_vgg16(str(path), False, seed=5)
    assert origin == path.name
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(vgg.trunk.state_dict()[name], tensor)


def test_auto_takes_the_cache_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert load_vgg16("auto", False, seed=0)[1] == "random"
    with pytest.raises(ConfigError, match="allow_download is false, found no such file"):
        load_vgg16("imagenet", False, seed=0)
    trunk = vgg16_trunk()
    (tmp_path / "checkpoints").mkdir()
    torch.save(as_torchvision_names(trunk), tmp_path / "checkpoints" / "vgg16-397923af.pth")
    for weights in ("auto", "imagenet"):
        vgg, origin = load_vgg16(weights, False, seed=0)
        assert origin == "ImageNet"
        assert torch.equal(vgg.trunk[0].weight, trunk[0].weight)
    assert load_vgg16("random", False, seed=0)[1] == "random"


def test_random_weights_follow_the_seed_and_leave_the_global_state():
    state = torch.random.get_rng_state()
    first, again, other = (load_vgg16("random", False, seed)[0].trunk[0].weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


class Bomb:
    """What a pickle could do; it must not be built."""

    def __reduce__(self):
        return (pytest.fail, ("code in a weights file was run",))


def test_foreign_and_damaged_files_are_refused(tmp_path):
    missing = tmp_path / "none.safetensors"
    foreign = tmp_path / "foreign.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, foreign)
    shaped = tmp_path / "shaped.safetensors"
    save_file({name: torch.zeros(1) for name in as_torchvision_names(vgg16_trunk())}, shaped)
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"not a checkpoint")
    evil = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Bomb()}, evil)
    for path in (missing, foreign, shaped, damaged, evil):
        with pytest.raises(
            CheckpointError, match=f"{path.name}: expected weights of torchvision's vgg16, found"
        ) as caught:
            load_vgg16(str(path), False, seed=0)
        assert "\n" not in str(caught.value)


def test_image_observer_draws_in_the_generators_size_and_channels():
    generator, regressor = small_generator(channels=1), small_regressor(1)
    seen = []
    observer = ImageObserver(generator, regressor, lambda images: [seen.append(images.shape) or images], mixed=False)
    observer.guidance(torch.rand(2, 15, 2))
    observer.generated(torch.randn(2, 6), Transfer.for_generator(generator, [1], bias=False))
    assert seen == [(2, 1, 16, 16)] * 2


def test_the_trunk_is_torchvisions():
    """Where torchvision imports (its compiled operators must fit torch), its vgg16 gives the same features for the same weights."""
    try:
        from torchvision.models import vgg16
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision does not import here: {error}")
    original = vgg16(weights=None).features.eval()
    trunk = vgg16_trunk().eval()
    trunk.load_state_dict({name: original.state_dict()[name] for name in trunk.state_dict()})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trunk(images), original[: len(trunk)](images))
