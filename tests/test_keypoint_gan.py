"""KeypointGAN: shapes, which update moves which network, and resuming."""

import numpy as np
import pytest
import torch
from interruption import check_that_it_resumes

from flexpose_core.errors import ConfigError
from flexpose_core.models.keypoint_gan import (
    Detector,
    ImageToSkeleton,
    SkeletonDiscriminator,
    SkeletonToImage,
    SkeletonToKeypoints,
)
from flexpose_core.options.detector import DetectorArchitecture, DetectorOptions, EtaOptions, KeypointGanOptions
from flexpose_core.skeletons import BODY15, SKELETONS
from flexpose_core.stages.train_detector import (
    untrained,
)
from flexpose_core.streams import StepRandom
from flexpose_core.training.frames import CompanionFrames, Frames
from flexpose_core.training.objectives.eta import EtaObjective, PosePrior, keypoint_error
from flexpose_core.training.objectives.keypoint_gan import (
    NO_SKETCHES,
    KeypointGanObjective,
    least_squares,
    reach_at,
    reconstruction_loss,
)

CPU = torch.device("cpu")
NETWORKS = {
    "phi": ImageToSkeleton,
    "eta": SkeletonToKeypoints,
    "psi": SkeletonToImage,
    "discriminator": SkeletonDiscriminator,
}
SMALL = {
    "size": 16,
    "image_widths": (4, 8, 8),
    "eta_widths": (8, 8),
    "decoder_widths": (4, 8),
    "discriminator_widths": (4, 8),
}


def small_poses(count: int, skeleton=BODY15, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, (count, len(skeleton), 2)).astype(np.float32)


def _objective(skeleton=BODY15, sketches=NO_SKETCHES, **options) -> KeypointGanObjective:
    random = np.random.default_rng(0)

    def pixels(count):
        return torch.from_numpy(random.integers(0, 256, (count, 3, 16, 16), np.uint8))

    architecture = DetectorArchitecture(joints=len(skeleton), **SMALL)
    networks = {name: untrained(network, architecture, 0, name, CPU) for name, network in NETWORKS.items()}
    return KeypointGanObjective(
        **networks,
        frames=Frames(pixels(12), pixels(2), torch.arange(12) % 2, torch.arange(12) % 2),
        prior=PosePrior(small_poses(20, skeleton), skeleton, CPU),
        size=16,
        options=KeypointGanOptions(steps=6, batch=4, **options),
        sketches=sketches,
    )


def _parameters(objective: KeypointGanObjective) -> dict[str, torch.Tensor]:
    return {
        name: torch.cat([p.detach().flatten().clone() for p in objective.networks[name].parameters()])
        for name in NETWORKS
    }


def test_a_companion_is_seen_without_its_own_background():
    """Crops of a sequence need not show the same part of the scene."""
    objective = _objective()
    # Every frame shows nothing but its background, which no two of them share.
    scenes = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (12, 3, 16, 16), np.uint8))
    objective.frames = Frames(scenes, scenes, torch.arange(12), torch.arange(12) % 2)
    seen = []
    objective.psi.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    objective.step(0, StepRandom(0, "keypoint_gan", 0))
    assert len(seen) == 1
    assert seen[0].abs().max() == 0


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("size", [32, 64])
def test_shapes_and_ranges(skeleton, size):
    architecture = DetectorArchitecture(joints=len(skeleton), size=size)
    nets = {name: untrained(network, architecture, 0, name, CPU) for name, network in NETWORKS.items()}
    images, backgrounds = torch.rand(2, 2, 3, size, size) * 2 - 1
    made = nets["phi"](images - backgrounds)
    assert made.shape == (2, 1, size, size)
    assert made.abs().max() <= 1
    keypoints = nets["eta"](made)
    assert keypoints.shape == (2, len(skeleton), 2)
    assert keypoints.min() >= 0
    assert keypoints.max() <= 1
    assert nets["psi"](made, images - backgrounds, backgrounds).shape == images.shape
    patches, whole = nets["discriminator"](made)
    assert patches.shape == (2, 1, size // 8, size // 8)
    assert whole.shape == (2, 1)
    detector = Detector(nets["phi"], nets["eta"]).eval()
    torch.testing.assert_close(detector(images, backgrounds), nets["eta"](nets["phi"](images - backgrounds)))


def test_keypoints_are_pixel_centres():
    """A heat map with all its mass in one cell must give that cell's centre."""
    eta = SkeletonToKeypoints(DetectorArchitecture(joints=2))
    maps = torch.full((1, 2, 16, 16), -1e4)
    maps[0, 0, 3, 15] = maps[0, 1, 0, 0] = 1e4
    eta.net = torch.nn.Identity()
    torch.testing.assert_close(eta(maps)[0], torch.tensor([[15.5 / 16, 3.5 / 16], [0.5 / 16, 0.5 / 16]]))


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match=r"image_widths .* multiple of 8 and at least 16, found 36"):
        DetectorOptions(size=36).architecture(len(BODY15))


def test_appearance_code_carries_no_place():
    """Ψ must not see where the person of the appearance frame stands."""
    psi = untrained(SkeletonToImage, DetectorArchitecture(joints=15, size=64), 0, "psi", CPU).eval()
    appearance = torch.zeros(1, 3, 64, 64)
    appearance[:, :, 16:24, 16:24] = 1
    moved = appearance.roll((16, 16), (2, 3))
    blank = torch.zeros(1, 3, 64, 64)
    here, there = (psi(blank[:, :1], frame, blank) for frame in (appearance, moved))
    torch.testing.assert_close(here, there)
    assert (psi(blank[:, :1], -appearance, blank) - here).abs().max() > 1e-2


def test_keypoint_error_takes_the_better_labelling():
    truth = torch.from_numpy(small_poses(3))
    flip = torch.as_tensor(BODY15.flip_permutation)
    mirrored = truth[:, flip]
    assert keypoint_error(mirrored, truth, flip, own_labels=0.0) == 0
    plain = 4 * ((mirrored - truth) ** 2).mean()
    torch.testing.assert_close(keypoint_error(mirrored, truth, flip, own_labels=1.0), plain)
    torch.testing.assert_close(keypoint_error(mirrored, truth, flip, own_labels=0.25), plain / 4)
    torch.testing.assert_close(keypoint_error(truth + 0.1, truth, flip, own_labels=0.5), torch.tensor(0.04))


def test_losses_in_closed_form():
    flat = torch.zeros(2, 3, 16, 16)
    torch.testing.assert_close(reconstruction_loss(flat + 0.5, flat), torch.tensor(1.5))
    ramp = torch.linspace(0, 15, 16).expand(2, 3, 16, 16)
    torch.testing.assert_close(reconstruction_loss(flat + ramp, flat), torch.tensor(1 + 3 * 7.5))
    squares = [np.mean((2**k * (np.arange(16 // 2**k) + 0.5) - 0.5) ** 2) for k in range(3)]
    squared = reconstruction_loss(flat + ramp, flat, error="squared")
    torch.testing.assert_close(squared, torch.tensor(1 + sum(squares), dtype=torch.float32))
    scores = torch.full((4, 1, 2, 2), 0.5), torch.full((4, 1), 2.0)
    torch.testing.assert_close(least_squares(scores, 1.0), torch.tensor((0.25 + 1) / 2))


def test_companions_share_the_sequence_and_reach_all_of_it():
    index = torch.tensor([2, 0, 2, 0, 2, 1, 0])
    companions = CompanionFrames(index)
    rows = torch.arange(len(index)).repeat(200)
    drawn = companions.draw(rows, StepRandom(0, "test", 0))
    assert (index[drawn] == index[rows]).all()
    for row in range(len(index)):
        assert set(drawn[rows == row].tolist()) == set(torch.nonzero(index == index[row]).flatten().tolist())


def test_each_update_moves_its_own_networks_in_the_original_order():
    objective = _objective()
    owners = {"generators": {"phi", "psi"}, "discriminator": {"discriminator"}, "eta": {"eta"}}
    before, seen = _parameters(objective), []

    def hook_for(name):
        def hook(*_):
            nonlocal before
            now = _parameters(objective)
            assert {key for key in now if not torch.equal(now[key], before[key])} == owners[name]
            before = now
            seen.append(name)

        return hook

    for name, optimiser in objective.optimisers.items():
        optimiser.register_step_post_hook(hook_for(name))
    objective.step(0, StepRandom(0, "test", 0))
    assert seen == ["generators", "discriminator", "eta"]


@pytest.mark.parametrize(
    ("kept", "moved"),
    [
        (None, set()),
        ("adversarial_weight", {"phi"}),
        ("consistency_weight", {"phi"}),
        ("reconstruction_weight", {"phi", "psi"}),
    ],
)
def test_which_loss_moves_which_generator(kept, moved):
    off = dict.fromkeys(("adversarial_weight", "consistency_weight", "reconstruction_weight"), 0.0)
    objective = _objective(**{name: weight for name, weight in off.items() if name != kept})
    before = _parameters(objective)
    objective.step(0, StepRandom(0, "test", 0))
    after = _parameters(objective)
    assert {name for name in ("phi", "psi") if not torch.equal(before[name], after[name])} == moved


@pytest.mark.parametrize("weights", [{"drawn_weight": 0.0}, {"estimated_weight": 0.0}])
def test_eta_learns_from_either_of_its_losses(weights):
    moved = []
    for options in (weights, {"drawn_weight": 0.0, "estimated_weight": 0.0}):
        objective = _objective(**options)
        before = _parameters(objective)["eta"]
        objective.step(0, StepRandom(0, "test", 0))
        moved.append(not torch.equal(before, _parameters(objective)["eta"]))
    assert moved == [True, False]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_resumed_equals_uninterrupted(tmp_path, skeleton):
    check_that_it_resumes(lambda: _objective(skeleton), tmp_path, steps=6, at=4)


def test_the_average_is_the_exponential_one():
    objective = _objective(average_decay=0.5)
    history = []
    for step in range(3):
        objective.step(step, StepRandom(0, "test", step))
        history.append(objective.phi.net.last.weight.detach().clone())
    expected = 0.25 * history[0] + 0.25 * history[1] + 0.5 * history[2]
    torch.testing.assert_close(objective.average.module.phi.net.last.weight, expected)


def test_eta_learns_to_read_drawings():
    poses = small_poses(4)
    options = EtaOptions(steps=120, batch=8, jitter=0.0, noise=0.0, own_labels=1.0)
    architecture = DetectorArchitecture(joints=len(BODY15), size=16, eta_widths=(16, 32, 32))
    objective = EtaObjective(
        untrained(SkeletonToKeypoints, architecture, 0, "eta", CPU), PosePrior(poses, BODY15, CPU), 16, options
    )
    losses = [float(objective.step(step, StepRandom(0, "eta", step))["loss"]) for step in range(options.steps)]
    assert np.mean(losses[-5:]) < 0.1 * np.mean(losses[:5])
    assert objective.picture(StepRandom(0, "picture", 0)).shape[2] == 3


@pytest.mark.parametrize(("symmetric", "width"), [(False, 13), (True, 14)])
def test_at_no_reach_a_pixel_depends_on_its_neighbourhood_alone(symmetric, width):
    phi = untrained(ImageToSkeleton, DetectorArchitecture(joints=15, symmetric=symmetric), 0, "phi", CPU).eval()
    reached = []
    for phi.reach in (0.0, 1.0):
        image = (torch.rand(1, 3, 32, 32) - 0.5).requires_grad_()
        phi(image)[0, 0, 16, 16].backward()
        rows, columns = torch.nonzero(image.grad.abs().sum((0, 1)), as_tuple=True)
        reached.append([int(places.max() - places.min()) + 1 for places in (rows, columns)])
    assert reached == [[13, width], [32, 32]]


def test_a_symmetric_phi_of_a_mirrored_image_is_the_mirrored_phi():
    image = torch.rand(2, 3, 32, 32) - 0.5
    for symmetric in (True, False):
        phi = untrained(ImageToSkeleton, DetectorArchitecture(joints=15, symmetric=symmetric), 0, "phi", CPU).eval()
        off = (phi(image.flip(3)) - phi(image).flip(3)).abs().max().item()
        assert (off < 1e-5) == symmetric


def test_the_reach_grows_to_all_in_the_course_of_a_training():
    options = KeypointGanOptions(steps=100, local_share=0.4)
    assert [reach_at(step, options) for step in (0, 39, 54, 69, 99)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert reach_at(0, KeypointGanOptions(steps=100)) == 1
    objective = _objective(local_share=0.5)
    for step, expected in enumerate([0, 0, 0, 5 / 9, 1, 1]):
        objective.step(step, StepRandom(0, "test", step))
        assert objective.phi.reach == objective.average.module.phi.reach == pytest.approx(expected)
