"""The embedded faces as pictures: looks, shots, and the images against their annotations."""

from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest

from flexpose_core.datasets.drawing.camera import view_matrices
from flexpose_core.datasets.drawing.mesh import Mesh, vertex_normals
from flexpose_core.datasets.drawing.options import CameraOptions
from flexpose_core.datasets.faces import looks, shots, takes
from flexpose_core.datasets.faces.head import load_heads
from flexpose_core.datasets.faces.options import FaceFrameOptions, FacesOptions, HeadOptions
from flexpose_core.datasets.faces.reader import FacesReader
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import FACE68

SMALL = FacesOptions(
    images=True,
    image_size=32,
    cameras=(CameraOptions(yaw=(-50, 50), pitch=(-20, 20), roll=(-15, 15), distance=(0.7, 2)),),
    subjects=HeadOptions(train=(0, 3, 9, 14), val=(30,), test=(33, 34)),
    frames=FaceFrameOptions(train=50, val=8, test=16),
    sequence=6,
)


@pytest.fixture(scope="module")
def splits():
    reader = FacesReader(SMALL, seed=3)
    return {split: list(reader.read(split)) for split in reader.splits()}


def gather(batches, name):
    return np.concatenate([getattr(batch, name) for batch in batches])


def portrait_of(head, **changes):
    return replace(looks.portray(head), **changes)


# ---- looks


def test_heads_look_different():
    skins = np.array([looks.draw_looks(head).skin for head in range(48)])
    assert np.ptp(skins.mean(axis=1)) > 120
    assert len({looks.draw_looks(head).beard > 0 for head in range(48)}) == 2
    assert not any(looks.draw_looks(head).beard for head in range(48) if load_heads().gender[head] >= 0.5)


@pytest.mark.parametrize("head", [0, 13, 25, 41])
def test_a_portrait_is_one_surface_in_few_faces(head):
    portrait = looks.portray(head)
    assert len(portrait.faces) < 7000
    assert portrait.colours.min() >= 0
    assert portrait.colours.max() <= 255
    assert portrait.actions.shape == (50, len(portrait.vertices), 3)
    assert 0 <= portrait.follow.min() <= portrait.follow.max() <= 1
    # The model's own vertices come first, where hair has not moved them, so that landmarks stay where they are annotated.
    landmarks = load_heads().landmarks
    assert np.abs(portrait.vertices[landmarks] - load_heads().landmarks_of(head)).max() < 1e-7
    np.testing.assert_array_equal(portrait.actions[:, landmarks], load_heads().landmark_actions)
    assert (portrait.follow[landmarks] == 1).all()


def test_eyes_are_white_round_and_dark_in_the_middle():
    portrait, look = looks.portray(5), looks.draw_looks(5)
    middle = portrait.vertices[portrait.faces].mean(axis=1)
    iris, pupil = ((portrait.colours == np.float32(colour)).all(axis=1) for colour in (look.iris, looks.PUPIL_COLOUR))
    left = middle[:, 0] > 0
    centre = middle[iris & left].mean(axis=0)
    assert np.linalg.norm((middle[pupil & left] - centre)[:, [0, 2]], axis=1).max() < looks.PUPIL + 0.001
    assert np.linalg.norm((middle[iris & left] - centre)[:, [0, 2]], axis=1).max() < looks.IRIS + 0.001


# ---- light


def test_normals_of_many_forms_are_those_of_each():
    portrait = looks.portray(1)
    forms = portrait.vertices + np.stack([0 * portrait.actions[0], portrait.actions[24]])
    for form, normals in zip(forms, shots.normals_of(forms, portrait.faces), strict=True):
        expected = vertex_normals(Mesh(form, np.ones((len(form), 1)), portrait.faces))
        used = np.linalg.norm(expected, axis=1) > 0.5
        np.testing.assert_allclose(normals[used], expected[used], atol=2e-3)


def test_lights_stand_on_the_cameras_side():
    view = view_matrices(np.array([2.0]), np.array([0.2]), np.array([0.1]))[0]
    for seed in range(20):
        light = shots.draw_light(np.random.default_rng(seed), view)
        assert light.towards @ view[2] < 0
        assert np.linalg.norm(light.towards) == pytest.approx(1)
        assert 0.5 < (light.key + light.ambient).mean() < 1.5


# ---- splits


def test_shapes_types_and_numbers(splits):
    assert {split: sum(map(len, batches)) for split, batches in splits.items()} == {"train": 50, "val": 8, "test": 16}
    for batches in splits.values():
        for batch in batches:
            assert all(decode_image(data).shape == (32, 32, 3) for data in batch.images)
            assert len(set(batch.backgrounds)) == 1
            assert batch.poses.shape[1:] == (68, 2)
            assert 0 < batch.poses.min() < batch.poses.max() < 1
            for name in ("clip", "subject", "camera", "sequence"):
                assert len(set(getattr(batch, name).tolist())) == 1


def test_splits_share_no_head_and_no_sequence(splits):
    for name in ("subject", "sequence", "clip"):
        sets = [set(gather(batches, name).tolist()) for batches in splits.values()]
        assert sum(map(len, sets)) == len(set.union(*sets))
    assert set(gather(splits["test"], "subject")) == {33, 34}


def test_every_sequence_has_a_background_of_its_own(splits):
    backgrounds = [bytes(batch.backgrounds[0]) for batches in splits.values() for batch in batches]
    assert len(set(backgrounds)) == len(backgrounds)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(splits):
    again = next(FacesReader(SMALL, seed=3).read("train"))
    other = next(FacesReader(SMALL, seed=4).read("train"))
    first = splits["train"][0]
    assert list(again.images) == list(first.images)
    np.testing.assert_array_equal(again.poses, first.poses)
    assert list(other.images) != list(first.images)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_depends_on_none_behind_it(splits, split):
    options = SMALL.of_split(split)
    assert (options == SMALL) == (split == "test")
    alone = list(FacesReader(options, seed=3).read(split))
    assert list(gather(alone, "images")) == list(gather(splits[split], "images"))
    for name in ("poses", "sequence", "camera"):
        np.testing.assert_array_equal(gather(alone, name), gather(splits[split], name))


def test_images_and_annotations_alone_show_the_same_poses(splits):
    alone = list(FacesReader(msgspec.structs.replace(SMALL, images=False), seed=3).read("train"))
    np.testing.assert_array_equal(gather(alone, "poses"), gather(splits["train"], "poses"))


# ---- images against annotations


@pytest.fixture(scope="module")
def frontal():
    camera = CameraOptions(yaw=(-8, 8), pitch=(-8, 8), roll=(-10, 10), distance=(1, 1.5))
    return msgspec.structs.replace(SMALL, image_size=128, cameras=(camera,))


def test_landmarks_lie_on_the_head(splits):
    hits = []
    for batch in splits["train"]:
        empty = decode_image(batch.backgrounds[0]).astype(int)
        for data, pose in zip(batch.images, batch.poses, strict=True):
            head = cv2.dilate((np.abs(decode_image(data) - empty).max(axis=-1) > 6).astype(np.uint8), np.ones((3, 3)))
            x, y = np.minimum((pose * 32).astype(int), 31).T
            hits.append(head[y, x].mean())
    assert np.mean(hits) > 0.96


def test_the_background_stands_still(splits):
    for batch in splits["train"]:
        empty = decode_image(batch.backgrounds[0])
        for data in batch.images:
            image = decode_image(data)
            assert (image == empty).all(axis=-1).mean() > 0.02
            assert (image != empty).any(axis=-1).mean() > 0.2


@pytest.mark.parametrize(("colour", "landmarks"), [("lips", range(48, 60)), ("iris", (*range(36, 48),))])
def test_features_are_drawn_where_they_are_annotated(frontal, monkeypatch, colour, landmarks):
    options = msgspec.structs.replace(frontal, expression=0.0)
    plan = takes.plan_takes(options, "train", 1)[0]
    own = getattr(looks.draw_looks(plan.head), colour)
    portrait = looks.portray(plan.head)
    marked = (portrait.colours == np.float32(own)).all(axis=1)
    painted = np.where(marked[:, None], np.float32(255), np.float32(0))
    monkeypatch.setattr(shots, "portray", lambda head: portrait_of(head, colours=painted))
    monkeypatch.setattr(
        shots, "draw_backdrop", lambda viewpoint, ground, side, rng: np.zeros((side, side, 3), np.uint8)
    )
    shot = shots.shoot(plan, options, 1)
    for image, pose in zip(shot.images, shot.poses, strict=True):
        rows, columns = np.nonzero(image[..., 1] > 40)
        expected = pose[FACE68.index(*(f"p{k}" for k in landmarks))] * 128
        found = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
        room = 2.5 if colour == "lips" else 9.0  # irises lie inside of the eyes
        assert (found[0] > expected.min(axis=0) - 2.5).all()
        assert (found[1] < expected.max(axis=0) + 2.5).all()
        assert np.abs(found - np.stack([expected.min(axis=0), expected.max(axis=0)]))[:, 0].max() < room


def test_a_burst_moves(frontal):
    shot = shots.shoot(takes.plan_takes(frontal, "train", 2)[0], frontal, 2)
    steps = np.abs(np.diff(shot.images.astype(int), axis=0)).max(axis=-1) > 12
    assert (steps.mean(axis=(1, 2)) > 0.01).all()
