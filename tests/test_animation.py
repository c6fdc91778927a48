"""People in other poses: what the maps of their parts keep, that pictures show the pose asked for, and what is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flexpose_core.anatomy import anatomy_of
from flexpose_core.errors import ConfigError
from flexpose_core.geometry import flip
from flexpose_core.rendering.animation import (
    Part,
    Puppets,
    limb_map,
    placements,
    proportions_of,
    stands_out,
    trunk_map,
)
from flexpose_core.skeletons import BODY15, FACE68

SIDE = 64
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
    part = Part(layer)
    placed, boxes = placements([[part]], moved[None, None], SIDE)
    part.draw(drawn, placed[0, 0], boxes[0, 0].tolist())
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
