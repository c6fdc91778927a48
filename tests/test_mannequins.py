"""Mannequins: where limbs and trunk are, against distances in NumPy; how limbs are clothed; what is behind."""

import numpy as np
import pytest
import torch
from test_keypoint_gan import CPU
from test_sketches import SIDE, random, stick_figure

from flexpose_core.anatomy import anatomy_of
from flexpose_core.rendering import mannequins
from flexpose_core.rendering.mannequins import draw_mannequins, kind_of
from flexpose_core.rendering.sketch_parts import Draws, hull
from flexpose_core.rendering.sketches import draw_sketches
from flexpose_core.skeletons import BODY15

ANATOMY = anatomy_of(BODY15)


@pytest.fixture
def plain(monkeypatch):
    """Bodies of one grey, 0, and of one thickness, with sharp outlines."""
    values = {
        "_LIGHT": 0.0,
        "_CLOUDS": (8, 0.0),
        "_NOISE": 0.0,
        "_SHARPNESS": 50,
        "_VARIATION": (1.0, 1.0),
        "_TRUNK": (0.03, 0.03),
    }
    for name, value in (values | {"_CLOTHES": (0.0, 0.0), "_SKIN": (0.0, 0.0)}).items():
        monkeypatch.setattr(mannequins, name, value)


def bodies(count, seed=0):
    """The stick figure, turned and moved about."""
    rng = np.random.default_rng(seed)
    turns = np.array([[[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]] for a in rng.uniform(-np.pi, np.pi, count)])
    return torch.from_numpy((stick_figure() @ turns + rng.uniform(0.45, 0.55, (count, 1, 2))).astype(np.float32))


def draw(poses, scenes, step=0):
    return draw_mannequins(poses, ANATOMY, scenes, Draws(random(step), len(poses), scenes.shape[-1], CPU))


def distances(pose, limb, side=SIDE):
    """Return how far each pixel's centre is from a limb's bone, (side, side), in fractions of the side."""
    start, end = pose[ANATOMY.limbs[limb]]
    centres = (np.arange(side) + 0.5) / side
    points = np.stack(np.meshgrid(centres, centres), axis=-1)
    along = np.clip(((points - start) @ (end - start)) / ((end - start) ** 2).sum(), 0, 1)
    return np.linalg.norm(points - (start + along[..., None] * (end - start)), axis=-1)


def test_a_body_is_its_trunk_and_limbs_and_all_else_is_scene(plain):
    # Large enough to tell a thigh from an upper arm: half their thicknesses differ by a hundredth of a pose's size.
    poses, side = bodies(12), 256
    images = draw(poses, torch.ones(12, 3, side, side))
    assert (images == images[:, :1]).all()
    thick = {"head": 1.7, "arm": 1.0, "leg": 1.3}
    for pose, image in zip(poses, images[:, 0].numpy(), strict=True):
        extent = np.ptp(pose.numpy(), axis=0).max()
        trunk = hull(pose[None, ANATOMY.trunk], side, torch.full((1, 1), 0.03 * extent))[0, 0].numpy()
        nearest = np.full((side, side), np.inf)  # of the limbs' outlines; inside them it is below 0
        for chain in ANATOMY.chains:
            for place, limb in enumerate(chain):
                radius = 0.034 * extent * thick[kind_of(chain, ANATOMY)] * (0.8 if place else 1.0)
                nearest = np.minimum(nearest, distances(pose.numpy(), limb, side) - radius)
        pixel = 1 / side
        assert image[(nearest < -pixel) | (trunk > 0.9)].max() < 0.11
        assert image[(nearest > pixel) & (trunk < 0.1)].min() > 0.84
        assert image[(nearest > 3 * pixel) & (trunk < 1e-3)].min() > 0.99


def test_heads_arms_and_legs_are_told_by_what_they_hang_on():
    names = {BODY15.joints[ANATOMY.limbs[chain[-1]][1]]: kind_of(chain, ANATOMY) for chain in ANATOMY.chains}
    assert names == {"head": "head", "l_wrist": "arm", "r_wrist": "arm", "l_ankle": "leg", "r_ankle": "leg"}


def test_limbs_are_bare_as_often_as_is_said_and_arms_from_the_hand_upwards(plain, monkeypatch):
    monkeypatch.setattr(mannequins, "_CLOTHES", (0.3, 0.1))
    monkeypatch.setattr(mannequins, "_SKIN", (0.3, 0.1))
    poses = bodies(1).repeat(600, 1, 1)
    images = draw(poses, torch.zeros(600, 3, SIDE, SIDE)).numpy()
    limbs = {BODY15.joints[child]: limb for limb, (_, child) in enumerate(ANATOMY.limbs.tolist())}

    def colour(joint):
        """Return the colour in the middle of the bone that ends there, where no other limb is."""
        start, end = poses[0].numpy()[ANATOMY.limbs[limbs[joint]]]
        x, y = ((start + end) / 2 * SIDE).astype(int)
        return images[:, :, y, x]

    skin = colour("head")
    bare = {
        joint: np.abs(colour(joint) - skin).max(1) < 0.02
        for joint in ("l_elbow", "l_wrist", "r_wrist", "l_knee", "l_ankle", "r_ankle")
    }
    expected = {"l_elbow": 0.35, "l_wrist": 0.65, "r_wrist": 0.65, "l_knee": 0, "l_ankle": 0.4, "r_ankle": 0.4}
    assert {joint: of.mean() for joint, of in bare.items()} == pytest.approx(expected, abs=0.07)
    assert (bare["l_wrist"] >= bare["l_elbow"]).all()
    assert (bare["l_wrist"] == bare["r_wrist"]).all()  # both sleeves of a shirt are as long


def test_limbs_are_before_and_behind_the_trunk(plain, monkeypatch):
    """An arm across the trunk is seen or not, in batch after batch, and never more than half of the limbs are hidden."""
    monkeypatch.setattr(mannequins, "_CLOTHES", (0.3, 0.1))
    monkeypatch.setattr(mannequins, "_SLEEVES", (1.0, 1.0))
    pose = stick_figure()
    elbow, wrist = BODY15.index("l_elbow", "l_wrist")
    pose[elbow], pose[wrist] = (0.07, 0.02), (-0.04, 0.02)
    poses = torch.from_numpy(pose[None].astype(np.float32) + 0.5)
    middle = ((pose[elbow] + pose[wrist]) / 2 + 0.5) * SIDE
    seen = []
    for step in range(60):
        image = draw(poses, torch.zeros(1, 3, SIDE, SIDE), step)[0]
        trunk = image[:, int(0.47 * SIDE), int(0.5 * SIDE)]
        seen.append((image[:, int(middle[1]), int(middle[0])] - trunk).abs().max().item() > 0.02)
    assert 0.5 < np.mean(seen) < 1


def test_bodies_are_sketched_as_mannequins():
    poses, scenes = bodies(4), torch.rand(4, 3, 32, 32) * 2 - 1
    assert torch.equal(draw_sketches(poses, BODY15, scenes, random(7)), draw(poses, scenes, 7))
    assert not torch.equal(draw(poses, scenes, 7), draw(poses, scenes, 8))
    assert draw(poses, scenes).abs().max() <= 1
