"""Learning from animated people: what a batch holds, the stage that trains on it, and its picture."""

from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest
import torch
from interruption import check_that_it_resumes
from test_animation import BODY, SIDE, STANDING, figure, puppets, scene, waving
from test_detector_stages import OPTIONS, caches
from test_keypoint_gan import CPU, NETWORKS, SMALL
from test_supervised import shots

from flexpose_core.errors import DataError
from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.animation import AnimationOptions, RenewalOptions
from flexpose_core.options.detector import DetectorArchitecture, SupervisionOptions
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.poses.images import EncodedImages
from flexpose_core.rendering import charts
from flexpose_core.rendering.pictures import enlarge, overlay_poses, read_png
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import animated_figure
from flexpose_core.stages import train_animated as train_animated_stage
from flexpose_core.stages.evaluate import load_detector
from flexpose_core.stages.guide import _rows
from flexpose_core.stages.train_animated import cut_out, train_animated
from flexpose_core.stages.train_detector import pretrain_eta, untrained
from flexpose_core.streams import StepRandom
from flexpose_core.training.checkpoint import load_weights
from flexpose_core.training.frames import Frames
from flexpose_core.training.objectives.animated import AnimatedFrames, AnimatedObjective, as_seen
from flexpose_core.training.objectives.supervised import LabelledFrames

assert caches
assert shots

USUAL = RenewalOptions()


def frames(share, count=6, side=16, turn=0.0, kind=AnimatedFrames, renewal=USUAL, **options):
    """Annotated images of coloured people, and these people animated in other poses."""
    poses = np.stack([STANDING, waving()])
    images = np.stack([figure(pose, scene()) for pose in poses])
    small = [
        torch.from_numpy(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)).float()
        for image in (*images, scene())
    ]
    labelled = LabelledFrames(
        torch.stack(small[:2]) / 127.5 - 1,
        torch.stack([small[2]] * 2) / 127.5 - 1,
        torch.from_numpy(poses),
        BODY15,
        SupervisionOptions(batch=count, **options),
    )
    encoded = [cv2.imencode(".png", scene(number)[..., ::-1])[1].ravel() for number in range(3)]
    ends = np.cumsum([len(data) for data in encoded])
    scenes = EncodedImages(np.concatenate(encoded), ends, SIDE, "scenes")
    prior = np.stack([waving()] * 4)
    own = puppets(*poses)
    animation = AnimationOptions(share=share, turn=turn, stretch=turn / 2, renewal=renewal)
    return labelled, kind(labelled, own, prior, scenes, animation, "none")


def test_without_animation_it_is_the_labelled_images():
    labelled, animated = frames(0.0)
    for one, other in zip(labelled.draw(StepRandom(0, "x", 3)), animated.draw(StepRandom(0, "x", 3)), strict=True):
        assert torch.equal(one, other)


def test_animated_images_have_the_poses_of_the_annotation_set():
    still = {"rotation": 0, "log_scale": 0, "shift": 0, "mirror": 0, "colour": 0}
    _, animated = frames(1.0, **still)
    images, backgrounds, poses = animated.draw(StepRandom(0, "x", 0))
    torch.testing.assert_close(poses, torch.from_numpy(np.stack([waving()] * 6)))
    assert images.shape == backgrounds.shape == (6, 3, 16, 16)
    grounds = np.stack([cv2.resize(scene(number), (16, 16), interpolation=cv2.INTER_AREA) for number in range(3)])
    for image, ground in zip(images, backgrounds, strict=True):
        pixels = np.round((ground.numpy() + 1) * 127.5).transpose(1, 2, 0)
        assert np.abs(grounds - pixels).max(axis=(1, 2, 3)).min() <= 1
        assert (image - ground).abs().max() > 0.3
    again = animated.draw(StepRandom(0, "x", 0))
    assert torch.equal(images, again[0])
    assert not torch.equal(images, animated.draw(StepRandom(0, "x", 1))[0])


def test_animated_poses_are_loosened_and_drawn_as_they_then_are():
    still = {"rotation": 0, "log_scale": 0, "shift": 0, "mirror": 0, "colour": 0}
    _, animated = frames(1.0, turn=0.5, **still)
    images, backgrounds, poses = animated.draw(StepRandom(0, "x", 0))
    off = np.abs(poses.numpy() - waving()).max(axis=(0, 2))
    moved = np.isin(np.arange(15), BODY.limbs[:, 1])
    assert (off[moved] > 0.02).all()
    assert (off[~moved] < 1e-6).all()
    for image, ground, pose in zip(images, backgrounds, poses.numpy(), strict=True):
        x, y = np.floor(pose[BODY15.index("l_wrist")[0]] * 16).astype(int).clip(0, 15)
        assert (image - ground)[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].abs().max() > 0.1


def test_annotated_and_animated_images_keep_to_their_share():
    _, animated = frames(0.5, count=400, rotation=0, log_scale=0, shift=0, mirror=0)
    poses = animated.draw(StepRandom(0, "x", 0))[2].numpy()
    assert poses.shape == (400, 15, 2)
    # Of the annotated images half have the pose of the animated ones.
    assert abs(int((poses == waving()).all((1, 2)).sum()) - 300) < 50


def test_the_stage_trains_a_detector_and_repeats_itself(caches, shots, tmp_path, monkeypatch):
    options = msgspec.structs.replace(OPTIONS, supervision=SupervisionOptions(batch=4))
    animation, eta = AnimationOptions(steps=4), tmp_path / "eta.safetensors"
    pretrain_eta(options, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")

    def run(name, seed=0, animation=animation, own=shots, poses=caches["poses"], renewed=False, **kwargs):
        out = tmp_path / f"{name}.safetensors"
        given = (caches["images"], poses, eta, own, out, seed, tmp_path / name, renewed)
        train_animated(options, animation, *given, **kwargs)
        return out

    found = run("a")
    assert found.read_bytes() == run("b").read_bytes()
    assert found.read_bytes() != run("c", seed=1).read_bytes()
    with monkeypatch.context() as patch:
        # Scenes are decoded each time they are asked for.
        patch.setattr("flexpose_core.stages.train_animated.IN_MEMORY", 0)
        assert found.read_bytes() == run("lazy").read_bytes()
    often = AnimationOptions(steps=4, renewal=RenewalOptions(steps=4, every=2, images=5, animated=20, placed=0.5))
    renewed = run("d", animation=often, renewed=True)
    assert renewed.read_bytes() == run("e", animation=often, renewed=True).read_bytes()
    assert found.read_bytes() == run("f", animation=often).read_bytes() != renewed.read_bytes()
    placed = [run(which, animation=often, renewed=True, placed_cache=caches[which]) for which in ("poses", "images")]
    assert placed[0].read_bytes() != placed[1].read_bytes()
    assert renewed.read_bytes() not in [some.read_bytes() for some in placed]
    with pytest.raises(DataError, match=r"faces\.h5: expected skeleton body15 as in .*images\.h5, found face68"):
        run("h", animation=often, renewed=True, placed_cache=caches["faces"])
    tensors, header = load_weights(found, "keypoint_detector")
    assert header["extra"]["steps"] == 4
    assert all(name.startswith("detector.") for name in tensors)
    assert load_detector(found, CPU)[1] is None
    annotated = load_cache(shots)
    rows = _rows(annotated, np.arange(8))
    broken = {
        "hidden": (replace(rows, visibility=np.zeros_like(rows.visibility)), "none in 8 shots, 8 of which lack joints"),
        "unknown": (replace(rows, frame=rows.frame + 1000), "expected poses of the images, found sequence"),
    }
    for name, (batch, message) in broken.items():
        write_cache(tmp_path / f"{name}.h5", [batch], BODY15, {})
        with pytest.raises(DataError, match=rf"{name}\.h5: .*{message}"):
            run(name, own=tmp_path / f"{name}.h5")
    with pytest.raises(DataError, match=r"faces\.h5: expected skeleton body15 as in .*images\.h5, found face68"):
        run("faces", poses=caches["faces"])


def test_a_checkpoint_is_of_the_placed_poses_it_learnt_from(caches, shots, tmp_path, monkeypatch):
    identities = []

    def told(objective, steps, stage, seed, work, identity, loop):
        identities.append(identity)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_animated_stage, "train", told)
    eta = tmp_path / "eta.safetensors"
    pretrain_eta(OPTIONS, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")
    for placed in (None, caches["poses"], caches["images"], caches["images"]):
        given = (caches["images"], caches["poses"], eta, shots, tmp_path / "out", 0, tmp_path / "work", True)
        with pytest.raises(KeyboardInterrupt):
            train_animated(OPTIONS, AnimationOptions(), *given, placed_cache=placed)
    assert len(set(identities[:3])) == 3
    assert identities[2] == identities[3]


def test_an_interrupted_training_ends_alike(tmp_path):
    """Frames, poses and people are drawn by the step, whatever was drawn before."""
    architecture = DetectorArchitecture(joints=15, **SMALL)

    def objective():
        networks = [untrained(NETWORKS[name], architecture, 0, name, CPU) for name in ("phi", "eta")]
        _, animated = frames(0.8)
        return AnimatedObjective(Detector(*networks), animated, 0.9, SupervisionOptions(steps=6, batch=6), False)

    check_that_it_resumes(objective, tmp_path, 6, 3)


@pytest.mark.parametrize("contrast", ["none", "local"])
@pytest.mark.parametrize("size", [16, 96])
def test_animated_images_look_as_the_detector_sees_others(contrast, size):
    ground = np.stack([scene(number) for number in range(2)])
    images = np.stack([figure(STANDING, one) for one in ground])
    seen = as_seen(images, ground, size, contrast, CPU)
    frames = Frames(
        *(torch.from_numpy(enlarge(some, size)).permute(0, 3, 1, 2) for some in (images, ground)),
        torch.arange(2),
        torch.arange(2),
        contrast,
    )
    for one, other in zip(seen, frames.take(torch.arange(2), CPU), strict=True):
        assert torch.equal(one, other)


def test_the_picture_shows_annotated_people_in_other_poses(caches, shots, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        animated_figure, "picture_figure", lambda *given: drawn.append(given) or charts.picture_figure(*given)
    )
    out = tmp_path / "animated.png", tmp_path / "animated.svg"
    animated_figure.draw_animated_people(AnimationOptions(), shots, caches["images"], caches["poses"], 0, *out)
    (picture, names, _), *others = drawn
    assert not others
    assert names == ["annotated", "animated", "poses", "animated", "poses"]
    rows = np.split(picture, 5)
    people = cut_out(load_cache(shots), shots, load_cache(caches["images"], images=True), caches["images"])
    shown = overlay_poses(enlarge(people.images, 128), people.poses, BODY15)[people.animated]
    np.testing.assert_array_equal(rows[0][2:130, 2:130], shown[0])
    # The poses are drawn over the animated people, whom they cover in part alone.
    changed = (rows[1] != rows[2]).any(axis=2).mean()
    assert 0 < changed < 0.5
    assert read_png(out[0]).shape[1] > 1000
    assert all(name in out[1].read_text() for name in names)
