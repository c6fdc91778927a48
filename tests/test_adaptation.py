"""Fitting τ: the distribution comes nearer, resumed equals uninterrupted, the stage's files agree."""

import msgspec
import numpy as np
import pytest
import torch
from interruption import check_that_it_resumes
from safetensors.torch import save_file
from scipy.spatial.distance import cdist, pdist

from flexpose_core import seeds, streams
from flexpose_core.errors import CheckpointError, ConfigError, DataError
from flexpose_core.files import read_json
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.models.perceptual import build_observer, features_stamp, vgg16_trunk
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.models.style_generator import GeneratorArchitecture, StyleGenerator
from flexpose_core.models.transfer import Transfer
from flexpose_core.options.adaptation import AdaptationOptions, AlignmentOptions, PerceptualOptions
from flexpose_core.poses.alignment import align
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.adapt import adapt
from flexpose_core.stages.few_shot import pair
from flexpose_core.stages.priors import save_generator, save_regressor
from flexpose_core.streams import StepRandom
from flexpose_core.training.objectives import adaptation
from flexpose_core.training.objectives.adaptation import AdaptationObjective, energy_distance

FAST = AdaptationOptions(
    layers="mapping",
    bias=True,
    perceptual=PerceptualOptions(kind="pose"),
    pairing="assignment",
    pool=400,
    pair_steps=60,
    pair_batch=32,
    energy_steps=60,
    energy_batch=64,
    learning_rate=1e-2,
)


def small_generator():
    torch.manual_seed(0)
    architecture = GeneratorArchitecture(
        skeleton="body15", resolution=16, latent_width=8, mapping_widths=(24, 24), synthesis_widths=(8, 8, 6)
    )
    generator = StyleGenerator(architecture)
    with torch.no_grad():
        generator.f.layers[-1].weight *= 5  # poses that differ
    return generator.requires_grad_(False)


def small_regressor():
    torch.manual_seed(1)
    return Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4)).requires_grad_(False)


def guidance_poses(count=200):
    """Poses of a low-dimensional distribution, elsewhere than the generator's."""
    rng = np.random.default_rng(5)
    base, ways = rng.uniform(0.2, 0.8, (1, 15, 2)), rng.normal(0, 0.05, (3, 15, 2))
    return (base + np.einsum("nk,kjc->njc", rng.normal(0, 1, (count, 3)), ways)).astype(np.float32)


def objective(options, generator, guidance, seed=0):
    transfer = Transfer.for_generator(generator, options.layers, options.bias)
    observer, _ = build_observer(options, generator, small_regressor(), seed)
    z = pair(options, observer, guidance, 8, seed, torch.device("cpu"))
    return AdaptationObjective(transfer, observer, z, torch.as_tensor(guidance), BODY15, options)


def run(fit, seed=0):
    return [next(iter(fit.step(step, StepRandom(seed, "adapt", step)).values())).item() for step in range(fit.steps)]


def sampled(generator, transfer):
    with torch.no_grad():
        return generator.pose(torch.randn(500, 8, generator=torch.Generator().manual_seed(9)), transfer).numpy()


@pytest.mark.parametrize("phases", [{}, {"energy_steps": 0}, {"pair_steps": 0}], ids=["both", "pairs", "energy"])
def test_the_energy_distance_falls(phases):
    options = msgspec.structs.replace(FAST, **phases)
    generator, guidance = small_generator(), guidance_poses()
    frozen = {name: value.clone() for name, value in generator.state_dict().items()}
    fit = objective(options, generator, guidance)
    before = energy_distance_of(guidance, sampled(generator, fit.transfer))
    run(fit)
    after = energy_distance_of(guidance, sampled(generator, fit.transfer))
    assert after < 0.2 * before
    assert all(torch.equal(value, frozen[name]) for name, value in generator.state_dict().items())


def test_assignment_beats_random_pairing():
    generator, guidance = small_generator(), guidance_poses()
    spread = {}
    for pairing in ("random", "assignment"):
        options = msgspec.structs.replace(FAST, pairing=pairing, energy_steps=0, pair_steps=150)
        fit = objective(options, generator, guidance)
        run(fit)
        spread[pairing] = sampled(generator, fit.transfer).std(axis=0).mean() / guidance.std(axis=0).mean()
    # Latent codes that say nothing of their pose are best answered with the mean pose.
    assert spread["random"] < 0.8 * spread["assignment"]


def test_pair_loss_is_the_papers_on_cached_features():
    generator, guidance = small_generator(), guidance_poses(40)
    options = msgspec.structs.replace(FAST, pool=40, energy_steps=0, pair_steps=1)
    fit = objective(options, generator, guidance)
    chosen = StepRandom(0, "adapt", 0).indices(options.pair_batch, 40)
    found = generator.pose(fit.z[chosen]).numpy()
    expected = np.square((found - guidance[chosen]) / guidance.std(ddof=1)).mean()
    assert run(fit)[0] == pytest.approx(expected, rel=1e-5)


def test_the_loss_that_is_told_is_over_the_same_pairs():
    generator, guidance = small_generator(), guidance_poses(80)
    options = msgspec.structs.replace(FAST, pool=80, energy_steps=0, pair_steps=1)
    fit = objective(options, generator, guidance)
    for count in (70, 500):  # in chunks, or all there are
        chosen = slice(0, count)
        expected = np.square((generator.pose(fit.z[chosen]).numpy() - guidance[chosen]) / guidance.std(ddof=1)).mean()
        assert fit.pair_loss(count) == pytest.approx(expected, rel=1e-5)
    assert objective(msgspec.structs.replace(FAST, pair_steps=0), generator, guidance).pair_loss(10) is None


def test_images_are_compared_when_asked():
    generator, guidance = small_generator(), guidance_poses(60)
    options = msgspec.structs.replace(
        FAST,
        layers=(2, 3),
        perceptual=PerceptualOptions(kind="regressor"),
        pairing="random",
        energy_steps=0,
        pair_steps=40,
    )
    losses = run(objective(options, generator, guidance))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def energy_distance_of(first, second):
    """2 E|x - y| - E|x - x'| - E|y - y'| of whole poses, by SciPy."""
    x, y = (poses.reshape(len(poses), -1).astype(float) for poses in (first, second))
    return 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()


def test_energy_distance_agrees_with_scipy_and_has_gradients():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 0.1, (30, 15, 2)), rng.normal(0.6, 0.1, (20, 15, 2))
    mine = energy_distance(torch.as_tensor(first), torch.as_tensor(second)).item()
    assert mine == pytest.approx(energy_distance_of(first, second), rel=1e-9)
    assert energy_distance(torch.zeros(2, 1, 2), torch.ones(3, 1, 2)).item() == pytest.approx(2 * np.sqrt(2))
    poses = torch.as_tensor(first).requires_grad_()
    energy_distance(poses, torch.as_tensor(second)).backward()
    step = torch.as_tensor(rng.normal(0, 1e-4, first.shape))
    change = energy_distance(torch.as_tensor(first) + step, torch.as_tensor(second)) - energy_distance(
        torch.as_tensor(first) - step, torch.as_tensor(second)
    )
    assert change.item() / 2 == pytest.approx((poses.grad * step).sum().item(), rel=1e-3)
    same = torch.zeros(4, 15, 2, requires_grad=True)
    energy_distance(same, same.detach()).backward()
    assert same.grad.isfinite().all()


def test_resumed_equals_uninterrupted(tmp_path):
    generator, guidance = small_generator(), guidance_poses(60)
    options = msgspec.structs.replace(FAST, pair_steps=8, energy_steps=8)
    check_that_it_resumes(lambda: objective(options, generator, guidance), tmp_path, steps=16, at=11)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


def write_files(tmp_path):
    rng = np.random.default_rng(1)
    write_cache(tmp_path / "source.h5", [plain_batch(rng.uniform(0.1, 0.9, (300, 15, 2)))], BODY15, {})
    write_cache(tmp_path / "shots.h5", [plain_batch(guidance_poses(6))], BODY15, {})
    write_cache(tmp_path / "mixup.h5", [plain_batch(guidance_poses(50))], BODY15, {"symmetry": "none"})
    save_generator(tmp_path / "generator.safetensors", small_generator())
    save_regressor(tmp_path / "regressor.safetensors", small_regressor())
    return tmp_path


def run_stage(files, name, options, **more):
    outputs = [files / f"{name}{suffix}" for suffix in (".safetensors", ".json", ".png")]
    adapt(
        options,
        files / "generator.safetensors",
        files / "regressor.safetensors",
        [files / "source.h5"],
        files / "shots.h5",
        files / "mixup.h5",
        *outputs,
        seed=0,
        work=files / f"{name}_work",
        **more,
    )
    return outputs


def test_another_file_of_vgg_weights_is_another_training(tmp_path):
    """Whose checkpoint is not gone on with: the name of the file is the same."""
    path, stamps = tmp_path / "vgg.safetensors", []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        save_file({f"features.{name}": value for name, value in vgg16_trunk().state_dict().items()}, path)
        stamps.append(features_stamp(PerceptualOptions(weights=str(path)), seed=0))
    assert stamps[0] == stamps[1] != stamps[2]
    drawn = [features_stamp(PerceptualOptions(weights="random"), seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert features_stamp(PerceptualOptions(kind="pose"), 0) == ""


def test_the_stage_repeats_to_the_byte_and_improves(files):
    options = msgspec.structs.replace(FAST, alignment=AlignmentOptions(candidates=200))
    transfer, metrics, picture = run_stage(files, "a", options)
    again = run_stage(files, "b", options)
    for first, second in zip((transfer, metrics, picture), again, strict=True):
        assert first.read_bytes() == second.read_bytes()
    loaded = Transfer.load(transfer, small_generator())
    assert loaded.architecture.mapping == (1, 2, 3)
    found = read_json(metrics)
    assert found["perceptual"] == "pose"
    assert found["parameters"] == sum(parameter.numel() for parameter in loaded.parameters())
    assert set(found["before"]) == set(found["after"])
    assert 0 < found["loss"]["after"] < 0.5 * found["loss"]["before"]


def test_the_stage_measures_the_joints_that_samples_have(files):
    generator, regressor = small_generator(), small_regressor().eval()
    z = torch.randn(1000, generator.architecture.latent_width, generator=streams.torch_generator(0, "adapt/measure"))
    for joints in ("read", "own"):
        options = msgspec.structs.replace(FAST, joints=joints, mixed_precision=False)
        transfer, metrics, _ = run_stage(files, joints, options)
        loaded = Transfer.load(transfer, generator)
        with torch.no_grad():
            found = generator.pose(z, loaded) if joints == "own" else regressor(generator(z, loaded))
        inside = ((found >= 0) & (found <= 1)).flatten(1).all(dim=1)
        expected = distribution_metrics(guidance_poses(50), found[inside].numpy(), 0)
        measured = read_json(metrics)["after"]
        assert read_json(metrics)["inside"]["after"] == pytest.approx(inside.float().mean().item(), abs=2e-3)
        assert measured.keys() == expected.keys()
        for key, value in expected.items():
            assert measured[key] == pytest.approx(value, rel=1e-3, abs=1e-4), (joints, key)


def test_the_stage_fits_to_the_guidance_moved_towards_the_source(files, monkeypatch):
    fitted = []
    fit = AdaptationObjective

    def noted(transfer, observer, z, poses, *rest):
        fitted.append(poses.numpy())
        return fit(transfer, observer, z, poses, *rest)

    monkeypatch.setattr("flexpose_core.stages.adapt.AdaptationObjective", noted)
    alignment = AlignmentOptions(candidates=200)
    run_stage(files, "aligned", msgspec.structs.replace(FAST, alignment=alignment))
    run_stage(files, "plain", FAST)
    source, guidance = load_cache(files / "source.h5").poses, load_cache(files / "mixup.h5").poses
    aligned = align(source, guidance, 6, BODY15, alignment, seeds.rng(0, "adapt/alignment"))
    assert np.abs(aligned - guidance).max() > 1e-3
    np.testing.assert_array_equal(fitted[0], aligned)
    np.testing.assert_array_equal(fitted[1], guidance)


def test_the_figures_before_are_of_the_sources_generator(files):
    _, metrics, _ = run_stage(files, "a", msgspec.structs.replace(FAST, joints="own", mixed_precision=False))
    generator = small_generator()
    z = torch.randn(1000, generator.architecture.latent_width, generator=streams.torch_generator(0, "adapt/measure"))
    with torch.no_grad():
        own = generator.pose(z).numpy()
    inside = ((own >= 0) & (own <= 1)).all(axis=(1, 2))
    expected = distribution_metrics(guidance_poses(50), own[inside], 0)
    found = read_json(metrics)
    for key, value in expected.items():
        assert found["before"][key] == pytest.approx(value, rel=1e-3, abs=1e-4), key
    assert found["before"] != found["after"]


def test_all_of_the_guidance_is_drawn_from_in_the_energy_phase(monkeypatch):
    generator, guidance = small_generator(), guidance_poses(40)
    fit = objective(msgspec.structs.replace(FAST, pool=40, pair_steps=0, energy_batch=8), generator, guidance)
    seen = []
    distance = adaptation.energy_distance
    monkeypatch.setattr(adaptation, "energy_distance", lambda x, y: seen.append(y) or distance(x, y))
    run(fit)
    drawn = {pose.numpy().tobytes() for batch in seen for pose in batch}
    assert drawn == {pose.tobytes() for pose in guidance}


def test_the_stage_refuses_what_does_not_fit(files):
    with pytest.raises(ConfigError, match=r"layers: expected 1\.\.6, f1\.\.f3, all or mapping, found 9"):
        run_stage(files, "c", msgspec.structs.replace(FAST, layers=(9,)))
    poses = load_cache(files / "source.h5").poses
    poses[7] = (0.25, 0.5)
    write_cache(files / "source.h5", [plain_batch(poses)], BODY15, {})
    with pytest.raises(
        DataError, match=r"source\.h5: expected poses with bones of some length, found 1 .* \[0\.25, 0\.5\]"
    ):
        run_stage(files, "d", msgspec.structs.replace(FAST, alignment=AlignmentOptions(candidates=200)))
    (files / "generator.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"generator\.safetensors"):
        run_stage(files, "e", FAST)
    assert not (files / "e.safetensors").exists()
