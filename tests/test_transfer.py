"""τ: identity at the start, block structure, nothing else changes, one small file."""

import pytest
import torch

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.models.style_generator import GeneratorArchitecture, StyleGenerator
from flexpose_core.models.transfer import Transfer, TransferArchitecture, parse_layers
from flexpose_core.training.eager import eager

WIDTHS = {"mapping_widths": (8, 8), "synthesis_widths": (8, 8, 6, 6)}


@pytest.fixture(scope="module", params=["pose", "mlp"])
def generator(request):
    torch.manual_seed(0)
    architecture = GeneratorArchitecture(skeleton="body15", latent_width=6, mapping=request.param, **WIDTHS)
    return StyleGenerator(architecture).requires_grad_(False)


@pytest.fixture
def z():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", [[3], "all", "mapping", ["f1", 2, "all"]])
def test_the_start_is_the_identity_to_the_bit(generator, z, layers, bias):
    transfer = Transfer.for_generator(generator, layers, bias)
    assert torch.equal(generator(z, transfer), generator(z))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(generator(z, transfer), generator(z))


def test_codes_and_poses_are_in_full_precision_under_autocast(generator, z):
    transfer = Transfer.for_generator(generator, ["all", "mapping"], bias=True)
    with torch.no_grad():
        for parameter in transfer.parameters():
            parameter.add_(1e-4 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    w, codes = generator.map(z, transfer), generator.styles(generator.map(z, transfer), transfer)
    pose = generator.pose(z, transfer) if generator.f.kind == "pose" else None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(generator.map(z, transfer), w)
        for code, expected in zip(generator.styles(w, transfer), codes, strict=True):
            assert torch.equal(code, expected)
        if pose is not None:
            assert torch.equal(generator.pose(z, transfer), pose)
    assert not torch.equal(codes[0], generator.styles(w)[0])


def test_blocks_act_on_their_layer_alone(generator, z):
    transfer = Transfer.for_generator(generator, [3, 5], bias=True)
    with torch.no_grad():
        transfer.style_blocks["3"].U.normal_()
        transfer.style_blocks["3"].b.normal_()
    w = generator.map(z)
    plain, changed = generator.styles(w), generator.styles(w, transfer)
    for layer, (before, after) in enumerate(zip(plain, changed, strict=True), start=1):
        assert torch.equal(before, after) == (layer != 3)
    block = transfer.style_blocks["3"]
    expected = torch.stack([block.U @ row + block.b for row in plain[2]])
    torch.testing.assert_close(changed[2], expected)
    assert torch.equal(generator.map(z, transfer), w)


def test_only_tau_learns(generator, z):
    transfer = Transfer.for_generator(generator, ["all", "mapping"], bias=True)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    optimiser = eager(torch.optim.SGD)(transfer.parameters(), 0.1)
    generator(z, transfer).square().sum().backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in transfer.parameters())
    sizes = [*generator.style_widths, *generator.mapping_widths]
    assert sum(parameter.numel() for parameter in transfer.parameters()) == sum(n * n + n for n in sizes)


def test_layers_are_parsed_and_bounded():
    assert parse_layers([3], 8, 4) == ((3,), ())
    assert parse_layers(["f4", 2, "f1", 2], 8, 4) == ((2,), (1, 4))
    assert parse_layers("all", 3, 4) == ((1, 2, 3), ())
    assert parse_layers(["mapping", 1], 3, 2) == ((1,), (1, 2))
    for layers, shown in (([9], "9"), ([0], "0"), (["f5"], "'f5'"), (["style"], "'style'"), ("f0", "'f0'")):
        with pytest.raises(
            ConfigError, match=rf"cells\.a\.layers: expected 1\.\.8, f1\.\.f4, all or mapping, found {shown}"
        ):
            parse_layers(layers, 8, 4, "cells.a.layers")
    with pytest.raises(ConfigError, match="at least one layer"):
        parse_layers([], 8, 4)


def test_round_trip_and_refusals(generator, z, tmp_path):
    transfer = Transfer.for_generator(generator, [1, "f2"], bias=True)
    with torch.no_grad():
        for parameter in transfer.parameters():
            parameter.normal_()
    path = tmp_path / "transfer.safetensors"
    transfer.save(path, {"seed": 3})
    again = Transfer.load(path, generator)
    assert again.architecture == transfer.architecture
    assert torch.equal(generator(z, again), generator(z, transfer))
    assert path.stat().st_size < 10_000

    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"transfer\.safetensors"):
        Transfer.load(path)


def test_a_transfer_of_another_generator_is_refused(generator, tmp_path):
    path = tmp_path / "transfer.safetensors"
    Transfer(TransferArchitecture(style_widths=(4, 4), mapping_widths=(8,), style=(1,))).save(path)
    with pytest.raises(CheckpointError, match=r"style_widths: expected .*as the generator's, found"):
        Transfer.load(path, generator)
