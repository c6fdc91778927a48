"""CycleGAN: its networks, its losses, its history, and that a resumed training is an uninterrupted one."""

import numpy as np
import pytest
import torch
from interruption import check_that_it_resumes
from torch import nn

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import write_json
from flexpose_core.models.cycle_gan import PatchDiscriminator, PersonToSkeleton, SkeletonToPerson
from flexpose_core.options.cycle_gan import CycleGanArchitecture, CycleGanOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.rendering.differentiable import draw_lines
from flexpose_core.rendering.pictures import to_uint8
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.train_cycle_gan import build_objective, load_painter, poses_apart, train_cycle_gan
from flexpose_core.streams import StepRandom
from flexpose_core.training.frames import Frames
from flexpose_core.training.health import weights_norm
from flexpose_core.training.objectives.cycle_gan import CycleGanObjective, ImageBuffer, cycle_loss, least_squares
from flexpose_core.training.objectives.eta import PosePrior

CPU = torch.device("cpu")
SMALL = {"size": 16, "widths": (8, 16), "blocks": 1, "discriminator_widths": (8, 16), "device": "cpu"}


def _poses(count, skeleton=BODY15, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 0.8, (count, len(skeleton), 2)).astype(np.float32)


def _frames(count=12, images=None):
    random = np.random.default_rng(1)
    drawn = torch.from_numpy(random.integers(0, 256, (count, 3, 16, 16), np.uint8)) if images is None else images
    backgrounds = torch.from_numpy(random.integers(0, 256, (2, 3, 16, 16), np.uint8))
    return Frames(drawn, backgrounds, torch.arange(len(drawn)) % 2, torch.arange(len(drawn)))


def _objective(**options) -> CycleGanObjective:
    chosen = CycleGanOptions(**{**SMALL, "steps": 6, "batch": 4, "buffer": 6, **options})
    return build_objective(chosen, _frames(), PosePrior(_poses(20), BODY15, CPU), 0)


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_and_ranges(size):
    architecture = CycleGanArchitecture(size=size)
    skeletons, backgrounds = torch.rand(2, 1, size, size) * 2 - 1, torch.rand(2, 3, size, size) * 2 - 1
    people = SkeletonToPerson(architecture)(skeletons, backgrounds)
    assert people.shape == backgrounds.shape
    assert people.abs().max() <= 1
    found = PersonToSkeleton(architecture)(people, backgrounds)
    assert found.shape == skeletons.shape
    assert found.abs().max() <= 1


@pytest.mark.parametrize(("widths", "side"), [((4, 4), 16), ((4, 4, 4), 34), ((4, 4, 4, 4), 70)])
def test_a_score_is_of_a_patch(widths, side):
    """The pixels that a score in the middle depends on; statistics over the whole picture apart."""
    judge = PatchDiscriminator(3, widths)
    for place, layer in enumerate(judge.layers):
        if isinstance(layer, nn.InstanceNorm2d):
            judge.layers[place] = nn.Identity()
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
    images = torch.ones(1, 3, 128, 128, requires_grad=True)
    scores = judge(images)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    seen = images.grad[0].abs().sum(0) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (side, side)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match=r"cycle_gan: widths .* multiple of 4 and at least 16, found 34"):
        CycleGanOptions(size=34).architecture()


def test_people_stand_before_the_background():
    """Where nothing is painted the background is left as it is."""
    painter = SkeletonToPerson(CycleGanArchitecture(size=16, widths=(4, 4)))
    last = painter.net.layers[-1]
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([9.0, 9.0, 9.0, -30.0]))
    background = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(painter(background[:, :1], background), background)
    with torch.no_grad():
        last.bias[3] = 30.0
    torch.testing.assert_close(painter(background[:, :1], background), torch.ones(1, 3, 16, 16))


def test_losses_in_closed_form():
    scores = torch.tensor([[0.5, 2.0], [1.0, 0.0]])
    torch.testing.assert_close(least_squares(scores, 1.0), torch.tensor((0.25 + 1 + 0 + 1) / 4))
    torch.testing.assert_close(
        cycle_loss(torch.zeros(2, 3), torch.tensor([[1.0, -1, 0], [2, 0, 0]])), torch.tensor(4 / 6)
    )


class TestBuffer:
    def test_until_it_is_full_it_gives_back_what_it_is_given(self):
        buffer = ImageBuffer(5, (1,))
        fresh = torch.arange(5.0).view(5, 1)
        assert torch.equal(buffer.exchange(fresh, StepRandom(0, "test", 0)), fresh)
        assert torch.equal(buffer.images, fresh)

    def test_then_it_exchanges_half_and_loses_none(self):
        buffer, given = ImageBuffer(50, (1,)), []
        for step in range(200):
            fresh = torch.arange(4.0 * step, 4 * step + 4).view(4, 1)
            given.append(buffer.exchange(fresh, StepRandom(0, "test", step)))
            assert len(given[-1]) == 4
        everything = torch.cat([*given, buffer.images]).flatten().sort().values
        # The first fifty were given back and kept as well.
        once = torch.cat([torch.arange(800.0), torch.arange(50.0)]).sort().values
        assert torch.equal(everything, once)
        old = torch.cat(given).flatten() != torch.arange(800.0)
        assert abs(float(old[50:].float().mean()) - 0.5) < 0.06

    def test_its_pictures_are_no_weights(self):
        buffer = ImageBuffer(5, (3,))
        buffer.exchange(1e6 * torch.ones(5, 3), StepRandom(0, "test", 0))
        judge = nn.Linear(2, 2)
        assert weights_norm({"judge": judge, "people": buffer}) == weights_norm({"judge": judge})

    def test_without_places_it_keeps_nothing(self):
        fresh = torch.rand(3, 2)
        assert torch.equal(ImageBuffer(0, (2,)).exchange(fresh, StepRandom(0, "test", 0)), fresh)


class _Copy(nn.Module):
    """Between one and three grey channels; there is a parameter for the optimiser."""

    def __init__(self, channels):
        super().__init__()
        self.channels, self.gain = channels, nn.Parameter(torch.ones(()))

    def forward(self, images, backgrounds):
        return self.gain * images[:, :1].expand(-1, self.channels, -1, -1)


def test_translations_that_undo_each_other_have_no_cycle_loss():
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), np.uint8)).expand(-1, 3, -1, -1)
    judges = PatchDiscriminator(6, (8,)), PatchDiscriminator(1, (8,))
    prior, options = PosePrior(_poses(8), BODY15, CPU), CycleGanOptions(**SMALL, mixed_precision=False)
    found = []
    for change in (1.0, 0.5):
        painter = _Copy(3)
        painter.gain.data.fill_(change)
        objective = CycleGanObjective(painter, _Copy(1), *judges, _frames(images=grey), prior, options)
        found.append(objective.step(0, StepRandom(0, "test", 0)))
    assert found[0]["people_cycle"] == found[0]["skeleton_cycle"] == 0
    assert found[1]["people_cycle"] > 0.1
    assert found[1]["skeleton_cycle"] > 0.1


def test_each_update_moves_its_own_networks_in_the_original_order():
    objective, seen = _objective(), []

    def parameters():
        return {
            name: torch.cat([p.detach().flatten().clone() for p in objective.networks[name].parameters()])
            for name in ("generators", "discriminators")
        }

    before = parameters()

    def hook_for(name):
        def hook(*_):
            nonlocal before
            now = parameters()
            assert [key for key in now if not torch.equal(now[key], before[key])] == [name]
            before = now
            seen.append(name)

        return hook

    for name, optimiser in objective.optimisers.items():
        optimiser.register_step_post_hook(hook_for(name))
    objective.step(0, StepRandom(0, "test", 0))
    assert seen == ["generators", "discriminators"]


def test_resumed_equals_uninterrupted(tmp_path):
    _, resumed = check_that_it_resumes(_objective, tmp_path, steps=6, at=4)
    assert int(resumed.people.held) == 6


def _red_drawings(poses):
    """Skeletons in red over black: what a painter can tell from a white skeleton exactly."""
    drawn = draw_lines(torch.from_numpy(poses), BODY15, 16, 1)
    return torch.cat([drawn, torch.full_like(drawn, -1), torch.full_like(drawn, -1)], 1)


def test_it_learns_an_invertible_translation_from_unpaired_examples():
    options = CycleGanOptions(
        **{**SMALL, "widths": (12, 24)}, steps=150, batch=8, learning_rate=2e-3, average_decay=0.9
    )
    images = torch.from_numpy(to_uint8(_red_drawings(_poses(40, seed=1)).numpy())).permute(0, 3, 1, 2)
    frames = Frames(
        images, torch.zeros(1, 3, 16, 16, dtype=torch.uint8), torch.zeros(40, dtype=torch.long), torch.arange(40)
    )
    objective = build_objective(options, frames, PosePrior(_poses(40, seed=2), BODY15, CPU), 0)
    asked = _poses(16, seed=3)
    backgrounds = -torch.ones(16, 3, 16, 16)

    def error():
        with torch.no_grad():
            painted = objective.averaged[0](objective.draw(torch.from_numpy(asked)), backgrounds)
        return float((painted - _red_drawings(asked)).abs().mean())

    before = error()
    for step in range(options.steps):
        objective.step(step, StepRandom(0, "test", step))
    assert error() < 0.35 * before
    assert objective.picture(StepRandom(0, "picture", 0)).shape[2] == 3


@pytest.fixture
def caches(tmp_path):
    """Pictures before two backgrounds, unpaired poses, and a face."""
    paths = {name: tmp_path / f"{name}.h5" for name in ("images", "poses", "faces")}
    poses, none = _poses(12), np.zeros(12, np.int32)
    batch = PoseBatch(
        poses,
        np.ones(poses.shape[:2], np.uint8),
        np.full(12, "walk"),
        subject=none,
        camera=none,
        sequence=none,
        frame=np.arange(12, dtype=np.int32),
        images=encode_images(to_uint8(draw_lines(torch.from_numpy(poses), BODY15, 32).numpy()), "png"),
        backgrounds=encode_images(list(np.zeros((12, 32, 32, 3), np.uint8)), "png"),
    )
    write_cache(paths["images"], [batch], BODY15, {})
    write_cache(paths["poses"], [plain_batch(_poses(30, seed=1))], BODY15, {})
    write_cache(paths["faces"], [plain_batch(_poses(30, FACE68))], FACE68, {})
    return paths


OPTIONS = CycleGanOptions(**SMALL, steps=2, batch=2)


def test_the_stage_gives_the_same_bytes_again(tmp_path, caches):
    outputs = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for seed, path in zip((0, 0, 1), outputs, strict=True):
        train_cycle_gan(OPTIONS, caches["images"], caches["poses"], 5, path, seed, tmp_path / path.stem)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert outputs[0].read_bytes() != outputs[2].read_bytes()
    painter, architecture, skeleton = load_painter(outputs[0], CPU)
    assert architecture == OPTIONS.architecture()
    assert skeleton == "body15"
    assert painter(torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_poses_that_are_asked_for_are_not_trained_on(caches):
    others, asked = poses_apart(load_cache(caches["poses"]), caches["poses"], 5, 0)
    assert (len(others), len(asked)) == (25, 5)
    both = np.concatenate([others, asked])
    assert np.array_equal(np.unique(both, axis=0), np.unique(_poses(30, seed=1), axis=0))
    assert np.array_equal(poses_apart(load_cache(caches["poses"]), caches["poses"], 5, 0)[1], asked)
    assert not np.array_equal(poses_apart(load_cache(caches["poses"]), caches["poses"], 5, 1)[1], asked)


def test_what_does_not_belong_together_is_refused(tmp_path, caches):
    common = (tmp_path / "out.safetensors", 0, tmp_path / "work")
    with pytest.raises(DataError, match=r"faces.h5: expected skeleton body15 as in .*images.h5, found face68"):
        train_cycle_gan(OPTIONS, caches["images"], caches["faces"], 5, *common)
    with pytest.raises(DataError, match=r"poses.h5: expected at least 40 poses, found 30"):
        train_cycle_gan(OPTIONS, caches["images"], caches["poses"], 20, *common)
    write_json(tmp_path / "no.h5", {})
    with pytest.raises(DataError, match=r"no.h5: expected an HDF5 pose cache"):
        train_cycle_gan(OPTIONS, tmp_path / "no.h5", caches["poses"], 5, *common)
