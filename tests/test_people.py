"""The embedded people's motion, bodies and cameras, against closed forms and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from flexpose_core.datasets.drawing import camera
from flexpose_core.datasets.drawing.options import CameraOptions
from flexpose_core.datasets.people import body as bodies
from flexpose_core.datasets.people import motion
from flexpose_core.errors import ConfigError
from flexpose_core.skeletons import BODY15

UPRIGHT = ("walk", "run", "kick", "punch", "dance_a", "dance_b")
SIDES = ("l", "r")
# (parent, child) of the motion, and the bones of the rig that must point the same way.
LIMBS = (
    ("shoulder", "elbow", "upperarm01", "lowerarm01"),
    ("elbow", "wrist", "lowerarm01", "wrist"),
    ("hip", "knee", "upperleg01", "lowerleg01"),
    ("knee", "ankle", "lowerleg01", "foot"),
)


def random_frames(rng, count):
    frames = rng.normal(size=(count, motion.FRAME_WIDTH))
    return np.concatenate([frames[:, :3], frames[:, 3:]], axis=1)


@pytest.fixture(params=["random", "crawl"])
def frames(request):
    if request.param == "random":
        return random_frames(np.random.default_rng(0), 20)
    return motion.clip_named("crawl").frames


# ---- motion


def test_clips_are_the_twenty_humanoid_ones():
    clips = motion.load_clips()
    assert len(clips) == 20
    assert set(UPRIGHT) <= set(clips)
    assert sum(len(clip.frames) for clip in clips.values()) == 1810
    assert clips["backflip"].fps == pytest.approx(16)


def test_unknown_clip_names_what_is_known():
    with pytest.raises(ConfigError, match=r"expected a clip among .*walk.*found 'moonwalk'"):
        motion.clip_named("moonwalk")


def test_quaternions_agree_with_scipy():
    quaternions = np.random.default_rng(1).normal(size=(50, 4)) * 3
    expected = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(motion.rotations_from_quaternions(quaternions), expected, atol=1e-12)


def test_rotations_about_z_agree_with_scipy():
    angles = np.linspace(-4, 4, 9)
    expected = Rotation.from_rotvec(angles[:, None] * [0, 0, 1]).as_matrix()
    np.testing.assert_allclose(motion.rotations_about_z(angles), expected, atol=1e-12)


def test_links_keep_their_lengths(frames):
    posture = motion.forward_kinematics(frames)
    for link in motion.LINKS:
        if link.parent is not None:
            length = np.linalg.norm(posture.positions[link.name] - posture.positions[link.parent], axis=1)
            np.testing.assert_allclose(length, motion.MODEL_SCALE * np.linalg.norm(link.offset), rtol=1e-9)


def test_joints_are_in_the_skeletons_order():
    posture = motion.forward_kinematics(motion.clip_named("walk").frames)
    joints = motion.joint_positions(posture)
    for name in BODY15.joints:
        np.testing.assert_array_equal(joints[:, BODY15.index(name)[0]], posture.positions[name])


def test_a_walker_stands_upright_and_faces_where_it_goes():
    frames = motion.clip_named("walk").frames
    posture = motion.forward_kinematics(frames)
    ankles = np.minimum(posture.positions["l_ankle"][:, 1], posture.positions["r_ankle"][:, 1])
    assert (posture.positions["head"][:, 1] > ankles + 1.3).all()
    travel = frames[-1, [0, 2]] - frames[0, [0, 2]]
    heading = motion.mean_heading(posture)
    assert np.cos(heading - np.arctan2(travel[1], travel[0])) > 0.98


def test_densified_frames_pass_through_the_recorded_ones_and_keep_lengths():
    frames = motion.clip_named("backflip").frames
    dense = motion.densify(frames, 4)
    assert len(dense) == (len(frames) - 1) * 4 + 1
    recorded, joints = (motion.joint_positions(motion.forward_kinematics(some)) for some in (frames, dense))
    np.testing.assert_allclose(joints[::4], recorded, atol=1e-12)
    wrist, elbow = BODY15.index("l_wrist", "l_elbow")
    assert np.ptp(np.linalg.norm(joints[:, wrist] - joints[:, elbow], axis=1)) < 1e-12
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max()
    coarse = np.linalg.norm(np.diff(joints[::4], axis=0), axis=-1).max()
    assert steps < 0.5 * coarse  # a quaternion taken the long way round would leap


# ---- bodies


@pytest.mark.parametrize("subject", [-1, 10])
def test_unknown_subject(subject):
    with pytest.raises(ConfigError, match=rf"expected a subject in 0\.\.9, found {subject}"):
        bodies.body_of_subject(subject)


def test_bodies_differ_and_stand():
    heights = [np.ptp(body.vertices[:, 2]) for body in bodies.load_bodies()]
    assert len(heights) == 10
    assert len(set(np.round(heights, 3))) == 10
    assert 1.3 < min(heights) < 1.5  # a child
    assert 1.8 < max(heights) < 2.1
    for body in bodies.load_bodies():
        np.testing.assert_allclose(body.rig.weights.sum(axis=1), 1, rtol=1e-5)
        # Left at +x, facing -y: the left hand and the toes say so.
        assert body.head_of("wrist.L")[0] > 0 > body.head_of("wrist.R")[0]
        assert body.head_of("toe1-1.L")[1] < body.head_of("foot.L")[1]


def test_least_rotation_turns_one_direction_into_the_other():
    rng = np.random.default_rng(2)
    for _ in range(20):
        start, end = rng.normal(size=(2, 3))
        rotation = bodies.least_rotation(start, end)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(rotation @ (start / np.linalg.norm(start)), end / np.linalg.norm(end), atol=1e-9)
        cos = start @ end / np.linalg.norm(start) / np.linalg.norm(end)
        assert np.trace(rotation) == pytest.approx(1 + 2 * cos)  # the least angle is the one between them


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_rotation_power_agrees_with_scipy(fraction):
    vectors = np.random.default_rng(3).normal(size=(30, 3))
    vectors[0] = 0
    vectors[1:] *= np.linspace(0.1, 3.0, 29)[:, None] / np.linalg.norm(vectors[1:], axis=1, keepdims=True)
    found = bodies.rotation_power(Rotation.from_rotvec(vectors).as_matrix(), fraction)
    np.testing.assert_allclose(found, Rotation.from_rotvec(vectors * fraction).as_matrix(), atol=1e-6)


@pytest.mark.parametrize("subject", [0, 4])
def test_posed_limbs_point_as_the_motions_do(frames, subject):
    body = bodies.body_of_subject(subject)
    posture = motion.forward_kinematics(frames)
    pose = bodies.pose_body(posture, body)
    for side in SIDES:
        for parent, child, upper, lower in LIMBS:
            ends = (pose.heads[:, body.rig.bone(f"{bone}.{side.upper()}")] for bone in (upper, lower))
            found = np.subtract(*ends)
            wanted = posture.positions[f"{side}_{parent}"] - posture.positions[f"{side}_{child}"]
            wanted = wanted @ bodies.MOTION_TO_RIG.T
            found /= np.linalg.norm(found, axis=1, keepdims=True)
            wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
            np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_bones_keep_their_lengths(frames):
    body = bodies.body_of_subject(3)
    pose = bodies.pose_body(motion.forward_kinematics(frames), body)
    for index, parent in enumerate(body.rig.parents):
        if parent >= 0:
            length = np.linalg.norm(pose.heads[:, index] - pose.heads[:, parent], axis=1)
            np.testing.assert_allclose(length, np.linalg.norm(body.heads[index] - body.heads[parent]), atol=1e-9)


def still_pose(body, rotations, translations):
    return bodies.Pose3D(rotations, translations, body.heads[None] + translations)


def test_skinning_without_motion_is_the_rest_mesh():
    body = bodies.body_of_subject(1)
    count = len(body.rig.labels)
    pose = still_pose(body, np.tile(np.eye(3), (1, count, 1, 1)), np.zeros((1, count, 3)))
    vertices, normals = bodies.skin(
        pose, body.vertices, body.rig.weights, np.tile([0.0, 0.0, 1.0], (len(body.vertices), 1))
    )
    np.testing.assert_allclose(vertices[0], body.vertices, atol=1e-5)
    np.testing.assert_allclose(normals[0, :, 2], 1, atol=1e-5)


def test_skinning_agrees_with_a_sum_over_bones():
    rng = np.random.default_rng(4)
    body = bodies.body_of_subject(2)
    count = len(body.rig.labels)
    rotations = Rotation.random(count, random_state=4).as_matrix()[None]
    translations = rng.normal(size=(1, count, 3))
    vertices, _ = bodies.skin(still_pose(body, rotations, translations), body.vertices, body.rig.weights, body.vertices)
    for v in rng.choice(len(body.vertices), 20, replace=False):
        moved = rotations[0] @ body.vertices[v] + translations[0]
        np.testing.assert_allclose(vertices[0, v], body.rig.weights[v] @ moved, atol=1e-4)


def test_a_rig_that_no_rule_covers_is_refused():
    body = bodies.body_of_subject(0)
    labels = ("tail", *body.rig.labels[1:])
    rig = bodies.Rig(labels, body.rig.parents, body.rig.weights, body.rig.faces)
    posture = motion.forward_kinematics(motion.clip_named("walk").frames[:2])
    with pytest.raises(bodies.DataError, match="found 'tail'"):
        bodies.bone_rotations(posture, bodies.Body(rig, body.vertices, body.heads))


# ---- cameras

ANGLES = st.floats(-np.pi, np.pi)


def view_of(yaw=0.0, pitch=0.0, roll=0.0):
    return camera.view_matrices(*(np.array([angle]) for angle in (yaw, pitch, roll)))


@given(ANGLES, st.floats(-1.5, 1.5), ANGLES)
def test_views_are_rotations(yaw, pitch, roll):
    view = view_of(yaw, pitch, roll)[0]
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)


def project(point, view, distance):
    return camera.perspective(camera.to_camera(np.array([[point]], float), view, np.array([distance])))[0, 0]


def test_frontal_projection_in_closed_form():
    # Person's left (+x) appears on the right, up (+z) above, and what is nearer (-y) larger.
    np.testing.assert_allclose(project([0.5, 0, 0], view_of(), 4.0), [0.125, 0])
    np.testing.assert_allclose(project([0, 0, 0.5], view_of(), 4.0), [0, -0.125])
    np.testing.assert_allclose(project([0.5, -2, 0], view_of(), 4.0), [0.25, 0])


@pytest.mark.parametrize(
    ("angles", "point", "expected"),
    [
        ({"yaw": np.pi / 2}, [0, 0.5, 0], [-0.125, 0]),  # from the person's right, the back is on the left
        ({"yaw": np.pi}, [0.5, 0, 0], [-0.125, 0]),  # from behind, the left hand is on the left
        ({"pitch": np.pi / 2}, [0, 0.5, 0], [0, -0.125]),  # from above, the back is up
        ({"pitch": np.pi / 6}, [0, 0, 1.0], [0, -np.cos(np.pi / 6) / (4 - 0.5)]),
        ({"roll": np.pi / 2}, [0, 0, 0.5], [0.125, 0]),  # a quarter clockwise: up is right
    ],
)
def test_turned_cameras_in_closed_form(angles, point, expected):
    np.testing.assert_allclose(project(point, view_of(**angles), 4.0), expected, atol=1e-12)


def test_drawn_cameras_keep_to_their_kinds():
    kinds = (CameraOptions(share=3, pitch=(40, 50)), CameraOptions(share=1, pitch=(-20, -10), distance=(8, 9)))
    yaw, pitch, _, distance = camera.draw_cameras(kinds, 4000, np.random.default_rng(0))
    low = pitch < 0
    assert low.mean() == pytest.approx(0.25, abs=0.03)
    assert np.rad2deg(pitch[low]).max() <= -10
    assert np.rad2deg(pitch[~low]).min() >= 40
    assert distance[low].min() >= 8
    assert distance[~low].max() <= 6
    assert np.histogram(yaw, 36, (-np.pi, np.pi))[0].min() > 80  # stratified: 111 a bin, but for the mixture


def test_crop_fills_and_holds_the_joints():
    rng = np.random.default_rng(5)
    outline = rng.uniform(-0.1, 0.1, (7, 40, 2)) * [1, 3]
    crop = camera.fit_crop(outline, outline[:, :15], 0.5)
    sides = np.ptp(crop.apply(outline), axis=1).max(axis=1)
    assert np.median(sides) == pytest.approx(0.5)
    tight = camera.fit_crop(outline, outline[:, :15], 1.0)
    placed = tight.apply(outline[:, :15])
    assert placed.min() >= camera.CROP_MARGIN - 1e-9
    assert placed.max() <= 1 - camera.CROP_MARGIN + 1e-9


def test_framing_is_a_similarity_inside_the_square():
    rng = np.random.default_rng(6)
    plane = rng.normal(size=(500, 15, 2))
    placed = camera.frame_in_square(plane, (0.5, 0.92), 0.3, rng)
    sides = np.ptp(placed, axis=1).max(axis=1)
    assert 0.5 <= sides.min() < 0.52
    assert 0.9 < sides.max() <= 0.92
    assert placed.min() >= camera.CROP_MARGIN - 1e-9
    assert placed.max() <= 1 - camera.CROP_MARGIN + 1e-9
    shape = [(p - p.mean(axis=1, keepdims=True)) for p in (plane, placed)]
    shape = [s / np.linalg.norm(s, axis=(1, 2), keepdims=True) for s in shape]
    np.testing.assert_allclose(*shape, atol=1e-9)
