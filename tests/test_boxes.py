"""People cut out by their boxes, and what else own annotation files may hold: other categories, pictures of nobody, odd names."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from raw_formats.figures import people
from test_annotated import FakeReader
from test_readers import read

from flexpose_core.datasets.annotated import AnnotatedReader
from flexpose_core.datasets.options import CocoOptions, KeypointsJsonOptions, SquareOptions
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.measures.detection import detection_metrics
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import convert

SIDE, COUNT = 220, 12
PERSON = {"id": 1, "name": "person", "keypoints": list(BODY15.joints)}


def box_of(joints, room=0.0):
    """The joints' box in COCO's x, y, width, height, which count from the corner of the first pixel."""
    low, high = joints.min(axis=0) + 0.5 - room, joints.max(axis=0) + 0.5 + room
    return [*low.tolist(), *(high - low).tolist()]


def keypoints_of(joints):
    return np.concatenate([joints, np.full((len(joints), 1), 2)], axis=1).ravel().tolist()


@pytest.fixture
def own(tmp_path):
    """A folder, the content of its annotation file, and the joints of the people in it, one a picture."""
    joints = people(np.random.default_rng(0), COUNT, SIDE, SIDE)
    content = {"images": [], "annotations": [], "categories": [PERSON]}
    for number, body in enumerate(joints):
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        content["annotations"].append(
            {"id": number, "image_id": number, "category_id": 1, "keypoints": keypoints_of(body), "bbox": box_of(body)}
        )
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((SIDE, SIDE, 3), number, np.uint8))
    return tmp_path, content, joints


def read_own(folder, content, around="box", margin=0.15, **others):
    (folder / "a.json").write_text(json.dumps(content))
    options = {"held_out": 0.0, "complete": False, "images": True, **others}
    crop = SquareOptions(around=around, margin=margin, min_side=1.0)
    return read(KeypointsJsonOptions(root=str(folder), train="a.json", crop=crop, **options), "train")


def joined(batches, name):
    return np.concatenate([getattr(batch, name) for batch in batches])


def test_a_box_around_the_joints_cuts_as_the_joints_do(own):
    folder, content, _ = own
    by_joints, by_box = (read_own(folder, content, around)[0] for around in ("joints", "box"))
    for name in ("crop", "poses", "visibility"):
        np.testing.assert_allclose(joined(by_box, name), joined(by_joints, name), atol=1e-4)


def test_people_without_joints_are_cut_out_as_those_with_all(own):
    folder, content, _ = own
    whole = joined(read_own(folder, content)[0], "crop")
    for place, annotation in enumerate(content["annotations"]):
        if place % 3 == 0:
            del annotation["keypoints"]
        elif place % 3 == 1:
            annotation["keypoints"] = [0] * 45
    batches, counts = read_own(folder, content)
    assert counts == {"read": COUNT, "kept": COUNT, "dropped": {}, "first_dropped": {}}
    np.testing.assert_array_equal(joined(batches, "crop"), whole)
    visible = joined(batches, "visibility")
    np.testing.assert_array_equal(visible.all(axis=1), np.arange(COUNT) % 3 == 2)
    np.testing.assert_array_equal(visible.any(axis=1), np.arange(COUNT) % 3 == 2)
    assert len(joined(batches, "images")) == COUNT
    # They do not count in what is measured.
    found = np.random.default_rng(1).random((COUNT, 15, 2))
    measured = [
        detection_metrics(found[rows], joined(batches, "poses")[rows], visible[rows], BODY15)["flip_aware"]["mse"]
        for rows in (slice(None), visible.any(axis=1))
    ]
    assert measured[0] == measured[1]
    # By their joints they cannot be cut out.
    assert read_own(folder, content, "joints")[1]["dropped"] == {"no joint annotated": 8}
    assert read_own(folder, content, complete=True)[1]["kept"] == 4


def test_a_file_of_boxes_alone_is_read(own):
    """As a detector of people writes it: categories without joints, among them people."""
    folder, content, _ = own
    whole = joined(read_own(folder, content)[0], "crop")
    content["categories"] = [{"id": 3, "name": "dog"}, {"id": 1, "name": "Person"}, {"id": 9, "name": None}]
    for annotation in content["annotations"]:
        del annotation["keypoints"]
    content["annotations"][5]["category_id"] = 3
    batches, counts = read_own(folder, content, joints={"head": "top_of_head", "neck": ("throat", "nape")})
    assert counts["dropped"] == {"category without these keypoints": 1}
    np.testing.assert_array_equal(joined(batches, "crop"), np.delete(whole, 5, axis=0))
    assert not joined(batches, "visibility").any()
    content["categories"] = [{"id": 1, "name": "dancer"}]
    assert read_own(folder, content)[1]["kept"] == COUNT - 1
    with pytest.raises(DataError, match="expected one that names its keypoints, found none"):
        read_own(folder, content, around="joints")


@pytest.mark.parametrize(("split", "limit"), [("test", None), ("val", None), ("val", 2)])
def test_nobody_can_be_measured_by_a_box_alone(own, split, limit):
    folder, content, _ = own
    for annotation in content["annotations"]:
        annotation["keypoints"] = None
    (folder / "b.json").write_text(json.dumps(content))
    own_file = {split: "b.json"}
    crop = SquareOptions(around="box", min_side=1.0)
    options = KeypointsJsonOptions(root=str(folder), train="a.json", crop=crop, complete=False, **own_file)
    shard = folder / "shard.h5"
    convert.convert_shard(options, split, 0, 1, 0, shard)
    with pytest.raises(DataError, match=f"mine: {split}: expected somebody with a joint to measure on, found people"):
        convert.gather_shards("mine", "x", split, limit, 0, [shard], folder / "all.h5", folder / "card.json")
    assert not (folder / "all.h5").exists()
    convert.gather_shards("mine", "x", "train", limit, 0, [shard], folder / "all.h5", folder / "card.json")


def test_val_is_held_out_of_people_with_joints(own):
    folder, content, _ = own
    for annotation in content["annotations"][3:]:
        annotation["keypoints"] = None
    for split, kept in (("train", COUNT - 1), ("val", 1)):
        (folder / "a.json").write_text(json.dumps(content))
        crop = SquareOptions(around="box", min_side=1.0)
        options = KeypointsJsonOptions(root=str(folder), train="a.json", crop=crop, held_out=0.3, complete=False)
        batches, counts = read(options, split)
        assert counts["kept"] == kept
        assert joined(batches, "visibility").all(axis=1).sum() == {"train": 2, "val": 1}[split]


@pytest.mark.parametrize("box", [None, [], [1, 2, 3], [1, 2, 0, 9], [None, 1, 5, 5]])
def test_who_has_no_box_is_dropped(own, box):
    folder, content, _ = own
    content["annotations"][4]["bbox"] = box
    _, counts = read_own(folder, content)
    assert counts["dropped"] == {"no box annotated": 1}
    assert counts["first_dropped"] == {"no box annotated": "a.json: record 4 ('4.png')"}


def test_joints_outside_the_box_are_not_seen(own):
    folder, content, joints = own
    body = joints[2]
    lowest = body[:, 1].argmax()
    others = np.delete(body, lowest, axis=0)
    content["annotations"][2]["bbox"] = box_of(others)
    batches, counts = read_own(folder, content, margin=0.0)
    assert counts["kept"] == COUNT
    assert not joined(batches, "visibility")[2, lowest]
    _, counts = read_own(folder, content, margin=0.0, complete=True)
    assert counts["dropped"] == {"joints outside the box and its margin": 1}


def test_a_dataset_without_boxes_says_so():
    reader = AnnotatedReader(FakeReader(), CocoOptions(root="x", crop=SquareOptions(around="box")))
    with pytest.raises(ConfigError, match=r"crop\.around: expected 'joints', as no boxes are read of this dataset"):
        list(reader.read("train", ["a"]))


def test_boxes_stay_with_their_people():
    joints = np.zeros((3, 15, 2))
    raw = next(iter(FakeReader().read("train", "a")))
    boxes = np.arange(len(raw.joints) * 4, dtype=float).reshape(-1, 4)
    rows = np.array([5, 1])
    np.testing.assert_array_equal(replace(raw, box=boxes).take(rows).box, boxes[rows])
    with pytest.raises(DataError, match=r"expected box of shape \(12, 4\), found \(3, 15, 2\)"):
        replace(raw, box=joints)


def test_pictures_of_nobody_are_told(own, capsys):
    folder, content, _ = own
    content["images"] += [{"id": f"more{n}", "file_name": f"more{n}.png"} for n in range(4)]
    _, counts = read_own(folder, content)
    assert counts["read"] == counts["kept"] == COUNT
    told = "a.json: 4 of 16 pictures have no annotation and are not read, first 'more0.png'"
    assert told in capsys.readouterr().err
    options = KeypointsJsonOptions(root=str(folder), train="a.json", held_out=0.3)
    for split in ("train", "val"):
        read(options, split)
        assert (told in capsys.readouterr().err) == (split == "train")


def test_other_categories_are_passed_over(own):
    folder, content, _ = own
    content["categories"].insert(0, {"id": 7, "name": "dog", "keypoints": ["muzzle", "tail"]})
    content["annotations"][3] |= {"category_id": 7, "keypoints": [1, 2, 2, 3, 4, 2]}
    _, counts = read_own(folder, content)
    assert counts["dropped"] == {"category without these keypoints": 1}
    del content["categories"][1]
    with pytest.raises(DataError, match=r"expected keypoints for 'head', 'l_shoulder', .* found muzzle, tail"):
        read_own(folder, content)


@pytest.mark.parametrize("name", ["C:/mine/0.png", "cam\\0.png", "https://example.org/0.png"])
def test_names_that_are_no_paths_below_the_root_are_refused(own, name):
    folder, content, _ = own
    content["images"][3]["file_name"] = name
    # Of poses alone no picture is opened.
    assert read_own(folder, content, images=False)[1]["kept"] == COUNT
    with pytest.raises(DataError, match=re.escape(f"a.json: images: expected names from 'the root', found {name!r}")):
        read_own(folder, content)


def test_a_picture_of_another_size_is_named_with_both(own):
    folder, content, _ = own
    content["images"][5] |= {"width": SIDE + 1}
    _, counts = read_own(folder, content)
    reason = "picture of another size than stated"
    assert counts["first_dropped"] == {reason: "a.json: record 5 ('5.png'): 221 × 220 stated, 220 × 220 found"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": "./a.json"}, "test: expected another file than train's, found './a.json'"),
        ({"val": "x/../a.json", "test": "b.json"}, "val: expected another file than train's, found 'x/../a.json'"),
        ({"joints": {"head": ()}}, "joints: expected a name or several for 'head', found none"),
    ],
)
def test_options_that_contradict_themselves_are_refused(files, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        KeypointsJsonOptions(root="x", train="a.json", **files)
