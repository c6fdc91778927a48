"""Sampling: the same poses for any number of shards, Eq. 8 spelt out, the filter, and what is refused."""

import msgspec
import numpy as np
import pytest
import torch

from flexpose_core import streams
from flexpose_core.errors import CheckpointError, ConfigError, DataError
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import POSE_UNIT, GeneratorArchitecture, StyleGenerator
from flexpose_core.models.transfer import Transfer
from flexpose_core.options.generator import SampleOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import sample
from flexpose_core.stages.gather_samples import gather
from flexpose_core.stages.priors import load_generator, load_regressor, save_generator, save_regressor
from flexpose_core.stages.sample import sample_shard

PLAIN = SampleOptions(device="cpu", mixed_precision=False)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sample, "BLOCK", 100)
    monkeypatch.setattr(sample, "CHUNK", 50)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    small = {"resolution": 16, "latent_width": 8, "mapping_widths": [16], "synthesis_widths": [8, 8, 6]}
    generator = StyleGenerator(msgspec.convert({**small, "skeleton": "body15"}, GeneratorArchitecture))
    save_generator(folder / "generator.safetensors", generator)
    for name, resolution in (("regressor", 16), ("foreign", 32)):
        network = Regressor(RegressorArchitecture(skeleton="body15", resolution=resolution, width=4))
        with torch.no_grad():
            network.sharpness.fill_(300.0)  # so that an untrained β tells images apart
        save_regressor(folder / f"{name}.safetensors", network)
    transfer = Transfer.for_generator(generator, [3], bias=True)
    with torch.no_grad():
        transfer.style_blocks["3"].U.mul_(-2)
    transfer.save(folder / "transfer.safetensors")
    return {name: folder / f"{name}.safetensors" for name in ("generator", "regressor", "transfer", "foreign")}


def draw(out, weights, count=230, shard=0, shards=1, seed=5, options=PLAIN, transfer="transfer", joints="read"):
    tau = weights[transfer] if transfer else None
    sample_shard(options, weights["generator"], weights["regressor"], tau, count, shard, shards, out, seed, joints)
    return out


@pytest.mark.parametrize("joints", ["read", "own"])
@pytest.mark.parametrize("shards", [2, 3, 7])
def test_bytes_do_not_depend_on_the_number_of_shards(tmp_path, weights, shards, joints):
    gather([draw(tmp_path / "all.h5", weights, joints=joints)], tmp_path / "one.h5")
    parts = [draw(tmp_path / f"{k}.h5", weights, shard=k, shards=shards, joints=joints) for k in range(shards)]
    assert gather(parts, tmp_path / "many.h5") == 230
    assert (tmp_path / "many.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    poses = load_cache(tmp_path / "many.h5")
    assert np.array_equal(poses.poses, load_cache(tmp_path / "all.h5").poses)
    assert np.array_equal(poses.frame, np.arange(230))
    assert len(np.unique(poses.poses.reshape(230, -1), axis=0)) == 230


def test_fewer_samples_are_the_first_ones(tmp_path, weights):
    few, many = (load_cache(draw(tmp_path / f"{n}.h5", weights, count=n)).poses for n in (120, 350))
    assert np.array_equal(few, many[:120])


def test_poses_are_what_equation_8_says(tmp_path, weights):
    found = load_cache(draw(tmp_path / "a.h5", weights, count=100)).poses
    generator, regressor = load_generator(weights["generator"]), load_regressor(weights["regressor"])
    z = torch.randn(100, 8, generator=streams.torch_generator(5, "sample", 0))
    with torch.no_grad():
        expected = regressor(generator(z, Transfer.load(weights["transfer"])))
        source = regressor(generator(z))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert np.abs(found - source.numpy()).max() > 1e-2
    untransferred = load_cache(draw(tmp_path / "b.h5", weights, count=100, transfer=None)).poses
    np.testing.assert_allclose(untransferred, source.numpy(), atol=1e-4)


def moved_pose(weights, path, shift):
    """The generator with all of its poses moved to the right."""
    generator = load_generator(weights["generator"])
    with torch.no_grad():
        layer = generator.f.layers[-1]
        layer.weight.mul_(3)
        layer.bias[::2] += shift / POSE_UNIT
    save_generator(path, generator)
    return {**weights, "generator": path}, generator


def test_a_generators_own_poses_are_those_inside_the_image(tmp_path, weights):
    moved, generator = moved_pose(weights, tmp_path / "generator.safetensors", 0.3)
    found = load_cache(draw(tmp_path / "a.h5", moved, count=150, transfer=None, joints="own"))
    expected = []
    for block, wanted in ((0, 100), (1, 50)):
        random = streams.torch_generator(5, "sample", block)
        with torch.no_grad():
            poses = torch.cat([generator.pose(torch.randn(100, 8, generator=random)) for _ in range(20)])
        inside = (poses.amin((1, 2)) >= 0) & (poses.amax((1, 2)) <= 1)
        assert 0.1 < inside.float().mean() < 0.9
        expected.append(poses[inside][:wanted])
    np.testing.assert_array_equal(found.poses, torch.cat(expected).numpy())
    assert found.attributes["joints"] == "own"


def test_an_adapters_own_poses_are_not_read(tmp_path, weights):
    generator = load_generator(weights["generator"])
    transfer = Transfer.for_generator(generator, ["f1"], bias=True)
    with torch.no_grad():
        transfer.mapping_blocks["1"].U.mul_(-2)
    transfer.save(tmp_path / "tau.safetensors")
    own = {**weights, "tau": tmp_path / "tau.safetensors"}
    found = load_cache(draw(tmp_path / "a.h5", own, count=100, transfer="tau", joints="own")).poses
    z = torch.randn(100, 8, generator=streams.torch_generator(5, "sample", 0))
    with torch.no_grad():
        np.testing.assert_array_equal(found, generator.pose(z, transfer).numpy())
        assert np.abs(found - generator.pose(z).numpy()).max() > 1e-3


def test_poses_outside_the_image_are_told(tmp_path, weights):
    moved, _ = moved_pose(weights, tmp_path / "generator.safetensors", 1e6)
    with pytest.raises(DataError, match="expected 100 of 2000 poses inside the image, found 0"):
        draw(tmp_path / "a.h5", moved, transfer=None, joints="own")
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(("keep", "drawn"), [(0.5, 200), (0.7, 143), (0.99, 101)])
def test_the_filter_keeps_the_most_consistent(tmp_path, weights, keep, drawn):
    """Of so many and no more, however many the generator makes at once."""
    options = msgspec.structs.replace(PLAIN, keep=keep)
    kept = load_cache(draw(tmp_path / "kept.h5", weights, count=100, options=options, transfer=None)).poses
    generator, regressor = load_generator(weights["generator"]), load_regressor(weights["regressor"])
    z = torch.randn(-(-drawn // 50) * 50, 8, generator=streams.torch_generator(5, "sample", 0))
    with torch.no_grad():
        images = generator(z)
        joints = regressor(images)
        error = (images - draw_lines(joints, BODY15, 16)).abs().mean((1, 2, 3))[:drawn]
    expected = joints[:drawn][error <= error.sort().values[99]]
    np.testing.assert_allclose(kept, expected.numpy(), atol=1e-4)


def test_seeds_differ_and_the_origin_is_stated(tmp_path, weights):
    first, second = (load_cache(draw(tmp_path / f"{seed}.h5", weights, seed=seed)) for seed in (1, 2))
    assert not np.array_equal(first.poses, second.poses)
    assert first.attributes["seed"] == 1
    assert set(first.attributes["weights"]) == {"generator", "regressor", "transfer"}


def test_mistakes_are_named(tmp_path, weights):
    for bad in ({"shard": 2, "shards": 2}, {"shard": -1}, {"count": 0}, {"count": 2, "shards": 3}):
        with pytest.raises(ConfigError, match="shards <= count"):
            draw(tmp_path / "a.h5", weights, **bad)
    with pytest.raises(CheckpointError, match="resolution"):
        draw(tmp_path / "a.h5", {**weights, "regressor": weights["foreign"]})
    with pytest.raises(CheckpointError, match=r"'style_generator'.*'regressor'"):
        draw(tmp_path / "a.h5", {**weights, "generator": weights["regressor"]})
    assert not (tmp_path / "a.h5").exists()


def test_wrong_shards_are_not_gathered(tmp_path, weights):
    parts = [draw(tmp_path / f"{k}.h5", weights, shard=k, shards=3) for k in range(3)]
    for wrong in (parts[:2], parts[::-1], [parts[0], parts[2]], [parts[0], parts[0], parts[1]]):
        with pytest.raises(DataError, match=r"expected .*samples"):
            gather(wrong, tmp_path / "out.h5")
    with pytest.raises(DataError, match="another"):
        gather([parts[0], draw(tmp_path / "x.h5", weights, shard=1, shards=3, seed=6), parts[2]], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
