"""Learning from labelled images: what the augmentation does, that the loss is learnt, and that labels find their images."""

import msgspec
import numpy as np
import pytest
import torch
from test_detector_stages import OPTIONS, caches
from test_keypoint_gan import CPU, NETWORKS, SMALL

from flexpose_core.errors import DataError
from flexpose_core.files import read_json
from flexpose_core.geometry import flip
from flexpose_core.models.keypoint_gan import Detector, DetectorArchitecture
from flexpose_core.options.detector import KeypointGanOptions, SupervisionOptions
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.rendering.differentiable import draw_distances
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import evaluate as evaluation
from flexpose_core.stages import train_detector as training
from flexpose_core.stages.guide import _rows
from flexpose_core.stages.train_detector import places_of, pretrain_eta, train_detector, untrained
from flexpose_core.streams import StepRandom
from flexpose_core.training.checkpoint import load_weights
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.eta import DECAY, PosePrior
from flexpose_core.training.objectives.keypoint_gan import KeypointGanObjective
from flexpose_core.training.objectives.supervised import (
    LabelledFrames,
    SupervisedObjective,
    moved_images,
    moved_poses,
    supervision_loss,
)

assert caches  # the fixture

SHOTS = [7, 2, 11, 0, 5, 1, 9, 3]

STILL = {"rotation": 0, "log_scale": 0, "shift": 0, "mirror": 0, "colour": 0}


def some_poses(count, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).uniform(0.3, 0.7, (count, 15, 2)).astype(np.float32))


def labelled(poses, size=16, **options):
    """Images that are the poses' drawings on black."""
    images = draw_distances(poses, BODY15, size, DECAY).expand(-1, 3, -1, -1).contiguous()
    return LabelledFrames(images, torch.full_like(images, -1), poses, BODY15, SupervisionOptions(**options))


def test_images_go_where_their_poses_go():
    """A bright spot at each pose's only joint is found at the moved joint, for turns, scales, shifts and mirrors alike."""
    side = 64
    places = torch.rand(20, 1, 2, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.35
    centres = (torch.arange(side) + 0.5) / side
    squared = (centres[None, None, :] - places[:, :, :1]) ** 2 + (centres[None, :, None] - places[:, :, 1:]) ** 2
    images = torch.exp(-squared / (2 * 0.03**2))[:, None]
    frames = LabelledFrames(images, images, places, BODY15, SupervisionOptions(batch=20, rotation=0.4, mirror=0.5))
    matrix, shift, mirrored = frames._transforms(20, StepRandom(0, "test", 0))
    assert 3 < mirrored.sum() < 17
    assert torch.equal(torch.linalg.det(matrix) < 0, mirrored)
    moved = moved_images(images, matrix, shift)[:, 0]
    weight = moved / moved.sum((1, 2), keepdim=True)
    found = torch.stack([(weight.sum(1) * centres).sum(1), (weight.sum(2) * centres).sum(1)], 1)
    torch.testing.assert_close(found, moved_poses(places, matrix, shift)[:, 0], atol=0.01, rtol=0)


def test_without_augmentation_images_and_poses_stay():
    poses = some_poses(6)
    frames = labelled(poses, **STILL, batch=5)
    random = StepRandom(0, "test", 0)
    rows = random.indices(5, 6)
    images, backgrounds, drawn = frames.draw(StepRandom(0, "test", 0))
    torch.testing.assert_close(images, frames.images[rows], atol=1e-5, rtol=0)
    torch.testing.assert_close(backgrounds, frames.backgrounds[rows])
    torch.testing.assert_close(drawn, poses[rows])


def test_a_mirrored_image_swaps_left_and_right():
    poses = some_poses(4)
    images, _, drawn = labelled(poses, **STILL | {"mirror": 1}, batch=4).draw(StepRandom(0, "test", 0))
    rows = StepRandom(0, "test", 0).indices(4, 4)
    np.testing.assert_allclose(drawn.numpy(), flip(poses[rows].numpy(), BODY15), atol=1e-6)
    expected = draw_distances(drawn, BODY15, 16, DECAY).expand(-1, 3, -1, -1)
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)


def test_colours_change_alike_in_image_and_background():
    frames = labelled(some_poses(4), **STILL | {"colour": 0.05}, batch=64)
    bare = frames.images < -0.5
    # Grey, or what becomes darker is cut off at black; and a corner of another grey, to tell the gain from the offset.
    frames.backgrounds = torch.full_like(frames.backgrounds, -0.5)
    frames.backgrounds[:, :, 0, 0] = 0
    frames.images = torch.where(bare, frames.backgrounds, frames.images)
    bare = bare[StepRandom(0, "test", 0).indices(64, 4)]
    images, backgrounds, _ = frames.draw(StepRandom(0, "test", 0))
    offset = backgrounds[:, :, 0, 0]
    gain = (offset - backgrounds[:, :, 5, 5]) / 0.5
    for change in (offset, gain.log()):
        assert change.std().item() == pytest.approx(0.05, rel=0.25)
        assert (change - change.mean(1, keepdim=True)).std() > 0.03  # each channel's own
        assert (change - change.mean(0)).std() > 0.03  # and each image's
    torch.testing.assert_close(images[bare], backgrounds[bare], atol=1e-5, rtol=0)
    assert (images - backgrounds)[~bare].abs().max() > 0.5


def test_the_loss_is_zero_at_the_truth_alone():
    poses = some_poses(3)
    drawn = draw_distances(poses, BODY15, 16, DECAY)
    assert supervision_loss(drawn, poses, poses, BODY15) == 0
    # All joints off by a tenth of the side in x: 4 · (0.1² / 2), as half the coordinates are right.
    moved = poses + torch.tensor([0.1, 0.0])
    assert supervision_loss(drawn, moved, poses, BODY15).item() == pytest.approx(4 * 0.01 / 2, rel=1e-4)


def detector():
    architecture = DetectorArchitecture(joints=15, **SMALL)
    return {name: untrained(network, architecture, 0, name, CPU) for name, network in NETWORKS.items()}


def test_a_few_images_are_learnt_by_heart():
    networks = detector()
    poses = some_poses(4)
    frames = labelled(poses, **STILL, batch=8, steps=150, learning_rate=1e-2)
    objective = SupervisedObjective(Detector(networks["phi"], networks["eta"]), frames, 0.9, frames.options, False)
    for step in range(150):
        objective.step(step, StepRandom(0, "test", step))
    found = objective.average.module.eval()(frames.images, frames.backgrounds)
    own = (found - poses).norm(dim=-1).mean()
    others = (found - poses.roll(1, 0)).norm(dim=-1).mean()
    assert own < 0.35 * others
    assert objective.picture(StepRandom(0, "picture", 0)).ndim == 3


@pytest.mark.parametrize("with_labels", [False, True])
def test_labels_move_phi_and_eta_beside_keypoint_gan(with_labels):
    def trained(weight):
        frames = Frames(
            torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
            torch.zeros(2, 3, 16, 16, dtype=torch.uint8),
            torch.arange(12) % 2,
            torch.arange(12) % 2,
        )
        objective = KeypointGanObjective(
            **detector(),
            frames=frames,
            prior=PosePrior(some_poses(20).numpy(), BODY15, CPU),
            size=16,
            options=KeypointGanOptions(steps=6, batch=4),
            mixed=False,
            labelled=labelled(some_poses(5), batch=4, weight=weight) if with_labels else None,
        )
        scalars = [objective.step(step, StepRandom(0, "test", step)) for step in range(3)]
        assert ("supervised" in scalars[0]) == with_labels
        # Of the discriminator, the first step alone: later ones see another Φ.
        names = ("phi", "eta", "psi")
        return {name: torch.cat([p.flatten() for p in objective.networks[name].parameters()]) for name in names}

    none, much = trained(0.0), trained(50.0)
    for name in ("phi", "eta"):
        assert torch.equal(none[name], much[name]) != with_labels


@pytest.fixture
def shots(caches):
    """Some of the images' poses, in another order."""
    pictures = load_cache(caches["images"])
    path = caches["images"].parent / "shots.h5"
    write_cache(path, [_rows(pictures, np.array(SHOTS))], pictures.skeleton, {})
    return path


def test_labels_find_their_images(caches, shots):
    pictures = load_cache(caches["images"])
    assert places_of(load_cache(shots), pictures, shots).tolist() == SHOTS
    with pytest.raises(DataError, match=r"poses\.h5: expected poses of the images, found sequence"):
        places_of(load_cache(caches["poses"]), pictures, caches["poses"])


@pytest.mark.parametrize("supervision", ["added", "alone"])
def test_stages_train_and_evaluate_with_labels(caches, shots, tmp_path, monkeypatch, supervision):
    options = msgspec.structs.replace(OPTIONS, supervision=SupervisionOptions(steps=4, batch=4))
    eta = tmp_path / "eta.safetensors"
    pretrain_eta(options, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")

    def run(name, **more):
        out = tmp_path / f"{name}.safetensors"
        train_detector(options, caches["images"], caches["poses"], eta, out, 0, tmp_path / name, **more)
        return out

    found = run("a", supervision=supervision, shots=shots)
    assert found.read_bytes() == run("b", supervision=supervision, shots=shots).read_bytes()
    tensors, header = load_weights(found, "keypoint_detector")
    plain = load_weights(run("plain"), "keypoint_detector")[0]
    assert any(not torch.equal(plain[name], value) for name, value in tensors.items() if "phi" in name)
    assert any(name.startswith("psi.") for name in tensors) == (supervision == "added")
    assert header["extra"]["steps"] == (options.gan.steps if supervision == "added" else 4)
    assert (evaluation.load_detector(found, CPU)[1] is None) == (supervision == "alone")
    # What the set of poses is made of shows in the metrics: here, of the shots alone.
    images, outputs = caches["images"], (tmp_path / "m.json", tmp_path / "p.png")
    evaluation.evaluate(options, {"name": "cell"}, found, shots, images, images, images, *outputs, shots)
    metrics = read_json(outputs[0])
    assert metrics["distribution"]["nearest_shot_px"] == 0
    assert metrics["distribution_floor"]["nearest_shot_px"] > 0
    assert metrics["distribution_floor"]["sliced_wasserstein_px"] == 0
    told = []
    monkeypatch.setattr(training, "train", lambda objective, *rest: told.append(rest[4]))
    other = tmp_path / "other_shots.h5"
    pictures = load_cache(caches["images"])
    write_cache(other, [_rows(pictures, np.array(SHOTS[:-1]))], pictures.skeleton, {})
    for one in (shots, other, shots):
        run("d", supervision=supervision, shots=one)
    assert told[0] == told[2] != told[1]
    with pytest.raises(DataError, match=f"expected shots for supervision '{supervision}', found none"):
        run("c", supervision=supervision)
