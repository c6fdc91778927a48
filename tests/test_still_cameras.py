"""Own pictures of cameras that stand still: a folder is a video, and behind its people lies the scene."""

import json
import shutil

import cv2
import numpy as np
import pytest
from test_readers import read

from flexpose_core.datasets import coco_json
from flexpose_core.datasets.footage import border_colour, cut
from flexpose_core.datasets.options import KeypointsJsonOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import train_animated
from flexpose_core.stages.train_animated import cut_out

SIDE, EACH = 160, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two cameras, whose pictures alternate, with a person somewhere in each, and a third folder of four pictures."""
    root, random = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    smooth = [cv2.resize(random.integers(60, 256, (9, 9, 3)).astype(np.uint8), (SIDE, SIDE)) for _ in range(3)]
    scenes = dict(zip(("left", "right", "few"), smooth, strict=True))
    images, annotations = [], []
    for number in range(2 * EACH + 4):
        place = "few" if number >= 2 * EACH else ("left", "right")[number % 2]
        joints = STANCE * random.uniform(0.8, 1) + np.array([random.uniform(30, 130), 75])
        picture = scenes[place].copy()
        for bone in BODY15.bones:
            ends = [
                tuple(np.round(joints[BODY15.joints.index(name)]).astype(int).tolist())
                for name in (bone.start, bone.end)
            ]
            cv2.line(picture, *ends, (0, 0, 0), 7)
        path = root / "frames" / place / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)
        images.append({"id": number, "file_name": f"{place}/{number}.png", "width": SIDE, "height": SIDE})
        keypoints = np.concatenate([joints, np.full((15, 1), 2)], axis=1).ravel().tolist()
        annotations.append({"id": number, "image_id": number, "category_id": 1, "keypoints": keypoints})
    categories = [{"id": 1, "name": "person", "keypoints": list(BODY15.joints)}]
    for name, first in (("a", 0), ("test", 2 * EACH - 2)):
        # The last person of each of the two cameras, and the third folder, are the test's too.
        content = {"images": images[first:], "annotations": annotations[first:], "categories": categories}
        (root / f"{name}.json").write_text(json.dumps(content))
    return root, scenes


STANCE = np.array(
    [(0, -52), (0, -40), (0, 0), (10, -38), (16, -20), (20, 0), (6, 2), (8, 26), (9, 50),
     (-10, -38), (-16, -20), (-20, 0), (-6, 2), (-8, 26), (-9, 50)]
)  # fmt: skip
"""A person of 102 px who stands, in BODY15's order."""


def read_as(root, still, split="train", pictures="frames"):
    files = {"train": "a.json", "test": "test.json"}
    options = KeypointsJsonOptions(
        root=str(root), pictures=pictures, images=True, image_format="png", held_out=0.0, still_cameras=still, **files
    )
    batches, counts = read(options, split)
    assert counts["kept"] == {"train": 2 * EACH + 4, "test": 6}[split]
    columns = {
        name: np.concatenate([getattr(batch, name) for batch in batches]) for name in PoseBatch.__dataclass_fields__
    }
    return PoseBatch(**columns)


def test_behind_people_lies_the_scene_of_their_camera(root):
    root, scenes = root
    found = read_as(root, True)
    places = [source.split("/")[1] for source in found.source]
    assert len(set(zip(places, found.sequence.tolist(), strict=True))) == len(set(found.sequence.tolist())) == 3
    for row, place in enumerate(places):
        behind = decode_image(found.backgrounds[row])
        shown = decode_image(found.images[row])
        if place == "few":  # too few for a median
            np.testing.assert_array_equal(behind, border_colour(shown))
        else:
            scene = cut(scenes[place][..., ::-1], found.crop[row], behind.shape[0])
            assert np.abs(behind.astype(int) - scene).mean() < 1
            assert np.abs(shown.astype(int) - scene).mean() > 5


def test_a_split_of_few_pictures_has_the_scenes_of_all(root):
    whole, part = read_as(root[0], True), read_as(root[0], True, "test")
    place = {str(name): row for row, name in enumerate(whole.source)}
    assert len(part.source) == 6
    for row, name in enumerate(part.source):
        assert part.backgrounds[row] == whole.backgrounds[place[str(name)]]
        assert part.sequence[row] == whole.sequence[place[str(name)]]


@pytest.mark.parametrize("pictures", ["frames/", "./frames", "left/../frames"])
def test_cameras_are_told_apart_however_their_folder_is_written(root, pictures):
    usual, found = read_as(root[0], True), read_as(root[0], True, pictures=pictures)
    np.testing.assert_array_equal(found.sequence, usual.sequence)
    np.testing.assert_array_equal(found.source, usual.source)
    assert list(found.backgrounds) == list(usual.backgrounds)


def test_scenes_do_not_depend_on_how_the_file_is_read(root, monkeypatch):
    whole = read_as(root[0], True)
    monkeypatch.setattr(coco_json, "BATCH", 5)
    parts = read_as(root[0], True)
    for name in ("poses", "crop", "sequence", "source", "images", "backgrounds"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_without_the_option_every_picture_is_a_sequence_of_its_own(root):
    found = read_as(root[0], False)
    assert len(set(found.sequence.tolist())) == 2 * EACH + 4
    for image, behind in zip(found.images, found.backgrounds, strict=True):
        np.testing.assert_array_equal(decode_image(behind), border_colour(decode_image(image)))


def test_people_of_still_cameras_can_be_animated(root, tmp_path):
    found = read_as(root[0], True)
    rows = np.flatnonzero(["/few/" not in source for source in found.source])
    write_cache(
        tmp_path / "train.h5",
        [PoseBatch(**{n: getattr(found, n)[rows] for n in PoseBatch.__dataclass_fields__})],
        BODY15,
        {},
    )
    pictures = load_cache(tmp_path / "train.h5", images=True)
    people = cut_out(pictures, tmp_path / "train.h5", pictures, tmp_path / "train.h5")
    assert len(people.poses) == 2 * EACH


def test_people_who_do_not_stand_out_remain_labelled_images(root, tmp_path, monkeypatch, capsys):
    """One shot lacks a joint, one does not stand out: the first is left out, the second is learnt from and not animated."""
    found = read_as(root[0], True)
    found.visibility[1, 3] = 0
    write_cache(tmp_path / "train.h5", [found], BODY15, {})
    pictures = load_cache(tmp_path / "train.h5", images=True)
    hidden = iter([False] + [True] * (len(pictures) - 1))
    monkeypatch.setattr(train_animated, "stands_out", lambda *_: next(hidden))
    people = cut_out(pictures, tmp_path / "train.h5", pictures, tmp_path / "train.h5")
    expected = np.delete(np.arange(len(pictures)), 1)
    np.testing.assert_array_equal(people.poses, pictures.poses[expected])
    np.testing.assert_array_equal(people.images, pictures.images[expected])
    side = people.puppets.size
    np.testing.assert_allclose(
        people.puppets.poses[: len(expected) - 1], pictures.poses[expected[1:]] * side, rtol=1e-6
    )
    assert len(people.puppets.parts) == 2 * (len(expected) - 1)
    np.testing.assert_array_equal(people.animated, [False] + [True] * (len(expected) - 1))
    said = capsys.readouterr().err
    assert f"{len(expected) - 1} people of {len(pictures)} shots, 1 of which lack joints; 1 do not stand out" in said


def test_of_several_people_before_one_camera_nobody_is_taken_for_another(root, tmp_path, capsys):
    """Two people in one picture of a camera: all of it are sequences alone, with the scene of the whole folder behind them."""
    folder = shutil.copytree(root[0], tmp_path / "own")
    content = json.loads((folder / "a.json").read_text())
    content["annotations"].append({**content["annotations"][2], "id": 1000})
    (folder / "a.json").write_text(json.dumps(content))
    options = KeypointsJsonOptions(
        root=str(folder),
        train="a.json",
        pictures="frames",
        images=True,
        image_format="png",
        held_out=0.0,
        still_cameras=True,
    )
    batches, counts = read(options, "train")
    assert counts["kept"] == 2 * EACH + 5
    sequences, backgrounds = {}, {}
    for batch in batches:
        for row, source in enumerate(batch.source):
            sequences.setdefault(source.split("/")[1], []).append(int(batch.sequence[row]))
            backgrounds[str(source), int(batch.frame[row])] = batch.backgrounds[row]
    assert {place: len(set(own)) for place, own in sequences.items()} == {"few": 1, "left": EACH + 1, "right": 1}
    assert len({number for own in sequences.values() for number in own}) == EACH + 3
    said = capsys.readouterr().err
    assert said.count("tell no scene") == 1
    assert "few/24.png: 4 pictures of its camera" in said
    usual = read_as(root[0], True)
    for row, source in enumerate(usual.source):
        assert backgrounds[str(source), int(usual.frame[row])] == usual.backgrounds[row]


def test_a_picture_that_is_turned_has_no_scene_behind_it(root, tmp_path):
    folder = shutil.copytree(root[0], tmp_path / "own")
    picture = folder / "frames/left/4.png"
    assert cv2.imwrite(str(picture), cv2.imread(str(picture))[:120])
    content = json.loads((folder / "a.json").read_text())
    content["images"][4].pop("height")
    (folder / "a.json").write_text(json.dumps(content))
    options = KeypointsJsonOptions(
        root=str(folder), train="a.json", pictures="frames", images=True, image_format="png", held_out=0.0, still_cameras=True,
        complete=False,
    )  # fmt: skip
    batches, _ = read(options, "train")
    for batch in batches:
        for image, behind, frame in zip(batch.images, batch.backgrounds, batch.frame, strict=True):
            plain = border_colour(decode_image(image))
            if batch.source[0].split("/")[1] == "left":
                assert np.array_equal(decode_image(behind), plain) == (frame == 4)
