"""The embedded faces: heads, expressions, and where landmarks are seen, against symmetries and closed forms."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from flexpose_core.datasets.drawing.camera import CROP_MARGIN
from flexpose_core.datasets.drawing.options import CameraOptions, CropOptions
from flexpose_core.datasets.faces import bust, expressions, takes
from flexpose_core.datasets.faces.head import MIRROR, load_heads
from flexpose_core.datasets.faces.options import FaceFrameOptions, FacesOptions, HeadOptions
from flexpose_core.datasets.faces.reader import FacesReader
from flexpose_core.errors import ConfigError
from flexpose_core.geometry import flip
from flexpose_core.poses.guidance import choose_symmetry
from flexpose_core.seeds import rng as seeded
from flexpose_core.skeletons import FACE68

WIDE = (CameraOptions(yaw=(-60, 60), pitch=(-20, 20), roll=(-15, 15), distance=(0.7, 2)),)
SOURCE = FacesOptions(
    subjects=HeadOptions(train=(0, 3, 5), val=(7,), test=()),
    frames=FaceFrameOptions(train=500, val=60),
    sequence=120,
    fps=30,
)
STILL = FacesOptions(sway=0, expression=0, crop=CropOptions(scale=(0.7, 0.7), offset=0))


def read(options, split, seed=0):
    reader = FacesReader(options, seed)
    batches = list(reader.read(split))
    return np.concatenate([batch.poses for batch in batches]), batches, reader.counts(split)


def points(pose, *numbers):
    return pose[..., FACE68.index(*(f"p{k}" for k in numbers)), :]


# ---- heads


def test_heads_are_symmetric_and_differ():
    model = load_heads()
    assert len(model.heads) == 48
    np.testing.assert_array_equal(model.mirrored[model.mirrored], np.arange(len(model.mirrored)))
    np.testing.assert_array_equal(model.heads[:, model.mirrored] * MIRROR, model.heads)
    np.testing.assert_array_equal(model.mirrored[model.landmarks], model.landmarks[FACE68.flip_permutation])
    assert len(set(model.landmarks.tolist())) == 68
    shapes = model.heads[:, model.landmarks].reshape(48, -1)
    apart = np.linalg.norm(shapes[:, None] - shapes, axis=-1) / np.sqrt(68)
    assert apart[~np.eye(48, dtype=bool)].min() > 0.0015  # metres, root mean square over landmarks


def test_actions_of_one_side_mirror_those_of_the_other():
    model = load_heads()
    for label, action in zip(model.action_labels, model.actions, strict=True):
        other = label.replace("Left", "*").replace("Right", "Left").replace("*", "Right")
        np.testing.assert_array_equal(action[model.mirrored] * MIRROR, model.actions[model.action_labels.index(other)])


def test_the_mesh_is_a_surface_open_at_the_neck_alone():
    model = load_heads()
    edges = np.concatenate([model.faces[:, [0, 1]], model.faces[:, [1, 2]], model.faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # each edge once a direction: faces wind alike
    loop = bust.neck_loop(model.faces)
    assert model.heads[0, loop, 2].max() < model.heads[0, model.landmarks, 2].mean()
    backwards = {tuple(edge) for edge in edges[:, ::-1].tolist()}
    assert sum(tuple(edge) not in backwards for edge in edges.tolist()) == len(loop)


@pytest.mark.parametrize("head", [0, 17, 40])
def test_landmarks_lie_where_their_names_say(head):
    face = load_heads().landmarks_of(head)
    assert (points(face, *range(42, 48))[:, 0] > 0).all()  # the left eye
    assert points(face, 30)[0, 1] == face[:, 1].min()  # the tip of the nose is foremost
    heights = [points(face, *part)[:, 2].mean() for part in (range(22, 27), range(42, 48), (30,), range(48, 60), (8,))]
    assert all(above > below for above, below in pairwise(heights))
    jaw = points(face, *range(8, 17))
    assert (np.diff(jaw[:, 0]) > -0.004).all()
    assert (np.diff(jaw[:, 2]) > 0).all()
    assert (np.diff(jaw[:, 1]) > -0.004).all()  # no zigzag in depth, which a profile would show


@pytest.mark.parametrize(
    ("action", "lower", "upper", "change"),
    [
        ("jawOpen", (66,), (62,), 0.02),
        ("eyeBlinkLeft", (46, 47), (43, 44), -0.005),
        ("browInnerUp", (42,), (22,), 0.002),
        ("mouthSmileLeft", (54,), (45,), -0.003),
    ],
)
def test_actions_do_what_they_are_called(action, lower, upper, change):
    """The landmarks `lower` and `upper` move apart by at least `change` metres of height, or together if it is negative."""
    model = load_heads()
    moved = model.landmark_actions[model.action_labels.index(action)]
    found = points(moved, *upper)[:, 2].mean() - points(moved, *lower)[:, 2].mean()
    assert found > change if change > 0 else found < change


# ---- shoulders


def test_shoulders_continue_the_surface_and_stay_while_the_head_turns():
    model = load_heads()
    vertices, faces, follow, clothed = bust.add_bust(model.heads[2], model.faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # so the shoulders wind as the head does
    assert (follow[model.landmarks] == 1).all()
    assert (follow[np.unique(faces[clothed])] < 0.5).all()
    assert follow[vertices[:, 2].argmin()] == 0
    corners = vertices[faces[clothed]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = corners.mean(axis=1) - vertices[bust.neck_loop(model.faces)].mean(axis=0)
    assert ((normals * outwards * [1, 1, 0]).sum(axis=1) > 0).mean() > 0.95


# ---- expressions


def test_expressions_are_sparse_smooth_and_within_bounds():
    found = expressions.draw_expressions(4000, 30, 1.0, np.random.default_rng(0))
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.abs(np.diff(found, axis=0)).max() < 0.2
    assert 2 < (found > 0.1).sum(axis=1).mean() < 12
    assert (found.max(axis=0) > 0.3).sum() > 35
    assert (found[:, expressions.load_heads().action_labels.index("jawOpen")] > 0.5).mean() < 0.2


def test_no_expression_at_strength_0():
    assert not expressions.draw_expressions(50, 8, 0.0, np.random.default_rng(0)).any()


def test_every_gesture_names_known_actions():
    for part, weights in zip(expressions.PARTS, expressions.gesture_weights(), strict=True):
        assert weights.shape == (len(part.gestures), 50)
        assert (weights.sum(axis=1) > 0).all()
        assert weights.max() <= 1


@pytest.mark.parametrize("frames", [1, 2, 97])
def test_any_length(frames):
    found = expressions.draw_expressions(frames, 8.0, 1.0, np.random.default_rng(frames))
    assert found.shape == (frames, 50)


# ---- takes


def take(**changes):
    plain = takes.Take("train", 0, 4, 1, yaw=0.0, pitch=0.0, roll=0.0, distance=1.0)
    return replace(plain, **changes)


@pytest.mark.parametrize("yaw", [-1.0, -0.3, 0.0, 0.7])
def test_a_mirrored_camera_sees_the_flipped_landmarks(yaw):
    one = takes.perform(take(yaw=yaw, pitch=0.2, roll=0.1), STILL, 0).poses
    other = takes.perform(take(yaw=-yaw, pitch=0.2, roll=-0.1), STILL, 0).poses
    np.testing.assert_allclose(flip(one, FACE68), other, atol=1e-6)
    assert yaw == 0 or np.abs(one - other).max() > 0.01


def test_a_face_towards_the_camera_has_its_left_eye_on_the_right():
    poses, _, _ = read(msgspec.structs.replace(SOURCE, cameras=WIDE), "train")
    assert (
        points(poses, *range(42, 48))[..., 0].mean(axis=1) > points(poses, *range(36, 42))[..., 0].mean(axis=1)
    ).all()
    assert (points(poses, 8)[:, 0, 1] > points(poses, 27)[:, 0, 1]).all()  # y points down


def test_turning_to_its_left_moves_the_nose_to_the_right():
    # A camera at the person's right sees the head as if it had turned to its left: towards the right of the picture.
    pose = takes.perform(take(yaw=0.8), STILL, 0).poses[0]
    assert points(pose, 30)[0, 0] > pose[:, 0].mean()


def test_the_head_turns_about_its_neck_and_shoulders_stay():
    act = takes.perform(take(frames=20), msgspec.structs.replace(STILL, sway=15), 0)
    point = np.tile(np.array([[[0.0, 0.05, -0.2]]]), (20, 1, 1))
    assert np.ptp(act.seen(point, np.zeros(1)), axis=0).max() < 1e-12
    assert np.ptp(act.seen(point, np.ones(1)), axis=0).max() > 0.01
    neck = np.tile(takes.NECK, (20, 1, 1))
    assert np.ptp(act.seen(neck, np.ones(1)), axis=0).max() < 1e-12


def test_sway_has_the_deviation_asked_for():
    waves = np.concatenate([takes._waves(50, 8, np.random.default_rng(k)) for k in range(400)])
    np.testing.assert_allclose(waves.std(axis=0), 1, atol=0.05)


# ---- annotations


def test_as_many_poses_as_asked_for_in_sequences():
    poses, batches, counts = read(SOURCE, "train")
    assert poses.shape == (500, 68, 2)
    assert poses.dtype == np.float32
    assert [len(batch) for batch in batches] == [120, 120, 120, 120, 20]
    assert counts == {"read": 500, "kept": 500, "dropped": {}, "first_dropped": {}}
    assert {int(batch.subject[0]) for batch in batches} == {0, 3, 5}
    assert all(batch.images is None and (batch.visibility == 1).all() for batch in batches)
    steps = np.linalg.norm(np.diff(batches[0].poses, axis=0), axis=-1)
    assert steps.max() < 0.06  # of the picture's side: no leaps


def test_poses_lie_inside_and_sequences_have_the_size_asked_for():
    options = msgspec.structs.replace(SOURCE, crop=CropOptions(scale=(0.4, 0.6), offset=0.3), cameras=WIDE)
    _, batches, _ = read(options, "train")
    for batch in batches:
        flat = batch.poses.reshape(-1, 2)
        assert 0.4 - 1e-5 <= np.ptp(flat, axis=0).max() <= 0.6 + 1e-5
        assert flat.min() >= CROP_MARGIN - 1e-5
        assert flat.max() <= 1 - CROP_MARGIN + 1e-5


def test_the_same_seed_gives_the_same_poses_and_splits_share_nothing():
    first, batches, _ = read(SOURCE, "train", 1)
    np.testing.assert_array_equal(first, read(SOURCE, "train", 1)[0])
    assert (read(SOURCE, "train", 2)[0] != first).any()
    _, held_out, _ = read(SOURCE, "val", 1)
    for name in ("subject", "sequence"):
        seen, unseen = ({int(x) for batch in some for x in getattr(batch, name)} for some in (batches, held_out))
        assert not seen & unseen


def test_shots_of_faces_refute_the_symmetry_that_keeps_labels():
    from flexpose_core.options.adaptation import GuidanceOptions

    options = FacesOptions(cameras=WIDE, frames=FaceFrameOptions(train=240), sequence=1)
    poses, _, _ = read(options, "train")
    guidance = GuidanceOptions(mixup_size=300, space="bones", symmetry="auto")
    chosen = {
        choose_symmetry(poses[start : start + 12], FACE68, guidance, seeded(start, "test"))
        for start in range(0, 60, 12)
    }
    assert chosen == {"flip"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subjects": HeadOptions(train=(48,))}, r"expected a head in 0..47, found 48"),
        ({"subjects": HeadOptions(train=(1, 2), val=(2,))}, "no head in both train and val, found 2"),
        ({"subjects": HeadOptions(train=())}, "expected a head in subjects.train"),
        ({"frames": FaceFrameOptions(train=0)}, "expected frames.train of at least 1"),
        ({"cameras": (CameraOptions(yaw=(10, -10)),)}, r"expected cameras.yaw as \[low, high\]"),
        ({"cameras": (CameraOptions(distance=(0.2, 1)),)}, "at least 0.5 m"),
        ({"crop": CropOptions(scale=(0.9, 0.5))}, "expected crop.scale"),
    ],
)
def test_bad_options_are_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        FacesReader(msgspec.structs.replace(SOURCE, **changes), 0)
    assert "\n" not in str(error.value)


def test_annotations_have_no_test_split_and_are_counted_once_read():
    reader = FacesReader(SOURCE, 0)
    assert reader.splits() == ("train", "val")
    assert SOURCE.known_size("train") == 500
    assert SOURCE.known_size("test") == 0
    with pytest.raises(ConfigError, match="expected a split among train, val, found 'test'"):
        reader.read("test")
    with pytest.raises(ConfigError, match="expected the unit 'all', found"):
        reader.read("train", ["some"])
    with pytest.raises(ConfigError, match="to have been read"):
        reader.counts("train")
