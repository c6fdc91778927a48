"""The embedded people as a drawn dataset: clothes, painter, splits, and the images against their annotations."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flexpose_core.datasets.drawing import painter
from flexpose_core.datasets.drawing.backdrop import Viewpoint, fractal_noise
from flexpose_core.datasets.drawing.camera import Crop, view_matrices
from flexpose_core.datasets.drawing.mesh import Mesh, cut, vertex_normals
from flexpose_core.datasets.drawing.options import CameraOptions
from flexpose_core.datasets.people import motion, scenes
from flexpose_core.datasets.people import painter as stages
from flexpose_core.datasets.people.clothes import OUTFITS, dress
from flexpose_core.datasets.people.options import FrameOptions, PeopleOptions, SubjectOptions
from flexpose_core.datasets.people.reader import PeopleReader
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import BODY15

FRONT = (CameraOptions(yaw=(-40, 40), pitch=(0, 10)),)
SMALL = PeopleOptions(
    clips=("walk", "punch"),
    cameras=FRONT,
    images=True,
    image_size=32,
    subjects=SubjectOptions(train=(0, 4), val=(6,), test=(8,)),
    frames=FrameOptions(train=160, val=60, test=100),
)
LEFT, RIGHT = BODY15.index("l_shoulder", "r_shoulder")


@pytest.fixture(scope="module")
def splits():
    reader = PeopleReader(SMALL, seed=3)
    return {split: list(reader.read(split)) for split in reader.splits()}


def gather(batches, name):
    return np.concatenate([getattr(batch, name) for batch in batches])


# ---- clothes


def areas(mesh):
    corners = mesh.vertices[mesh.faces].astype(float)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2


def random_mesh(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(40, 3))
    faces = np.stack([rng.choice(40, 3, replace=False) for _ in range(60)])
    return Mesh(vertices, rng.dirichlet(np.ones(5), 40), faces), vertices @ rng.normal(size=3)


@pytest.mark.parametrize("seed", range(3))
def test_cutting_keeps_the_surface_and_leaves_no_face_across(seed):
    mesh, level = random_mesh(seed)
    result = cut(mesh, level, np.ones(len(mesh.faces), bool))
    assert len(result.faces) > len(mesh.faces)
    np.testing.assert_allclose(areas(result).sum(axis=0), areas(mesh).sum(axis=0), atol=1e-9)  # winding too
    np.testing.assert_allclose(np.linalg.norm(areas(result), axis=1).sum(), np.linalg.norm(areas(mesh), axis=1).sum())
    np.testing.assert_allclose(result.weights.sum(axis=1), 1)
    normal = np.linalg.lstsq(mesh.vertices, level, rcond=None)[0]
    corners = (result.vertices @ normal)[result.faces]
    assert ((corners < 1e-6).all(axis=1) | (corners > -1e-6).all(axis=1)).all()


def test_cutting_touches_only_the_faces_named():
    mesh, level = random_mesh(7)
    among = np.arange(len(mesh.faces)) < 10
    result = cut(mesh, level, among)
    kept = {tuple(face) for face in result.faces}
    assert {tuple(face) for face in mesh.faces[~among]} <= kept
    assert cut(mesh, np.ones(len(level)), np.ones(len(mesh.faces), bool)) is mesh


def test_normals_of_a_ball_are_radial():
    grid = np.stack(
        np.meshgrid(np.linspace(0, 2 * np.pi, 33)[:-1], np.linspace(0.2, np.pi - 0.2, 24), indexing="ij"), -1
    )
    along, down = grid[..., 0], grid[..., 1]
    ball = np.stack([np.sin(down) * np.cos(along), np.sin(down) * np.sin(along), np.cos(down)], axis=-1)
    index = np.arange(32 * 24).reshape(32, 24)
    east, south = np.roll(index, -1, axis=0)[:, :-1].ravel(), index[:, 1:].ravel()
    here, across = index[:, :-1].ravel(), np.roll(index, -1, axis=0)[:, 1:].ravel()
    faces = np.concatenate([np.stack([here, south, east], 1), np.stack([east, south, across], 1)])
    normals = vertex_normals(Mesh(ball.reshape(-1, 3), np.ones((768, 1)), faces)).reshape(32, 24, 3)
    assert (normals * ball).sum(axis=-1)[:, 1:-1].min() > 0.99


@pytest.mark.parametrize("subject", range(10))
def test_every_subject_wears_everything(subject):
    dressed, outfit = dress(subject), OUTFITS[subject]
    worn = {tuple(colour) for colour in dressed.colours.astype(int).tolist()}
    assert {outfit.skin, outfit.hair, outfit.shirt, outfit.trousers, outfit.shoes} <= worn
    middle = dressed.mesh.vertices[dressed.mesh.faces].mean(axis=1)
    height = {
        name: middle[(dressed.colours == getattr(outfit, name)).all(axis=1), 2].mean()
        for name in ("hair", "shirt", "trousers", "shoes")
    }
    assert height["hair"] > height["shirt"] > height["trousers"] > height["shoes"]
    assert len(middle) < 6000


# ---- painter


def plain_stage(side=32, ground=-1.0):
    view = view_matrices(np.zeros(1), np.zeros(1), np.zeros(1))[0]
    viewpoint = Viewpoint(view, 4.0, Crop(2.0, np.array([0.5, 0.5])))
    backdrop = np.full((side * painter.SUPERSAMPLING,) * 2 + (3,), 100, np.uint8)
    return stages.Stage(viewpoint, painter.Light(np.array([0.0, 0.0, 1.0])), ground, backdrop)


def draw_triangles(triangles, colours, stage):
    """Each triangle (3, 3) faces the camera when anticlockwise as it sees it."""
    vertices = np.concatenate(triangles)[None].astype(np.float32)
    normals = np.tile(np.array([0, -1, 0], np.float32), (1, vertices.shape[1], 1))
    faces = np.arange(vertices.shape[1]).reshape(-1, 3)
    high = np.full((1, len(BODY15), 3), 50.0)  # far above the ground: hardly a shadow
    return stages.paint(vertices, normals, faces, np.array(colours, np.float32), high, stage)[0]


def facing_triangle(y):
    """A large triangle across the line of sight, at y."""
    return np.array([[-0.8, y, -0.8], [0.8, y, -0.8], [0.0, y, 0.9]])


def test_the_nearer_face_covers_the_farther_whatever_their_order():
    stage = plain_stage()
    near, far = facing_triangle(-0.5), facing_triangle(0.5)
    one = draw_triangles([near, far], [(200, 0, 0), (0, 200, 0)], stage)
    other = draw_triangles([far, near], [(0, 200, 0), (200, 0, 0)], stage)
    np.testing.assert_array_equal(one, other)
    assert one[16, 16, 0] > 50
    assert one[16, 16, 1] == 0


def test_a_face_turned_away_is_not_drawn():
    stage = plain_stage()
    away = draw_triangles([facing_triangle(0)[::-1]], [(200, 0, 0)], stage)
    assert (away == 100).all()


def test_a_face_lands_where_perspective_says():
    # x = 0.25 * 2 / 4 in the plane, that is crop 0.5 +- 0.125 times focal length: columns 12..20 of 32.
    square = np.array([[-0.25, 0, -0.25], [0.25, 0, -0.25], [0.25, 0, 0.25], [-0.25, 0, 0.25]])
    image = draw_triangles([square[[0, 1, 2]], square[[0, 2, 3]]], [(250, 0, 0)] * 2, plain_stage())
    rows, columns = np.nonzero(image[..., 1] < 50)
    assert (rows.min(), rows.max()) == (12, 19)
    assert (columns.min(), columns.max()) == (12, 19)


def test_light_follows_lambert():
    light = painter.Light(np.array([0.0, -1.0, 0.0]))
    facing, side, away = painter.shade(np.array([[0, -1, 0], [1, 0, 0], [0, 1, 0]], np.float32), light)
    np.testing.assert_allclose(facing - side, painter.KEY, rtol=1e-6)
    np.testing.assert_allclose(side, away)


def test_the_shadow_lies_below_the_person_and_pales_with_height():
    stage = plain_stage(side=64)
    viewpoint = replace(stage.viewpoint, view=view_matrices(np.zeros(1), np.full(1, 0.5), np.zeros(1))[0])
    stage = replace(stage, viewpoint=viewpoint)
    person = np.zeros((1, len(BODY15), 3))
    person[0, :, 2] = np.linspace(-0.95, -0.85, len(BODY15))
    near = stages.shadow_masks(person, stage)[0]
    far = stages.shadow_masks(person + np.array([0, 0, 0.5]), stage)[0]
    assert near.min() < far.min() < 255
    feet = (np.array([0, 0, -1.0]) - viewpoint.position) @ viewpoint.view.T
    x, y = viewpoint.crop.apply(feet[:2] / feet[2]) * 64
    assert near[int(y), int(x)] < near.min() + 40
    assert (near[:20] == 255).all()


def test_noise_tiles():
    noise = fractal_noise(np.random.default_rng(0), 64, octaves=3, coarsest=4)
    inside = np.abs(np.diff(noise, axis=1)).max()
    assert np.abs(noise[:, 0] - noise[:, -1]).max() <= 1.5 * inside
    assert noise.std() == pytest.approx(1, rel=1e-3)


# ---- splits


def test_shapes_and_types(splits):
    for batches in splits.values():
        for batch in batches:
            assert all(decode_image(data).shape == (32, 32, 3) for data in batch.images)
            assert batch.poses.dtype == np.float32
            assert len(set(batch.backgrounds)) == 1
            assert (batch.visibility == 1).all()


def test_every_joint_is_inside_the_picture(splits):
    for batches in splits.values():
        poses = gather(batches, "poses")
        assert poses.min() >= 0
        assert poses.max() <= 1


def test_about_as_many_images_as_asked_for_and_evenly(splits):
    for split, wanted in (("train", 160), ("val", 60), ("test", 100)):
        clips = gather(splits[split], "clip")
        assert 0.6 * wanted < len(clips) < 1.6 * wanted
        assert min((clips == name).sum() for name in SMALL.clips) > 0.25 * len(clips)


def test_splits_share_neither_people_with_val_nor_frames_with_train(splits):
    seen = {
        split: {
            *zip(gather(b, "subject").tolist(), gather(b, "clip").tolist(), gather(b, "frame").tolist(), strict=True)
        }
        for split, b in splits.items()
    }
    people = {split: {subject for subject, _, _ in keys} for split, keys in seen.items()}
    assert people == {"train": {0, 4}, "val": {6}, "test": {0, 4, 8}}
    for clip in SMALL.clips:
        early = {frame for split in ("train", "val") for _, name, frame in seen[split] if name == clip}
        late = {frame for subject, name, frame in seen["test"] if name == clip and subject != 8}
        assert max(early) + 1 < min(late)  # a gap of at least a frame
        length = len(motion.clip_named(clip).frames)
        assert min(late) == pytest.approx((1 - SMALL.held_out) * length, abs=1)
        assert max(late) == length - 1


def test_sequences_are_numbered_through_the_splits(splits):
    numbers = [set(gather(batches, "sequence").tolist()) for batches in splits.values()]
    assert not numbers[0] & numbers[1]
    assert not (numbers[0] | numbers[1]) & numbers[2]
    for batches in splits.values():
        for batch in batches:
            for name in ("clip", "subject", "camera", "sequence"):
                assert len(set(getattr(batch, name).tolist())) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(splits):
    again = next(PeopleReader(SMALL, seed=3).read("train"))
    other = next(PeopleReader(SMALL, seed=4).read("train"))
    first = splits["train"][0]
    assert list(again.images) == list(first.images)
    np.testing.assert_array_equal(again.poses, first.poses)
    assert list(other.images) != list(first.images)
    assert (other.poses != first.poses).any()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_depends_on_none_behind_it(splits, split):
    options = SMALL.of_split(split)
    assert (options == SMALL) == (split == "test")
    alone = list(PeopleReader(options, seed=3).read(split))
    assert list(gather(alone, "images")) == list(gather(splits[split], "images"))
    for name in ("poses", "sequence", "camera"):
        np.testing.assert_array_equal(gather(alone, name), gather(splits[split], name))


def test_a_person_seen_from_the_front_has_the_left_shoulder_on_the_right(splits):
    walking = [batch for batch in splits["train"] if batch.clip[0] == "walk"]
    poses = gather(walking, "poses")
    assert (poses[:, LEFT, 0] > poses[:, RIGHT, 0]).all()


def test_front_drops_and_counts_the_frames_that_turn_away():
    turning = PeopleOptions(
        clips=("dance_a",),
        images=True,
        cameras=FRONT,
        facing="front",
        image_size=16,
        subjects=SubjectOptions(train=(0,), val=(), test=()),
        frames=FrameOptions(train=60),
    )
    reader = PeopleReader(turning, seed=0)
    batches = list(reader.read("train"))
    counts = reader.counts("train")
    assert counts["kept"] == sum(map(len, batches))
    assert counts["dropped"]["facing away"] > 0.1 * counts["kept"]
    poses = gather(batches, "poses")
    assert (poses[:, LEFT, 0] > poses[:, RIGHT, 0]).mean() > 0.9


# ---- images against annotations


@pytest.fixture(scope="module", params=[0.0, 0.2])
def shot(request):
    options = PeopleOptions(clips=("punch",), images=True, cameras=FRONT, wander=request.param, image_size=64)
    scene = next(scene for scene in scenes.plan_scenes(options, 5) if scene.split == "train")
    return scene, options, scenes.shoot(scene, options, 5)


def empty_picture(shot):
    side = shot.images.shape[1]
    return cv2.resize(shot.stage.backdrop, (side, side), interpolation=cv2.INTER_AREA)


def test_the_background_stands_still(shot):
    _, _, shot = shot
    side = shot.images.shape[1]
    for image, pose in zip(shot.images, shot.poses, strict=True):
        low, high = ((pose.min(axis=0) - 0.2) * side).astype(int), ((pose.max(axis=0) + 0.2) * side).astype(int)
        away = np.ones((side, side), bool)
        away[max(low[1], 0) : high[1], max(low[0], 0) : high[0]] = False
        lit = (image != empty_picture(shot)).any(axis=-1) & away
        # All that may differ away from the person is the shadow, which only darkens.
        assert (image[lit].astype(int) <= empty_picture(shot)[lit].astype(int) + 1).all()
        assert not lit[: side // 2].any()


def test_joints_lie_on_the_person(shot):
    _, _, shot = shot
    side = shot.images.shape[1]
    person = np.abs(shot.images.astype(int) - empty_picture(shot)).max(axis=-1) > 12
    x, y = np.moveaxis(np.minimum((shot.poses * side).astype(int), side - 1), -1, 0)
    assert person[np.arange(len(person))[:, None], y, x].mean() > 0.9
    assert 0.03 < person.mean() < 0.35


def test_the_person_fills_the_crop(shot):
    _, options, shot = shot
    height = np.median(np.ptp(shot.poses, axis=1).max(axis=1))
    assert 0.5 < height < options.fill


def test_the_plate_is_the_scene_without_the_person(shot):
    _, _, shot = shot
    np.testing.assert_array_equal(shot.background, empty_picture(shot))


def test_median_background():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3)).astype(np.uint8)
    np.testing.assert_array_equal(scenes.temporal_median(images), np.median(images, axis=0))


def test_wandering_clears_the_median_of_the_person():
    def seen(wander):
        options = PeopleOptions(
            clips=("walk",), images=True, cameras=FRONT, wander=wander, image_size=48, background="median"
        )
        shot = scenes.shoot(scenes.plan_scenes(options, 1)[0], options, 1)
        away = [
            np.abs(shot.images.astype(int) - picture).max(axis=-1) > 25
            for picture in (empty_picture(shot), shot.background)
        ]
        return (away[0] & away[1]).sum() / away[0].sum(), np.ptp(shot.poses.mean(axis=1)[:, 0])

    (still, little), (moving, much) = seen(0.0), seen(0.2)
    assert moving > still + 0.2
    assert much > little + 0.2
