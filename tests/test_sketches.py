"""Sketches: where subjects and parts are, against OpenCV; what a detector learns from them, and when."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import check_that_it_resumes
from msgspec.structs import replace
from test_detector_stages import OPTIONS, caches
from test_keypoint_gan import CPU, NETWORKS, SMALL, _objective, small_poses
from test_supervised import shots

from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.detector import DetectorArchitecture, KeypointGanOptions, SketchOptions
from flexpose_core.rendering import sketches
from flexpose_core.rendering.contrast import GROUND, local_contrast
from flexpose_core.rendering.sketch_parts import Draws, hull
from flexpose_core.rendering.sketches import parts_of
from flexpose_core.skeletons import BODY15, FACE68, SKELETONS
from flexpose_core.stages import train_detector
from flexpose_core.stages.train_detector import untrained
from flexpose_core.streams import StepRandom
from flexpose_core.training.checkpoint import load_weights
from flexpose_core.training.frames import Frames
from flexpose_core.training.loop import train
from flexpose_core.training.objectives.eta import PosePrior
from flexpose_core.training.objectives.keypoint_gan import KeypointGanObjective
from flexpose_core.training.objectives.sketched import SketchedFrames, SketchedObjective

assert caches, shots  # the fixtures

SIDE = 64


def random(step=0):
    return StepRandom(0, "test", step)


def compact_poses(count, skeleton=BODY15, seed=0):
    """Joints in the middle half of the image, so that there is something else around them."""
    return torch.as_tensor(0.25 + 0.5 * small_poses(count, skeleton, seed))


def drawn_surfaces(poses, skeleton, scenes):
    """Return sketches as of faces, of any skeleton."""
    return sketches._draw_surfaces(poses, skeleton, scenes, Draws(random(), len(poses), scenes.shape[-1], CPU))


def signed_distances(pose):
    """Return how far each pixel's centre is inside the joints' convex hull, (SIDE, SIDE), in fractions of the side."""
    hull = cv2.convexHull((pose * SIDE).astype(np.float32))
    return np.array(
        [[cv2.pointPolygonTest(hull, (x + 0.5, y + 0.5), True) / SIDE for x in range(SIDE)] for y in range(SIDE)]
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.1))
def test_the_subject_is_the_convex_hull_and_the_margin_around_it(seed, margin):
    """Sixteen half planes hold what OpenCV's hull does; at their corners they go beyond it, by what a corner of 22.5° can."""
    pose = compact_poses(1, seed=seed)
    inside = hull(pose, SIDE, torch.full((1, 16), margin))[0, 0].numpy()
    distance = signed_distances(pose[0].numpy()) + margin
    pixel = 1 / SIDE
    assert (inside[distance > pixel] > 0.5).all()
    reach = np.ptp(pose[0].numpy(), axis=0).max() / 2 + margin
    beyond = reach * np.sqrt(2) * np.tan(np.pi / 16)
    assert (inside[distance < -beyond - pixel] < 0.5).all()


def test_scenes_stay_around_the_subject_and_every_joint_is_on_it():
    poses, scenes = compact_poses(40), torch.rand(40, 3, SIDE, SIDE) * 2 - 1
    images = drawn_surfaces(poses, BODY15, scenes)
    assert images.min() >= -1
    assert images.max() <= 1
    changed = (images - scenes).abs().amax(1).numpy()
    farthest = sketches._MARGIN[1] + sum(sketches._BULGES)
    for pose, change in zip(poses.numpy(), changed, strict=True):
        distance = signed_distances(pose)
        around = change[distance < -1.05 * farthest]
        assert len(around) > 20
        assert around.max() < 1e-4
        # Noise alone tells the subject from a scene of the same colour: no pixel within is as it was.
        assert np.median(change[distance > 0]) > 0.02


def stick_figure():
    """Return a pose around 0 whose limbs are apart: there is no bone near most of the pixels around it."""
    figure = {
        "pelvis": (0, 0.1), "neck": (0, -0.1), "head": (0, -0.2),
        "l_shoulder": (0.07, -0.1), "l_elbow": (0.15, -0.14), "l_wrist": (0.2, -0.2),
        "r_shoulder": (-0.07, -0.1), "r_elbow": (-0.15, -0.02), "r_wrist": (-0.2, 0.06),
        "l_hip": (0.05, 0.1), "l_knee": (0.12, 0.2), "l_ankle": (0.12, 0.3),
        "r_hip": (-0.05, 0.1), "r_knee": (-0.15, 0.15), "r_ankle": (-0.25, 0.2),
    }  # fmt: skip
    return np.array([figure[joint] for joint in BODY15.joints])


def test_bones_are_where_the_poses_have_them(monkeypatch):
    """With nothing but thin parts drawn, what differs from the surface is near a bone, and all of each bone differs."""
    plain = {"_CLOUDS": (), "_NOISE": 0.0, "_LIGHT": 0.0, "_THICKNESS": (0.012, 0.012)}
    for name in (*plain, "_OUTSIDE", "_INSIDE"):
        monkeypatch.setattr(sketches, name, plain.get(name, (0.0, 0.0)))
    rng = np.random.default_rng(0)
    pose = stick_figure()
    angles = rng.uniform(-np.pi, np.pi, 20)
    turns = np.array([[[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]] for a in angles])
    poses = (pose @ turns + rng.uniform(0.45, 0.55, (20, 1, 2))).astype(np.float32)
    images = drawn_surfaces(torch.from_numpy(poses), BODY15, torch.zeros(20, 3, SIDE, SIDE)).abs().amax(1)
    for joints, image in zip(poses * SIDE, images.numpy(), strict=True):
        lines = np.zeros((SIDE, SIDE), np.uint8)
        ends = np.round((joints[BODY15.bone_ends] - 0.5) * 16).astype(np.int32)
        cv2.polylines(lines, list(ends), False, 255, 1, 8, 4)
        distance = cv2.distanceTransform(255 - lines, cv2.DIST_L2, 5)
        # Four standard deviations of a part, and what rounding to pixels may add.
        far = distance > 4 * 0.012 * SIDE + 1
        assert far.mean() > 0.5
        assert image[far].max() < 1e-3
        assert np.median(image[lines > 0]) > 0.05


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_parts_are_all_bones_once_and_those_of_one_colour_together(skeleton):
    parts = parts_of(skeleton)
    assert sorted(bone for part in parts for bone in part) == list(range(len(skeleton.bones)))
    colours = [{skeleton.bones[bone].colour for bone in part} for part in parts]
    assert all(len(colour) == 1 for colour in colours)
    assert len(set().union(*colours)) == len(parts)
    assert len(parts_of(FACE68)) == 9  # jaw, brows, bridge and base of the nose, eyes, outer and inner lips


def frames(contrast="none", size=16):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, size, size), np.uint8))
    return Frames(pixels[:4], pixels, torch.tensor([4, 1, 1, 2]), torch.zeros(4, dtype=torch.long), contrast)


def test_sketches_are_before_the_targets_scenes_as_the_detector_sees_them():
    prior = PosePrior(compact_poses(6).numpy(), BODY15, CPU)
    images, scenes, poses = SketchedFrames(frames(), prior, 0.0, 40).draw(random())
    backgrounds = frames().backgrounds.float() / 127.5 - 1
    which = [int((backgrounds - scene).abs().amax((1, 2, 3)).argmin()) for scene in scenes]
    torch.testing.assert_close(scenes, backgrounds[which])
    # Of images 0 to 3, one of which each sketch takes the place of.
    assert which.count(1) > which.count(2) > 0
    assert set(which) == {1, 2, 4}
    assert all((pose == prior.poses).all((1, 2)).any() for pose in poses)
    seen, ground, _ = SketchedFrames(frames("local"), prior, 0.0, 40).draw(random())
    torch.testing.assert_close(seen, local_contrast(images, scenes))
    assert (ground == GROUND).all()


def test_each_step_has_sketches_of_its_own_and_the_same_whenever_it_is_made():
    drawn = SketchedFrames(frames(), PosePrior(compact_poses(6).numpy(), BODY15, CPU), 0.01, 4)
    first, again, other = (drawn.draw(random(step))[0] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_sketches_count_for_less_and_less():
    """A loss whose gradient is 1 shows its weight: that of the sketches falls to 0 at their share of the steps."""
    objective = _objective(sketches=SketchOptions(weight=5, share=0.5))
    leaf, updates = torch.ones((), requires_grad=True), []
    objective._labelled_loss = lambda *batch: leaf
    objective._update = lambda name, loss, retain=False: updates.append(
        torch.autograd.grad(loss, leaf, retain_graph=True, allow_unused=True)[0] or 0
    )
    logged = ["sketched" in objective.step(step, random(step)) for step in range(6)]
    assert updates[0::3] == updates[2::3] == pytest.approx([5, 10 / 3, 5 / 3, 0, 0, 0])  # Φ and Ψ; η
    assert updates[1::3] == [0] * 6  # the discriminator
    assert logged == [True] * 3 + [False] * 3


def test_without_sketches_nothing_is_drawn_for_them(monkeypatch):
    """Once their weight is 0, steps are those of a training without, statistics of the batch normalisation included."""
    monkeypatch.setattr(SketchedFrames, "draw", None)
    states = []
    for options in (SketchOptions(), SketchOptions(weight=5, share=1e-9)):
        objective = _objective(sketches=options)
        # The first step, which has sketches, is left out.
        for step in (1, 2):
            objective.step(step, random(step))
        states.append(objective.detector.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def somewhere(count=200):
    """The stick figure upright or lying, moved about: who finds but its place errs by half of what tells the two apart."""
    pose = stick_figure()
    two = np.stack([pose, pose[:, ::-1]])
    shifts = np.random.default_rng(0).uniform(0.4, 0.6, (count, 1, 2))
    return PosePrior((two[np.arange(count) % 2] + shifts).astype(np.float32), BODY15, CPU)


def built(name):
    return untrained(NETWORKS[name], DetectorArchitecture(joints=15, **SMALL), 0, name, CPU)


def check_that_it_finds(detector, prior):
    """Check that sketches never seen are read better than by their place alone."""
    images, scenes, poses = SketchedFrames(frames(), prior, 0.0, 256).draw(random(10_000))
    with torch.no_grad():
        found = detector(images, scenes)
    centred, shape = poses - poses.mean(1, keepdim=True), found - found.mean(1, keepdim=True)
    for what, truth in ((found, poses), (shape, centred)):
        assert ((what - truth) ** 2).mean() < 0.7 * ((truth - truth.mean(0)) ** 2).mean()


def test_phi_and_eta_learn_from_sketches_beside():
    """With no weight on anything else."""
    nothing = dict.fromkeys(
        ("reconstruction_weight", "adversarial_weight", "consistency_weight", "drawn_weight", "estimated_weight"), 0.0
    )
    prior, networks = somewhere(), {name: built(name) for name in NETWORKS}
    options = KeypointGanOptions(steps=250, batch=2, learning_rate=4e-3, eta_learning_rate=4e-3, **nothing)
    objective = KeypointGanObjective(
        **networks, frames=frames(), prior=prior, size=16, options=options, sketches=SketchOptions(weight=5, share=0.9)
    )
    for step in range(options.steps):
        objective.step(step, random(step))
    # Under the batch's own statistics: those that are kept have become the images'.
    check_that_it_finds(objective.detector.train(), prior)
    assert objective.picture(random()).shape[2] == 3


def test_phi_and_eta_learn_from_sketches_alone():
    prior, detector = somewhere(), Detector(built("phi"), built("eta"))
    options = SketchOptions(steps=250, learning_rate=4e-3)
    sketched = SketchedFrames(frames(), prior, 0.0, options.batch)
    objective = SketchedObjective(detector, sketched, 0.9, options, mixed=False)
    for step in range(options.steps):
        objective.step(step, random(step))
    check_that_it_finds(detector.eval(), prior)
    assert objective.picture(random()).shape[2] == 3


@pytest.mark.parametrize("reach", [0.0, 1.0])
def test_a_detector_is_trained_on_sketches_first(caches, tmp_path, monkeypatch, reach):
    """Φ is as near-sighted as KeypointGAN has it at first, and this goes on with what was learnt."""
    began = []

    def noted(objective, steps, stage, *rest):
        phi = objective.detector.phi
        began.append((stage, steps, phi.reach, phi.net.last.weight.detach().clone()))
        train(objective, steps, stage, *rest)
        began.append(phi.net.last.weight.detach().clone())

    gan = KeypointGanOptions(steps=2, batch=4, local_share=0.0 if reach else 0.5)
    options = replace(OPTIONS, gan=gan, sketches=SketchOptions(steps=3, batch=4, weight=1))
    eta = tmp_path / "eta.safetensors"
    train_detector.pretrain_eta(options, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")
    monkeypatch.setattr(train_detector, "train", noted)
    paths = caches["images"], caches["poses"], eta, tmp_path / "detector.safetensors"
    train_detector.train_detector(options, *paths, 0, tmp_path / "work")
    (*first, before), after, (*second, again), _ = began
    assert first == ["sketches", 3, reach]
    assert second[:2] == ["keypoint_gan", 2]
    assert not torch.equal(before, after)
    assert torch.equal(after, again)


def test_sketches_are_not_learnt_again_after_a_kill(caches, tmp_path, monkeypatch):
    options = replace(OPTIONS, sketches=SketchOptions(steps=3, batch=4, weight=1))
    eta, steps = tmp_path / "eta.safetensors", []
    train_detector.pretrain_eta(options, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")
    step = SketchedObjective.step
    monkeypatch.setattr(SketchedObjective, "step", lambda *args: steps.append(args[1]) or step(*args))
    killed = KeypointGanObjective.step

    def kill(self, at, random):
        if at == 1:
            raise KeyboardInterrupt
        return killed(self, at, random)

    def run(out, work):
        train_detector.train_detector(
            options, caches["images"], caches["poses"], eta, tmp_path / out, 0, tmp_path / work
        )
        return load_weights(tmp_path / out, train_detector.DETECTOR_KIND)[0]

    whole = run("whole", "a")
    steps.clear()
    with monkeypatch.context() as patched:
        patched.setattr(KeypointGanObjective, "step", kill)
        with pytest.raises(KeyboardInterrupt):
            run("resumed", "b")
    resumed = run("resumed", "b")
    assert steps == [0, 1, 2]
    run("again", "b")
    assert steps == [0, 1, 2]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_resumed_equals_uninterrupted(tmp_path):
    check_that_it_resumes(
        lambda: _objective(FACE68, sketches=SketchOptions(weight=5, share=0.9)), tmp_path, steps=6, at=4
    )


@pytest.mark.parametrize(
    ("supervision", "stages"), [("alone", ["supervised"]), ("added", ["sketches", "keypoint_gan"])]
)
def test_annotated_images_stand_beside_sketches_but_not_alone(
    caches, shots, tmp_path, monkeypatch, supervision, stages
):
    options = replace(OPTIONS, sketches=SketchOptions(steps=2, batch=4, weight=1))
    options = replace(options, supervision=replace(options.supervision, steps=2, batch=4))
    eta, began, scalars = tmp_path / "eta.safetensors", [], {}
    train_detector.pretrain_eta(options, caches["poses"], eta, tmp_path / "eta.json", 0, tmp_path / "eta")

    def noted(objective, steps, stage, *rest):
        began.append(stage)
        scalars.update(objective.step(0, random()))
        train(objective, steps, stage, *rest)

    monkeypatch.setattr(train_detector, "train", noted)
    paths = caches["images"], caches["poses"], eta, tmp_path / "detector.safetensors"
    train_detector.train_detector(options, *paths, 0, tmp_path / "work", supervision=supervision, shots=shots)
    assert began == stages
    assert ("sketched" in scalars, "supervised" in scalars) == (supervision == "added", True)
