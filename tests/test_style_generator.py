"""The style generator: modulation against explicit weights, where τ acts, both kinds of f, weights files."""

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.models.building import initialised
from flexpose_core.models.convolution import EqualisedLinear
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import (
    GeneratorArchitecture,
    StyledConvolution,
    StyleGenerator,
    fourier_features,
)
from flexpose_core.models.transfer import parse_layers
from flexpose_core.options.generator import GeneratorNetworkOptions
from flexpose_core.stages.priors import check_fit, load_generator, load_regressor, save_generator

SMALL = {"resolution": 16, "latent_width": 6, "mapping_widths": (9, 8), "synthesis_widths": (10, 8, 6)}


def generator(mapping="pose", skeleton="body15", channels=3):
    architecture = GeneratorArchitecture(skeleton=skeleton, channels=channels, mapping=mapping, **SMALL)
    return initialised(lambda: StyleGenerator(architecture), 0, "initialise/test", torch.device("cpu")).requires_grad_(
        False
    )


@pytest.fixture
def z():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("upsample", [False, True])
def test_modulation_equals_convolutions_with_weights_of_their_own(upsample):
    torch.manual_seed(0)
    layer = StyledConvolution(4, 3, upsample)
    torch.nn.init.normal_(layer.convolution.bias)
    x, style = torch.randn(2, 4, 5, 5), torch.randn(2, 4)
    rows = []
    for image, s in zip(x, style, strict=True):
        # Karras et al. 2020, Eq. 1 and 3, weight by weight.
        weight = layer.convolution.weight.view(3, 4, 3, 3) / 6 * s.view(1, 4, 1, 1)
        weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        if upsample:
            image = F.interpolate(image[None], scale_factor=2, mode="bilinear")[0]
        rows.append(F.leaky_relu(F.conv2d(image[None], weight, layer.convolution.bias, padding=1), 0.2))
    torch.testing.assert_close(layer(x, style), torch.cat(rows), rtol=1e-4, atol=1e-5)


class Recorder:
    """A τ that notes what it is given and adds to chosen layers."""

    def __init__(self, **shifts):
        self.shifts, self.seen = shifts, []

    def mapping(self, layer, hidden):
        self.seen.append((f"f{layer}", hidden.shape[1]))
        return hidden + self.shifts.get(f"f{layer}", 0)

    def style(self, layer, style, w):
        self.seen.append((layer, style.shape[1]))
        return style + self.shifts.get(f"s{layer}", 0)


@pytest.mark.parametrize("mapping", ["pose", "mlp"])
def test_transfer_meets_every_layer_once_with_the_stated_widths(mapping, z):
    g = generator(mapping)
    transfer = Recorder()
    assert torch.equal(g(z, transfer), g(z))
    expected = [(f"f{k}", width) for k, width in enumerate(g.mapping_widths, 1)]
    expected += [(k, width) for k, width in enumerate(g.style_widths, 1)]
    assert transfer.seen == expected
    assert len(g.style_widths) == 6
    assert g.style_widths == (10, 10, 10, 8, 8, 6)
    assert [style.shape for style in g.styles(g.map(z))] == [(5, width) for width in g.style_widths]


def test_shifting_the_pose_layer_moves_all_joints_in_its_units(z):
    g = generator()
    moved = g.pose(z, Recorder(f3=2.0))
    torch.testing.assert_close(moved, g.pose(z) + 2 * 0.15)
    assert not torch.allclose(g(z, Recorder(f3=2.0)), g(z))


@pytest.mark.parametrize("mapping", ["pose", "mlp"])
def test_under_autocast_features_are_as_the_convolutions_make_them(mapping, z):
    made = generator(mapping)
    with torch.autocast("cpu", torch.bfloat16):
        styles = made.styles(made.map(z))
        levels, image = made.hidden(styles), made.synthesize(styles)
    assert {level.dtype for level in levels} == {torch.bfloat16}
    assert {style.dtype for style in styles} == {torch.float32}
    plain = made(z)
    assert (image - plain).abs().max() < 0.05 * plain.abs().max()


@pytest.mark.parametrize("upsample", [False, True])
def test_small_changes_of_a_style_are_seen_under_autocast(upsample):
    torch.manual_seed(1)
    layer = StyledConvolution(16, 16, upsample).requires_grad_(False)
    x, style, step = torch.randn(4, 16, 32, 32), torch.rand(4, 16) + 0.5, 3e-4 * torch.randn(4, 16)

    def change(kind):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            return (layer(x.to(kind), style + step).float() - layer(x.to(kind), style).float()).flatten()

    rounded, exact = change(torch.bfloat16), change(torch.float32)
    assert 0.7 < float(rounded @ exact / exact.square().sum()) < 1.3


@pytest.mark.parametrize("layer", range(1, 7))
def test_every_style_layer_changes_the_image(layer, z):
    g = generator()
    assert (g(z, Recorder(**{f"s{layer}": torch.linspace(-3, 3, g.style_widths[layer - 1])})) - g(z)).abs().max() > 1e-3


def test_a_pose_generator_draws_its_own_pose(z):
    g = generator()
    assert g.pose(z).shape == (5, 15, 2)
    torch.testing.assert_close(g.draw(g.pose(z)), g(z))


def test_mapping_of_kind_mlp_sees_the_direction_of_z_alone(z):
    g = generator("mlp")
    torch.testing.assert_close(g(3 * z), g(z), rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match=r"'pose'.*'mlp'"):
        g.pose(z)


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_are_drawn_alike(channels, z):
    g = generator(skeleton="face68", channels=channels)
    assert g(z).shape == (5, channels, 16, 16)
    assert g.mapping_widths == (9, 8, 136)


def test_fourier_features_are_sines_and_cosines_of_octaves():
    values = torch.tensor([[0.0, 0.25, 0.5]])
    angles = np.pi * np.array([0.0, 0.0, 0.25, 0.5, 0.5, 1.0])
    expected = np.concatenate([np.sin(angles), np.cos(angles)])
    np.testing.assert_allclose(fourier_features(values, 2)[0].numpy(), expected, atol=1e-6)


def test_weights_survive_a_file_and_a_foreign_one_is_refused(tmp_path, z):
    g = generator()
    save_generator(tmp_path / "g.safetensors", g)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.architecture == g.architecture
    assert torch.equal(loaded(z), g(z))
    with pytest.raises(CheckpointError, match="regressor"):
        load_regressor(tmp_path / "g.safetensors")
    data = bytearray((tmp_path / "g.safetensors").read_bytes())
    data[-1] ^= 255
    (tmp_path / "g.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_generator(tmp_path / "g.safetensors")


def test_same_seed_same_weights_and_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = generator().state_dict(), generator().state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("name", "value"), [("skeleton", "face68"), ("channels", 1), ("resolution", 32)])
def test_a_regressor_of_other_images_is_refused(name, value, tmp_path):
    fitting = {"skeleton": "body15", "channels": 3, "resolution": 16, "width": 4}
    check_fit(generator().architecture, RegressorArchitecture(**fitting), tmp_path)
    other = Regressor(RegressorArchitecture(**{**fitting, name: value}))
    with pytest.raises(CheckpointError, match=f"{name}: expected .* found {value!r}"):
        check_fit(generator().architecture, other.architecture, tmp_path)


def test_widths_must_reach_the_resolution():
    with pytest.raises(ConfigError, match=r"expected 32.*found 64"):
        GeneratorNetworkOptions(resolution=64)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"synthesis_widths": []}, GeneratorNetworkOptions)


@pytest.mark.parametrize("mapping", ["pose", "mlp"])
@pytest.mark.parametrize(
    "layers", [(3,), "all", "mapping", ("f1", 8), ("f3",), ("f4",), (9,), (0,), "none", ("f0",), ("mapping", 1), ("x",)]
)
def test_layers_are_judged_as_the_transfer_judges_them(layers, mapping):
    options = GeneratorNetworkOptions(mapping=mapping)
    network = StyleGenerator(
        msgspec.convert({**msgspec.to_builtins(options), "skeleton": "body15"}, GeneratorArchitecture)
    )
    sizes = len(network.style_widths), len(network.mapping_widths)
    assert sizes == (options.style_layers, options.mapping_layers)

    def refused(check):
        try:
            check()
        except ConfigError:
            return True
        return False

    assert refused(lambda: options.check_layers(layers, "here")) == refused(lambda: parse_layers(layers, *sizes))


def test_a_generator_as_stylegan_has_it_keeps_its_variance_from_layer_to_layer():
    """w still depends on z after eight layers, style codes on w, and feature maps do not fade."""
    architecture = GeneratorArchitecture(
        skeleton="body15", channels=3, mapping="mlp", resolution=64, latent_width=256, mapping_widths=(256,) * 8,
        synthesis_widths=(64, 64, 64, 64, 32),
    )  # fmt: skip
    g = initialised(lambda: StyleGenerator(architecture), 0, "initialise/test", torch.device("cpu")).requires_grad_(
        False
    )
    z = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    w = g.map(z)
    assert 0.5 < w.square().mean() < 2
    assert w.std(0).mean() > 0.3
    for style in g.styles(w):
        assert style.mean() == pytest.approx(1, abs=0.3)
        assert 0.2 < style.std(0).mean() < 2
    first, *_, last = (level.square().mean().sqrt() for level in g.hidden(g.styles(w[:4])))
    assert 0.5 < last / first < 2


def test_an_equalised_layer_starts_like_others_and_learns_at_its_rate():
    torch.manual_seed(0)
    x = torch.randn(4096, 300)
    moved = {}
    for rate in (1.0, 0.01):
        layer = EqualisedLinear(300, 200, bias=1.0, rate=rate)
        y = layer(x)
        assert y.detach().mean() == pytest.approx(1, abs=0.02)
        assert y.detach().std() == pytest.approx(1, abs=0.02)
        optimiser = torch.optim.SGD(layer.parameters(), 1e-3)
        y.sum().backward()
        optimiser.step()
        moved[rate] = (layer(x) - y).detach().abs().mean()
    # A gradient is smaller by the rate, and what a step of the parameter does is so again.
    assert moved[0.01] / moved[1.0] == pytest.approx(1e-4, rel=1e-2)
