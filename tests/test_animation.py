"""People in other poses: what the maps of their parts keep, that pictures show the pose asked for, and what is refused."""

from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from interruption import check_that_it_resumes
from test_keypoint_gan import CPU, NETWORKS, OPTIONS, SMALL, caches
from test_supervised import shots

from flexpose_core.anatomy import anatomy_of
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.geometry import flip
from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.options.animation import AnimationOptions, RenewalOptions
from flexpose_core.options.detector import DetectorArchitecture, SupervisionOptions
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.poses.images import EncodedImages
from flexpose_core.rendering import charts
from flexpose_core.rendering.animation import (
    Part,
    Puppets,
    limb_map,
    proportions_of,
    stands_out,
    trunk_map,
)
from flexpose_core.rendering.pictures import enlarge, overlay_poses, read_png
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages import animated_figure
from flexpose_core.stages import train_animated as train_animated_stage
from flexpose_core.stages.evaluate import load_detector
from flexpose_core.stages.guide import _rows
from flexpose_core.stages.train_animated import cut_out, train_animated
from flexpose_core.stages.train_detector import initialised, pretrain_eta
from flexpose_core.streams import StepRandom
from flexpose_core.training.checkpoint import load_weights
from flexpose_core.training.objectives.animated import AnimatedFrames, AnimatedObjective, as_seen
from flexpose_core.training.objectives.keypoint_gan import Frames
from flexpose_core.training.objectives.supervised import LabelledFrames

assert caches
assert shots

SIDE = 64
USUAL = RenewalOptions()
BODY = anatomy_of(BODY15)
STANDING = np.array(
    [
        [32, 8], [32, 16], [32, 34],
        [39, 17], [41, 25], [42, 32], [36, 35], [37, 46], [38, 57],
        [25, 17], [23, 25], [22, 32], [28, 35], [27, 46], [26, 57],
    ],
    np.float32,
) / SIDE  # fmt: skip


def waving():
    """The same with the left arm up and the right leg aside."""
    pose = STANDING.copy()
    pose[BODY15.index("l_elbow", "l_wrist")] = np.array([[46, 13], [52, 7]]) / SIDE
    pose[BODY15.index("r_knee", "r_ankle")] = np.array([[21, 44], [14, 52]]) / SIDE
    return pose


def figure(pose, scene):
    """A person of round limbs, each of a colour, drawn by OpenCV alone."""
    drawn = scene.copy()
    points = np.round(pose * SIDE * 16 - 8).astype(int)
    hull = cv2.convexHull(points[BODY.trunk].astype(np.int32))
    cv2.fillConvexPoly(drawn, hull, (200, 40, 40), cv2.LINE_8, 4)
    for number, (start, end) in enumerate(BODY.limbs):
        colour = (40, 220 - 20 * number, 60 + 20 * number)
        cv2.line(drawn, points[start].tolist(), points[end].tolist(), colour, 4, cv2.LINE_AA, 4)
    return drawn


def scene(seed=0):
    """A smooth ground of dim colours."""
    coarse = np.random.default_rng(seed).integers(90, 130, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def puppets(*poses):
    images = np.stack([figure(pose, scene(number)) for number, pose in enumerate(poses)])
    return Puppets(images, np.stack([scene(number) for number in range(len(poses))]), np.stack(poses), BODY15)


def similarity(angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, shift])


def apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


points = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(4, 60, (15, 2)))
similarities = st.builds(similarity, st.floats(-3, 3), st.floats(0.4, 2.5), st.tuples(*[st.floats(-20, 20)] * 2))


def test_trunk_and_limbs_of_a_body():
    def names(joints):
        return [BODY15.joints[joint] for joint in joints]

    assert names(BODY.axis) == ["pelvis", "neck"]
    assert set(names(BODY.trunk)) == {"pelvis", "neck", "l_shoulder", "r_shoulder", "l_hip", "r_hip"}
    assert len(BODY.trunk_lines) + len(BODY.limbs) == len(BODY15.tree)
    chains = [[names(BODY.limbs[place]) for place in chain] for chain in BODY.chains]
    assert [["neck", "head"]] in chains
    assert [["l_shoulder", "l_elbow"], ["l_elbow", "l_wrist"]] in chains
    assert len(chains) == 5
    with pytest.raises(ConfigError, match="skeleton face68: expected one whose bones are limbs that hang on a trunk"):
        anatomy_of(FACE68)


@given(points, points, st.floats(0.3, 3))
def test_a_limb_goes_from_end_to_end_and_is_as_wide_as_asked(pose, target, width):
    limb, new = pose[:2], target[:2]
    assume(np.linalg.norm(limb[1] - limb[0]) > 1)
    matrix = limb_map(limb, new, width, 1e-9)
    np.testing.assert_allclose(apply(matrix, limb), new, atol=1e-9)
    along = (limb[1] - limb[0]) / np.linalg.norm(limb[1] - limb[0])
    across = np.array([-along[1], along[0]])
    moved = matrix[:, :2] @ across
    assert np.linalg.norm(moved) == pytest.approx(width)
    assert moved @ (new[1] - new[0]) == pytest.approx(0, abs=1e-9 * np.linalg.norm(new[1] - new[0]) + 1e-9)
    assert np.linalg.det(matrix[:, :2]) > 0


@given(points, points, st.floats(0.3, 3))
def test_the_trunks_axis_goes_from_end_to_end(pose, target, width):
    ends = list(BODY.axis)
    assume(np.linalg.norm(pose[ends[1]] - pose[ends[0]]) > 1)
    np.testing.assert_allclose(apply(trunk_map(pose, target, BODY, width), pose[ends]), target[ends], atol=1e-8)


@given(points, similarities)
def test_a_pose_turned_and_scaled_moves_all_parts_alike(pose, moved):
    ends = [list(BODY.axis), *BODY.limbs.tolist()]
    assume(min(np.linalg.norm(pose[start] - pose[end]) for start, end in ends) > 1)
    target, scale = apply(moved, pose), np.sqrt(np.linalg.det(moved[:, :2]))
    np.testing.assert_allclose(trunk_map(pose, target, BODY, scale), moved, atol=1e-6)
    for start, end in BODY.limbs:
        np.testing.assert_allclose(limb_map(pose[[start, end]], target[[start, end]], scale, 1e-9), moved, atol=1e-6)


@given(
    st.integers(0, 1000), st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4), st.tuples(*[st.floats(-40, 80)] * 2)
)
def test_a_part_is_drawn_as_the_whole_layer_would_be(seed, matrix, shift):
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.integers(0, SIDE + 1, (2, 2)), axis=0)
    layer = np.zeros((SIDE, SIDE, 4), np.float32)
    layer[..., :3] = 255 * rng.random(3)
    layer[low[0] : high[0], low[1] : high[1], 3] = rng.random(high - low)
    moved = np.column_stack([np.reshape(matrix, (2, 2)), shift])
    # Of what is folded flat OpenCV makes something of its own.
    assume(abs(np.linalg.det(moved[:, :2])) > 1e-3)
    scene = (255 * rng.random((SIDE, SIDE, 3))).astype(np.float32)
    pixels = moved.copy()
    pixels[:, 2] += moved[:, :2] @ [0.5, 0.5] - 0.5
    warped = cv2.warpAffine(layer, pixels, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    expected = scene + warped[..., 3:] * (warped[..., :3] - scene)
    drawn = scene.copy()
    Part(layer).draw(drawn, moved)
    # OpenCV rounds places to 1/32 px; a column that is hit by that is rare.
    assert np.mean(abs(drawn - expected) > 0.5) < 0.02


@given(points, similarities)
def test_proportions_do_not_tell_place_size_and_turn(pose, moved):
    own, other = (proportions_of(some[None], BODY) for some in (pose, apply(moved, pose)))
    np.testing.assert_allclose(own, other, atol=1e-6)
    # A mirror image has others: which side the person shows counts.
    assert not np.allclose(proportions_of(flip(pose[None] / SIDE, BODY15) * SIDE, BODY), own)


@pytest.mark.parametrize(("length", "new_length"), [(0.0, 8.0), (8.0, 0.0), (0.5, 0.5), (1.0, 20.0)])
def test_limbs_seen_from_their_end_keep_their_roundness(length, new_length):
    """They are stretched as if they were 3 px long, and never to less than a picture of that length."""
    limb, target = np.array([[20.0, 20], [20 + length, 20]]), np.array([[5.0, 6], [5, 6 + new_length]])
    matrix = limb_map(limb, target, 2.0, 3.0)
    np.testing.assert_allclose(apply(matrix, limb.mean(0)), target.mean(0))
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    assert sorted(stretches) == pytest.approx(sorted([2.0, max(new_length, 6.0) / max(length, 3.0)]))


def test_an_arm_before_the_trunk_is_not_left_on_it():
    crossed = STANDING.copy()
    crossed[BODY15.index("l_elbow", "l_wrist")] = np.array([[39, 27], [28, 27]]) / SIDE
    drawn = puppets(crossed).draw(STANDING[None], scene()[None], 1, 0.0, np.random.default_rng(0))[0].astype(int)
    # On the trunk, away from its border and from the arms and legs of the new pose.
    middle = drawn[20:31, 29:36]
    off = np.abs(middle - (200, 40, 40)).max(axis=2)
    assert (off > 60).mean() < 0.1
    before = figure(crossed, scene())[20:31, 29:36].astype(int)
    assert (np.abs(before - (200, 40, 40)).max(axis=2) > 60).mean() > 0.25


def test_people_are_seen_before_an_empty_scene_or_not_at_all():
    seen, ground = figure(STANDING, scene()), scene()
    assert stands_out(seen, ground, STANDING * SIDE, BODY)
    assert not stands_out(ground, ground, STANDING * SIDE, BODY)
    assert not stands_out(seen, ground, STANDING * SIDE + 500, BODY)
    # A background that is a guess, of one colour, differs from the picture everywhere.
    assert not stands_out(seen, np.full_like(ground, 30), STANDING * SIDE, BODY)


def test_in_their_own_pose_and_scene_people_are_as_they_were():
    own = puppets(STANDING)
    drawn = own.draw(STANDING[None], scene()[None], 1, 0.0, np.random.default_rng(0))[0]
    off = np.abs(drawn.astype(int) - figure(STANDING, scene())).max(axis=2)
    assert np.median(off) == 0
    assert off.mean() < 1.5


def test_people_take_the_pose_that_is_asked_for():
    ground = scene(5)
    drawn = puppets(STANDING).draw(waving()[None], ground[None], 1, 0.0, np.random.default_rng(0))[0]
    expected, before = figure(waving(), ground), figure(STANDING, ground)
    assert drawn.shape == expected.shape
    assert drawn.dtype == np.uint8
    off, unmoved = (np.abs(picture.astype(int) - expected).mean() for picture in (drawn, before))
    assert off < 0.3 * unmoved
    person, silhouette = (np.abs(picture.astype(int) - ground).max(axis=2) > 20 for picture in (drawn, expected))
    assert (person & silhouette).sum() / (person | silhouette).sum() > 0.8
    # Nothing changes but where the person is.
    away = cv2.dilate(silhouette.astype(np.uint8), np.ones((13, 13))) == 0
    assert away.mean() > 0.4
    assert np.array_equal(drawn[away], ground[away])


def test_the_person_most_alike_is_drawn_and_may_be_a_mirror_image():
    front, sideways = waving(), waving()
    sideways[:, 0] = 0.5 + 0.2 * (sideways[:, 0] - 0.5)
    both = puppets(front, sideways)
    rng = np.random.default_rng(0)
    assert len(both.parts) == 4
    for place, pose in enumerate([front, sideways, *flip(np.stack([front, sideways]), BODY15)]):
        alone = Puppets.__new__(Puppets)
        alone.__dict__.update(both.__dict__, poses=both.poses[[place]], parts=[both.parts[place]])
        alone.__dict__.pop("proportions", None)
        chosen = both.draw(pose[None], scene()[None], 1, 0.0, np.random.default_rng(1))
        assert np.array_equal(chosen, alone.draw(pose[None], scene()[None], 1, 0.0, np.random.default_rng(1)))
    # Of several appearances all are drawn, and no other.
    many = both.draw(np.repeat(front[None], 40, 0), np.repeat(scene()[None], 40, 0), 3, 0.0, rng)
    likeness = ((proportions_of(both.poses, BODY) - proportions_of(front[None] * SIDE, BODY)) ** 2).sum(1)
    off = np.abs(both.proportions - both.proportions[0]).sum(1)
    assert likeness.argmin() == off.argmin() == 0
    arms = {tuple(picture[both_hands(front)].ravel().tolist()) for picture in many}
    assert len(arms) == 3


def test_how_often_a_limb_is_behind_the_trunk():
    """A forearm across the trunk hides it, or is hidden by it."""
    pose = STANDING.copy()
    pose[BODY15.index("l_elbow", "l_wrist")] = np.array([[39, 27], [28, 27]]) / SIDE
    own = puppets(STANDING)
    place = 27, 32
    for behind, red in ((0.0, False), (1.0, True)):
        drawn = own.draw(pose[None], scene()[None], 1, behind, np.random.default_rng(0))[0]
        assert (drawn[place][0] > 150) == red


def both_hands(pose):
    """Where the wrists are in a picture, as an index."""
    x, y = np.floor(pose[BODY15.index("l_wrist", "r_wrist")] * SIDE).astype(int).T
    return y, x


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


def test_the_stage_trains_a_detector_and_repeats_itself(caches, shots, tmp_path):
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
        networks = [initialised(NETWORKS[name], architecture, 0, name, CPU) for name in ("phi", "eta")]
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
    shown = overlay_poses(enlarge(people.images, 128), people.poses, BODY15)
    np.testing.assert_array_equal(rows[0][2:130, 2:130], shown[0])
    # The poses are drawn over the animated people, whom they cover in part alone.
    changed = (rows[1] != rows[2]).any(axis=2).mean()
    assert 0 < changed < 0.5
    assert read_png(out[0]).shape[1] > 1000
    assert all(name in out[1].read_text() for name in names)
