"""One step of every objective, term by term: each loss counts for what its weight says, and sees what it should see."""

import copy

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from msgspec.structs import replace
from test_cycle_gan import _objective as cycle_gan_objective
from test_generator_training import NETWORK, some_poses, tiny_generator
from test_keypoint_gan import CPU, small_poses
from test_keypoint_gan import _objective as keypoint_gan_objective

from flexpose_core.models.building import initialised
from flexpose_core.models.discriminator import ImageDiscriminator
from flexpose_core.models.keypoint_gan import SkeletonToKeypoints
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.regressor import Regressor, RegressorArchitecture, soft_argmax
from flexpose_core.models.style_generator import MappingNetwork
from flexpose_core.options.detector import DetectorArchitecture, EtaOptions
from flexpose_core.options.generator import (
    AdversarialOptions,
    DistillationOptions,
    GeneratorArchitecture,
    PoseGanOptions,
    RegressionOptions,
    WideningOptions,
)
from flexpose_core.poses.widening import widen
from flexpose_core.rendering.differentiable import draw_distances, draw_lines
from flexpose_core.skeletons import BODY15
from flexpose_core.streams import StepRandom
from flexpose_core.training.objectives import adversarial, distillation, eta, pose_gan, regression
from flexpose_core.training.objectives.gan_losses import r1_penalty

NOTHING = dict.fromkeys(WideningOptions.__struct_fields__, 0.0)


def updates(objective, monkeypatch):
    """Return the losses, by name, that the objective is going to lower."""
    lowered, update = {}, objective._update

    def noted(name, loss, *rest, **more):
        lowered[name] = loss.item()
        update(name, loss, *rest, **more)

    monkeypatch.setattr(objective, "_update", noted)
    return lowered


def outputs(network):
    """Return a list that fills with what the network is given and returns."""
    seen = []
    network.register_forward_hook(lambda _, given, returned: seen.append((given, returned)))
    return seen


@pytest.mark.parametrize("step", [0, 3, 5])
def test_keypoint_gan_lowers_the_weighted_sum_of_its_losses(monkeypatch, step):
    weights = {"reconstruction_weight": 7.0, "adversarial_weight": 3.0, "consistency_weight": 0.5}
    objective = keypoint_gan_objective(**weights, final_adversarial_share=0.25)
    lowered = updates(objective, monkeypatch)
    found = objective.step(step, StepRandom(0, "test", step))
    # From 3 at the first of six steps towards a quarter of it.
    adversarial_weight = 3.0 * 0.25 ** (step / 6)
    expected = 7 * found["reconstruction"] + adversarial_weight * found["adversarial"] + 0.5 * found["consistency"]
    assert lowered["generators"] == pytest.approx(expected.item(), rel=1e-5)
    assert lowered["discriminator"] == pytest.approx(found["discriminator"].item(), rel=1e-5)
    assert lowered["eta"] == pytest.approx(found["eta"].item(), rel=1e-5)


def test_the_discriminator_is_to_say_1_of_drawings_and_0_of_phis(monkeypatch):
    """Against the least-squares form in NumPy (Jakab et al. 2020, Eq. 3); Φ is to have its own called 1."""
    objective = keypoint_gan_objective()
    seen, made = outputs(objective.discriminator), outputs(objective.phi)
    found = objective.step(0, StepRandom(0, "test", 0))
    (_, of_made), ((both,), of_both) = seen
    half = len(both) // 2
    torch.testing.assert_close(both[half:], made[0][1])
    goals = np.repeat([1.0, 0.0], half)
    squares = [((scores.detach().numpy().reshape(len(goals), -1) - goals[:, None]) ** 2) for scores in of_both]
    # The halves' means are added and halved, for each of the two outputs.
    assert found["discriminator"].item() == pytest.approx(np.mean([own.mean() for own in squares]), rel=1e-5)
    deceived = [((scores.detach().numpy() - 1) ** 2).mean() for scores in of_made]
    assert found["adversarial"].item() == pytest.approx(np.mean(deceived), rel=1e-5)


def test_psi_paints_after_another_frame_than_the_one_it_is_to_paint(monkeypatch):
    objective = keypoint_gan_objective()
    others = torch.tensor([3, 5, 7, 9])
    monkeypatch.setattr(objective.companions, "draw", lambda rows, random: others)
    seen = outputs(objective.psi)
    objective.step(0, StepRandom(0, "test", 0))
    images, backgrounds = objective.frames.take(others, CPU)
    torch.testing.assert_close(seen[0][0][1], images - backgrounds)


def test_a_drawn_pose_is_moved_as_a_whole():
    prior = eta.PosePrior(small_poses(1), BODY15, CPU)
    moved = prior.draw(4000, 0.05, StepRandom(0, "test", 0)) - prior.poses
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved[:, 0].std(0), torch.full((2,), 0.05), rtol=0.05, atol=0)


def eta_objective(**options):
    architecture = DetectorArchitecture(joints=15, size=16, eta_widths=(8, 8))
    network = initialised(lambda: SkeletonToKeypoints(architecture), 0, "initialise/eta", CPU)
    prior = eta.PosePrior(small_poses(1), BODY15, CPU)
    return eta.EtaObjective(network, prior, 16, EtaOptions(steps=8, jitter=0.0, **options), mixed=False)


def test_half_of_etas_drawings_carry_noise():
    objective = eta_objective(batch=400, noise=0.3)
    seen = outputs(objective.eta)
    objective.step(0, StepRandom(0, "test", 0))
    noise = seen[0][0][0] - draw_distances(objective.prior.poses, BODY15, 16, eta.DECAY)
    spread = noise.flatten(1).std(1)
    clean = spread < 1e-6
    assert 0.4 < clean.float().mean() < 0.6
    # Of the others by a uniform amount up to 0.3.
    assert 0.25 < spread.max() < 0.36
    assert spread[~clean].mean() == pytest.approx(0.15, rel=0.15)


@pytest.mark.parametrize(("step", "own"), [(0, 1.0), (2, 0.5), (3, 0.25), (4, 0.1), (7, 0.1)])
def test_eta_follows_the_labels_first(monkeypatch, step, own):
    told = []
    error = eta.keypoint_error

    def noted(predicted, truth, flip, own_labels):
        told.append(own_labels)
        return error(predicted, truth, flip, own_labels)

    monkeypatch.setattr(eta, "keypoint_error", noted)
    eta_objective(batch=4, own_labels=0.1).step(step, StepRandom(0, "test", step))
    assert told == [pytest.approx(own)]


@pytest.mark.parametrize("step", [4, 5])
def test_distillation_lowers_images_bones_and_from_half_way_on_readings(monkeypatch, step):
    generator, options = tiny_generator(), DistillationOptions(steps=10, batch=4, reading_weight=3.0, bone_weight=5.0)
    heads = initialised(lambda: distillation.BoneHeads((16, 12), 14), 0, "initialise/heads", CPU)
    regressor = Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4))
    objective = distillation.DistillationObjective(generator, heads, regressor, options, mixed=False)
    poses = torch.from_numpy(some_poses(4))
    monkeypatch.setattr(objective, "_poses", lambda random: poses)
    before, judge = copy.deepcopy(generator), copy.deepcopy(heads)
    found = objective.step(step, StepRandom(0, "test", step))
    with torch.no_grad():
        drawn = before.draw(poses)
        difference = (drawn - draw_lines(poses, BODY15, 8, 3)).numpy()
        loss = sum(
            size * difference.reshape(4, 3, 8 // size, size, 8 // size, size).mean((3, 5)).__pow__(2).mean()
            for size in (1, 2, 4)
        )
        for maps in judge(before.hidden(before.styles(before.f.encode(poses)))):
            loss += 5 * (maps - distillation.bone_maps(poses, BODY15, maps.shape[-1])).square().mean().item()
        if step == 5:
            loss += 3 * (regressor(drawn) - poses).norm(dim=-1).mean().item()
    assert found["loss"].item() == pytest.approx(loss, rel=1e-4)


def test_affine_layers_and_the_rest_have_rates_of_their_own():
    generator = tiny_generator()
    heads = initialised(lambda: distillation.BoneHeads((16, 12), 14), 0, "initialise/heads", CPU)
    regressor = Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4))
    options = DistillationOptions(steps=100, batch=2, learning_rate=0.01, reading_weight=0)
    objective = distillation.DistillationObjective(generator, heads, regressor, options, mixed=False)
    objective.step(60, StepRandom(0, "test", 60))
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in objective.optimisers.items()}
    assert rates["affines"] == pytest.approx(distillation.LINEAR_RATE * rates["convolutions"])
    assert rates["others"] == pytest.approx(distillation.OTHERS_RATE * rates["convolutions"])
    assert len({*rates.values()}) == 3


def on_poses():
    architecture = msgspec.convert({**NETWORK, "skeleton": "body15"}, GeneratorArchitecture)
    mapping = initialised(lambda: MappingNetwork(architecture), 0, "initialise/f", CPU)
    judge = initialised(lambda: PoseDiscriminator(BODY15, 16), 0, "initialise/d", CPU)
    pose = torch.from_numpy(some_poses(1))
    options = PoseGanOptions(steps=40, batch=4, r1_gamma=2.0, r1_interval=8)
    return pose_gan.PoseGanObjective(mapping, judge, pose, BODY15, 8, options), pose


def on_images():
    generator = tiny_generator()
    judge = initialised(lambda: ImageDiscriminator(3, 8, 8), 0, "initialise/d", CPU)
    pose = torch.from_numpy(some_poses(1))
    options = AdversarialOptions(steps=40, batch=4, r1_gamma=2.0, r1_interval=8, discriminator_width=8)
    objective = adversarial.AdversarialObjective(generator, judge, pose, options, mixed=False)
    return objective, draw_lines(pose, BODY15, 8, 3)


@pytest.mark.parametrize("made", [on_poses, on_images])
@pytest.mark.parametrize(("step", "times"), [(0, 16.0), (1, 0.0), (7, 0.0), (8, 16.0)])
def test_the_penalty_is_lazy_and_as_much_larger(monkeypatch, made, step, times):
    """γ · interval · E |∇D|² / 2 in every eighth step (Karras et al. 2020, appendix B); the one pose there is, is what is real."""
    objective, real = made()
    judge = copy.deepcopy(objective.discriminator)
    penalty = r1_penalty(judge, real.expand(4, *real.shape[1:])).item()
    assert penalty > 1e-6
    lowered = updates(objective, monkeypatch)
    found = objective.step(step, StepRandom(0, "test", step))
    assert lowered["discriminator"] == pytest.approx(found["discriminator"].item() + times * penalty, rel=1e-4)


def test_cycle_gan_lowers_the_weighted_sum_and_half_of_what_its_judges_err(monkeypatch):
    objective = cycle_gan_objective(cycle_weight=6.0)
    lowered = updates(objective, monkeypatch)
    found = {name: value.item() for name, value in objective.step(0, StepRandom(0, "test", 0)).items()}
    expected = found["people_adversarial"] + found["skeleton_adversarial"]
    expected += 6 * (found["people_cycle"] + found["skeleton_cycle"])
    assert lowered["generators"] == pytest.approx(expected, rel=1e-5)
    judged = found["people_discriminator"] + found["skeleton_discriminator"]
    assert lowered["discriminators"] == pytest.approx(judged, rel=1e-5)


def test_beta_lowers_both_errors_and_the_weighted_cross_entropy(monkeypatch):
    """On a single pose, neither widened nor disturbed."""
    regressor = initialised(
        lambda: Regressor(RegressorArchitecture(skeleton="body15", resolution=16, width=4)), 0, "initialise/b", CPU
    )
    pose = torch.from_numpy(some_poses(1))
    options = RegressionOptions(steps=10, batch=4, widened=0.0, disturbance=0.0, heat_weight=0.7)
    before = copy.deepcopy(regressor)
    seen = []
    heat_maps = regressor.heat_maps
    monkeypatch.setattr(regressor, "heat_maps", lambda images: seen.append(images) or heat_maps(images))
    objective = regression.RegressionObjective(regressor, pose, options, mixed=False)
    found = objective.step(0, StepRandom(0, "test", 0))
    drawn = draw_lines(pose, BODY15, 16, 3)
    torch.testing.assert_close(seen[0], drawn.expand(4, -1, -1, -1), atol=1e-5, rtol=0)
    with torch.no_grad():
        heat = before.heat_maps(drawn)
        error = (soft_argmax(heat) - pose).numpy()
        entropy = regression.heat_cross_entropy(heat, pose).item()
    expected = np.abs(error).mean() + 3 * (error**2).mean() + 0.7 * entropy
    assert found["loss"].item() == pytest.approx(expected, rel=1e-4)
    # As much disturbed as is asked for.
    objective.options = replace(options, disturbance=1.0)
    objective.step(1, StepRandom(0, "test", 1))
    assert F.mse_loss(seen[1], seen[0]) > 1e-3


@pytest.mark.parametrize("spread", ["shear", "bone_length"])
def test_widening_shears_whole_poses_and_stretches_single_bones(spread):
    small = torch.from_numpy(0.5 + 0.1 * (small_poses(2000) - 0.5))
    changed = widen(small, BODY15, torch.Generator().manual_seed(0), WideningOptions(**{**NOTHING, spread: 0.2}))
    ends = torch.as_tensor(BODY15.tree_ends)
    before, after = (poses[:, ends[:, 1]] - poses[:, ends[:, 0]] for poses in (small, changed))
    ratios = (after.norm(dim=-1) / before.norm(dim=-1)).log()
    # Each pose by a uniform share of the spread, so by 1/√3 of it in the square mean.
    if spread == "bone_length":
        assert ratios.std() == pytest.approx(0.2 / 3**0.5, rel=0.05)
        directions = F.cosine_similarity(before, after, dim=-1)
        torch.testing.assert_close(directions, torch.ones_like(directions), atol=1e-4, rtol=0)
        return
    assert ratios.std() > 0.05
    # One linear map a pose explains all its bones.
    solved = torch.linalg.lstsq(before.double(), after.double()).solution
    torch.testing.assert_close((before.double() @ solved).float(), after, atol=1e-5, rtol=0)
    entries = (solved.mT - torch.eye(2)).flatten()
    assert entries.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.1)
