"""Readers on genuine files, where they lie beside the project: samples too large or too licensed to be kept in it."""

import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from flexpose_core.datasets import open_reader
from flexpose_core.datasets.crops import from_crop
from flexpose_core.datasets.options import CocoOptions, KeypointsJsonOptions, LspOptions, PennActionOptions
from flexpose_core.datasets.pts import read_pts
from flexpose_core.poses.batch import rebatch
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import BODY15, FACE68

DATA = Path(__file__).parents[2] / "shared" / "data"


def needs(*names):
    path = DATA.joinpath(*names)
    return pytest.mark.skipif(not path.exists(), reason=f"{Path(*names)} is not here")


def read(reader, split):
    batches = list(reader.read(split, reader.units(split)))
    return batches, reader.counts(split)


@needs("penn_action", "labels.tar.xz")
def test_every_frame_of_penn_action_is_accounted_for(tmp_path):
    with tarfile.open(DATA / "penn_action" / "labels.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    reader = open_reader(PennActionOptions(root=str(tmp_path)), 0)
    units = {split: reader.units(split) for split in reader.splits()}
    assert sum(map(len, units.values())) == 2326
    assert len(units["test"]) == 1068
    assert not set(units["train"]) & set(units["val"])
    counts, poses = {}, []
    for split in units:
        batches, counts[split] = read(reader, split)
        poses += [batch.poses for batch in batches]
        assert sum(map(len, batches)) == counts[split]["kept"]
    assert sum(count["read"] for count in counts.values()) == 163_841
    reasons = {reason for count in counts.values() for reason in count["dropped"]}
    assert reasons == {"joints not annotated", "joints outside the picture", "no joint annotated"}
    together = np.concatenate(poses)
    # Placeholders near the corner, where 88 clips have them, are no joints.
    assert len(together) == 108_005
    # People stand on their feet more often than on their heads.
    head, ankle = BODY15.index("head", "l_ankle")
    assert (together[:, head, 1] < together[:, ankle, 1]).mean() > 0.8


@needs("lsp", "joints.mat")
def test_lsp_poses_are_people():
    reader = open_reader(LspOptions(root=str(DATA / "lsp")), 0)
    counts = [read(reader, split)[1] for split in reader.splits()]
    assert [count["kept"] for count in counts] == [950, 50, 1000]
    poses = np.concatenate([batch.poses for batch in read(reader, "train")[0]])
    place = {name: poses[:, index] for index, name in enumerate(BODY15.joints)}
    assert (place["head"][:, 1] < place["neck"][:, 1]).mean() > 0.9
    # A forearm is about as long as the upper arm, the same left and right.
    for side in "lr":
        upper = np.linalg.norm(place[f"{side}_elbow"] - place[f"{side}_shoulder"], axis=1)
        lower = np.linalg.norm(place[f"{side}_wrist"] - place[f"{side}_elbow"], axis=1)
        assert 0.6 < np.median(lower / upper) < 1.4
    # The neck lies between the shoulders, and left shoulders belong to left hips.
    middle = (place["l_shoulder"] + place["r_shoulder"]) / 2
    assert np.median(np.linalg.norm(place["neck"] - middle, axis=1)) < 0.06
    same, crossed = (np.linalg.norm(place["l_shoulder"] - place[f"{side}_hip"], axis=1).mean() for side in ("l", "r"))
    assert same < crossed


@needs("coco", "test_coco.json")
@pytest.mark.parametrize("images", [False, True])
def test_the_coco_sample(tmp_path, images):
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for split, folder in {"train": "train2017", "val": "val2017"}.items():
        (annotations / f"person_keypoints_{split}2017.json").symlink_to(DATA / "coco" / "test_coco.json")
        (tmp_path / folder).symlink_to(DATA / "coco")
    # The pictures lie outside the root: links out of it are refused, so the root is where they are.
    content = json.loads((DATA / "coco" / "test_coco.json").read_text())
    options = KeypointsJsonOptions(
        root=str(DATA / "coco"), train="test_coco.json", held_out=0, complete=False, images=images
    )
    batches, counts = read(open_reader(options, 0), "train")
    assert counts["read"] == len(content["annotations"])
    unlabelled = sum(entry["num_keypoints"] == 0 and not entry.get("iscrowd") for entry in content["annotations"])
    assert counts["dropped"].get("no joint annotated", 0) == unlabelled
    assert counts["dropped"].get("crowd", 0) == sum(bool(entry.get("iscrowd")) for entry in content["annotations"])
    assert set(counts["dropped"]) <= {"no joint annotated", "crowd", "smaller than crop.min_side"}
    assert (batches[0].images is not None) == images
    if not images:
        with pytest.raises(Exception, match="expected a path inside"):
            read(open_reader(CocoOptions(root=str(tmp_path), held_out=0), 0), "train")


@needs("pts", "einstein.pts")
def test_genuine_pts_files_in_their_spacings():
    paths = sorted((DATA / "pts").glob("*.pts"))
    assert len(paths) >= 3
    for path in paths:
        points = read_pts(path)
        assert points.shape == (68, 2)
        lines = [line.split() for line in path.read_text().splitlines()]
        numbers = [tuple(map(float, words)) for words in lines if len(words) == 2 and words[0][0].isdigit()]
        np.testing.assert_array_equal(points, numbers)
        left, right = FACE68.index("p45", "p36")
        assert points[left, 0] > points[right, 0]


MPII_JOINTS = ("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "thorax", "upper_neck", "head_top",
               "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist")  # fmt: skip


@needs("mpii", "test_mpii.json")
def test_the_mpii_sample_as_ones_own_data(tmp_path):
    """MPII's list of people, written as keypoints-json, over the pictures that lie beside it."""
    people = json.loads((DATA / "mpii" / "test_mpii.json").read_text())
    images, annotations = [], []
    for number, person in enumerate(people):
        shutil.copy(DATA / "mpii" / person["image"], tmp_path)
        height, width = cv2.imread(str(tmp_path / person["image"])).shape[:2]
        images.append({"id": number, "file_name": person["image"], "width": width, "height": height})
        keypoints = [
            value
            for (x, y), seen in zip(person["joints"], person["joints_vis"], strict=True)
            for value in ((x - 1, y - 1, 2) if seen else (0, 0, 0))
        ]
        annotations.append({"image_id": number, "keypoints": keypoints})
    category = {"id": 1, "keypoints": MPII_JOINTS}
    (tmp_path / "mpii.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    reader = open_reader(
        KeypointsJsonOptions(
            root=str(tmp_path),
            train="mpii.json",
            held_out=0,
            complete=False,
            images=True,
            joints={"head": "head_top", "neck": "thorax"},
        ),
        0,
    )
    batches, counts = read(reader, "train")
    (batch,) = rebatch(batches, len(people))
    assert (counts["read"], counts["kept"], counts["dropped"]) == (5, 5, {})
    assert batch.visibility.sum() > 0.8 * batch.visibility.size
    # Every joint that is annotated lies in the picture, where the file says.
    joints = from_crop(batch.poses.astype(float), batch.crop.astype(float))
    for row, person in enumerate(people):
        seen = batch.visibility[row] > 0
        size = [images[row]["width"], images[row]["height"]]
        assert ((joints[row][seen] > -0.5) & (joints[row][seen] < np.array(size) - 0.5)).all()
        for name, theirs in {"head": "head_top", "l_wrist": "l_wrist", "r_ankle": "r_ankle"}.items():
            place, number = BODY15.index(name)[0], MPII_JOINTS.index(theirs)
            if seen[place]:
                np.testing.assert_allclose(joints[row, place] + 1, person["joints"][number], atol=0.01)
    # The pictures are not black where the people are.
    for row, data in enumerate(batch.images):
        image = decode_image(data)
        places = np.clip(batch.poses[row][batch.visibility[row] > 0] * 128, 0, 127).astype(int)
        assert image[places[:, 1], places[:, 0]].max(axis=1).mean() > 30
