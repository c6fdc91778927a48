"""Adapters of every kind: nothing at the start, what each may change, one file each, one interface for fits and samples."""

import copy

import msgspec
import numpy as np
import pytest
import torch
from test_adaptation import energy_distance_of, files, guidance_poses, run_stage, sampled, small_generator

from flexpose_core.errors import CheckpointError, ConfigError
from flexpose_core.files import read_json
from flexpose_core.models.adapters import FineTuned, LowRank, build_adapter, load_adapter
from flexpose_core.models.discriminators import (
    IMAGE_KIND,
    POSE_KIND,
    freeze_lower,
    load_discriminator,
    new_discriminator,
    save_discriminator,
)
from flexpose_core.models.style_generator import StyleGenerator
from flexpose_core.models.transfer import Transfer
from flexpose_core.options.adaptation import AdaptationOptions, AdversarialFitOptions, PerceptualOptions
from flexpose_core.options.generator import AdversarialOptions, PoseGanOptions, SampleOptions
from flexpose_core.poses.cache import load_cache
from flexpose_core.stages.fine_tune import fine_tune
from flexpose_core.stages.sample import sample_shard

assert files  # the fixture

KINDS = {
    "transfer": AdaptationOptions(layers="all"),
    "scale-shift": AdaptationOptions(trained="scale-shift", layers="all", bias=True),
    "low-rank": AdaptationOptions(trained="low-rank", layers="all", rank=2),
    "generator": AdaptationOptions(trained="generator"),
}
FAST = {
    "perceptual": PerceptualOptions(kind="regressor"),
    "pairing": "random",
    "pair_steps": 6,
    "pair_batch": 8,
    "energy_steps": 3,
    "energy_batch": 8,
    "mixed_precision": False,
    "device": "cpu",
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def generator():
    return small_generator()


@pytest.fixture
def z():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


def disturbed(adapter):
    """The adapter with all that it learns moved."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random)
    return adapter


@every_kind
def test_nothing_changes_at_the_start_and_the_source_never_does(generator, z, kind):
    before = copy.deepcopy(generator.state_dict())
    adapter = build_adapter(KINDS[kind], generator, 0)
    assert torch.equal(adapter.host(generator)(z, adapter), generator(z))
    disturbed(adapter)
    assert not torch.allclose(adapter.host(generator)(z, adapter), generator(z), atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_low_rank_is_a_change_of_the_affine_weights(generator, z):
    adapter = disturbed(build_adapter(msgspec.structs.replace(KINDS["low-rank"], layers=(1, 4)), generator, 0))
    merged = copy.deepcopy(generator)
    with torch.no_grad():
        for layer in (1, 4):
            change = adapter.up[str(layer)] @ adapter.down[str(layer)]
            assert torch.linalg.matrix_rank(change) == 2
            merged.affines[layer - 1].weight += change
    torch.testing.assert_close(generator(z, adapter), merged(z))


def test_low_rank_starts_with_projections_that_keep_the_size_of_w(generator):
    """C has variance 1 / width of w (He et al. 2015 without the gain), and B is 0."""
    adapter = LowRank.for_generator(generator, "all", 16, seed=0)
    assert all((matrix == 0).all() for matrix in adapter.up.values())
    drawn = torch.cat([matrix.flatten() for matrix in adapter.down.values()])
    width = next(iter(adapter.down.values())).shape[1]
    assert drawn.std().item() == pytest.approx(width**-0.5, rel=0.1)


def test_scale_and_shift_act_channel_by_channel(generator, z):
    adapter = disturbed(build_adapter(msgspec.structs.replace(KINDS["scale-shift"], layers=(2, "f1")), generator, 0))
    w = generator.map(z)
    plain, changed = generator.styles(w), generator.styles(w, adapter)
    block = adapter.style_blocks["2"]
    torch.testing.assert_close(changed[1], plain[1] * block.u + block.b)
    assert sum(p.numel() for p in adapter.parameters()) == 2 * (generator.style_widths[1] + generator.mapping_widths[0])


def test_all_weights_learn_when_all_may(generator):
    adapter = FineTuned(generator)
    assert all(parameter.requires_grad for parameter in adapter.parameters())
    assert sum(p.numel() for p in adapter.parameters()) == sum(p.numel() for p in generator.parameters())


@every_kind
def test_one_file_holds_it_and_comes_back_the_same(generator, z, kind, tmp_path):
    adapter = disturbed(build_adapter(KINDS[kind], generator, 0))
    path = tmp_path / "adapter.safetensors"
    adapter.save(path, {"seed": 1})
    again = load_adapter(path, generator)
    assert type(again) is type(adapter)
    assert torch.equal(again.host(generator)(z, again), adapter.host(generator)(z, adapter))

    architecture = msgspec.structs.replace(generator.architecture, synthesis_widths=(8, 6, 6), mapping_widths=(24, 20))
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors: .*expected"):
        load_adapter(path, StyleGenerator(architecture))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors"):
        load_adapter(path, generator)


def test_foreign_files_and_layers_are_refused(generator, files):
    with pytest.raises(CheckpointError, match="expected weights of kind transfer, low_rank, fine_tuned_generator"):
        load_adapter(files / "regressor.safetensors", generator)
    with pytest.raises(ConfigError, match="expected style layers for 'low-rank', found f2"):
        LowRank.for_generator(generator, ["f2", 1], 2, 0)
    with pytest.raises(ConfigError, match="expected 'generator' for adversarial, found 'transfer'"):
        AdaptationOptions(adversarial=AdversarialFitOptions())


@every_kind
def test_stages_fit_and_sample_it(files, kind, tmp_path):
    options = msgspec.structs.replace(KINDS[kind], **FAST)
    weights, metrics, picture = run_stage(files, f"{kind}_once", options)
    again = run_stage(files, f"{kind}_again", options)[0]
    assert weights.read_bytes() == again.read_bytes()
    adapter = load_adapter(weights, small_generator())
    assert read_json(metrics)["parameters"] == sum(parameter.numel() for parameter in adapter.parameters())
    assert picture.stat().st_size > 100
    fresh = build_adapter(options, small_generator(), 0)
    assert not all(torch.equal(value, fresh.state_dict()[name]) for name, value in adapter.state_dict().items())

    priors = [files / "generator.safetensors", files / "regressor.safetensors"]
    plain = SampleOptions(device="cpu", mixed_precision=False)
    for name, own in (("source", None), ("adapted", weights)):
        sample_shard(plain, *priors, own, 60, 0, 1, tmp_path / f"{name}.h5", 0)
    source, adapted = (load_cache(tmp_path / f"{name}.h5").poses for name in ("source", "adapted"))
    assert not np.array_equal(source, adapted)


@pytest.fixture
def discriminators(tmp_path, generator):
    torch.manual_seed(2)
    made = {}
    for kind, options in (
        (POSE_KIND, PoseGanOptions(average=0.9)),
        (IMAGE_KIND, AdversarialOptions(discriminator_width=8)),
    ):
        made[kind] = tmp_path / f"{kind}.safetensors"
        discriminator = new_discriminator(kind, generator.architecture, options.discriminator_width)
        save_discriminator(made[kind], discriminator, generator.architecture, options)
    return made


def test_discriminators_come_back_with_their_options_or_are_refused(discriminators, generator, files):
    for kind, options in (
        (POSE_KIND, PoseGanOptions(average=0.9)),
        (IMAGE_KIND, AdversarialOptions(discriminator_width=8)),
    ):
        assert load_discriminator(discriminators[kind], generator.architecture)[1] == options
        other = msgspec.structs.replace(generator.architecture, channels=1)
        with pytest.raises(CheckpointError, match="expected the discriminator of"):
            load_discriminator(discriminators[kind], other)
    with pytest.raises(CheckpointError, match="pose_discriminator or image_discriminator, found 'regressor'"):
        load_discriminator(files / "regressor.safetensors", generator.architecture)


@pytest.mark.parametrize(("kind", "layers"), [(POSE_KIND, 3), (IMAGE_KIND, 3)])
@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_layers_of_the_discriminator_stay_and_the_others_learn(
    discriminators, generator, tmp_path, monkeypatch, kind, layers, frozen
):
    seen = {}

    def keep(discriminator, count):
        freeze_lower(discriminator, count)
        seen.update(discriminator=discriminator, before=copy.deepcopy(discriminator.state_dict()))

    monkeypatch.setattr("flexpose_core.stages.fine_tune.freeze_lower", keep)
    adapter = FineTuned(generator)
    options = AdversarialFitOptions(frozen=frozen, steps=4, learning_rate=1e-2)
    fine_tune(options, False, adapter, discriminators[kind], guidance_poses(50), 0, tmp_path / "work", "x", None)
    after = seen["discriminator"].state_dict()
    assert len(seen["discriminator"].lower_layers) == layers
    for number, layer in enumerate(seen["discriminator"].lower_layers):
        own = [id(parameter) for parameter in layer.parameters()]
        names = [name for name, parameter in seen["discriminator"].named_parameters() if id(parameter) in own]
        assert names
        changed = any(not torch.equal(after[name], seen["before"][name]) for name in names)
        assert changed == (number >= frozen)
    own = generator.state_dict()
    moved = {name for name, value in adapter.generator.state_dict().items() if not torch.equal(value, own[name])}
    assert moved
    # On joints f alone goes on; φ and A draw as before.
    assert all(name.startswith("f.") for name in moved) == (kind == POSE_KIND)


@pytest.mark.parametrize("kind", [POSE_KIND, IMAGE_KIND])
def test_of_a_fine_tuned_generator_the_average_over_steps_is_kept(
    discriminators, generator, tmp_path, monkeypatch, kind
):
    def trained(objective, *_):
        with torch.no_grad():
            for parameter in objective.average.module.parameters():
                parameter.fill_(7.0)

    monkeypatch.setattr("flexpose_core.stages.fine_tune.train", trained)
    adapter = FineTuned(generator)
    fine_tune(
        AdversarialFitOptions(steps=4), False, adapter, discriminators[kind], guidance_poses(50), 0, tmp_path, "x", None
    )
    kept = adapter.generator.f if kind == POSE_KIND else adapter.generator
    assert all((parameter == 7).all() for parameter in kept.parameters())


def test_adversarial_fine_tuning_moves_towards_the_guidance(discriminators, generator, tmp_path):
    adapter, guidance = FineTuned(generator), guidance_poses(200)
    before = energy_distance_of(guidance, sampled(generator, None))
    options = AdversarialFitOptions(steps=300, learning_rate=5e-3)
    fine_tune(options, False, adapter, discriminators[POSE_KIND], guidance, 0, tmp_path / "work", "x", None)
    assert energy_distance_of(guidance, sampled(adapter.generator, None)) < 0.5 * before


def test_the_stage_asks_for_the_discriminator(files, discriminators):
    options = AdaptationOptions(
        trained="generator", adversarial=AdversarialFitOptions(frozen=1, steps=3), device="cpu", mixed_precision=False
    )
    with pytest.raises(ConfigError, match="expected the discriminator of the source, found none"):
        run_stage(files, "a", options)
    outputs = run_stage(files, "b", options, discriminator_weights=discriminators[POSE_KIND])
    assert isinstance(load_adapter(outputs[0], small_generator()), FineTuned)
    assert read_json(outputs[1])["perceptual"] == "discriminator"
    with pytest.raises(ConfigError, match="frozen: expected at most 3 layers, found 4"):
        run_stage(
            files,
            "c",
            msgspec.structs.replace(options, adversarial=AdversarialFitOptions(frozen=4)),
            discriminator_weights=discriminators[POSE_KIND],
        )


def test_tau_and_its_diagonal_are_told_apart(generator, tmp_path):
    path = tmp_path / "t.safetensors"
    build_adapter(KINDS["scale-shift"], generator, 0).save(path)
    assert Transfer.load(path, generator).architecture.form == "diagonal"
