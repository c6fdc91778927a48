"""Found joints as an annotation file: what reads it finds the poses where they were found."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from test_chosen_poses import caches, trained  # noqa: F401 - fixtures
from test_readers import read
from test_still_cameras import EACH, read_as, root  # noqa: F401 - a fixture

from flexpose_core.datasets.options import KeypointsJsonOptions, LimitOptions, SquareOptions
from flexpose_core.files import write_json
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import predict
from flexpose_core.stages.convert import convert
from flexpose_core.stages.find_poses import find_poses
from flexpose_core.stages.found_keypoints import main
from flexpose_core.stages.reporting import state_origin


@pytest.fixture
def found(root, trained, tmp_path_factory):  # noqa: F811
    """What a detector finds in pictures of two people of one name each, and the pictures' cache."""
    folder = tmp_path_factory.mktemp("found")
    write_cache(folder / "train.h5", [read_as(root[0], True)], BODY15, {})
    find_poses("cpu", trained[0], folder / "train.h5", folder / "found.h5", folder / "found.png", 0)
    return folder / "found.h5", folder / "train.h5"


def test_each_pose_is_found_again_in_its_picture(root, found, tmp_path, capsys):  # noqa: F811
    poses, shown = (load_cache(path) for path in found)
    count = 2 * EACH + 4
    np.testing.assert_array_equal(poses.crop, shown.crop)
    assert main([str(found[0]), str(tmp_path / "found.json")]) == 0
    assert f"{count} people in {count} pictures" in capsys.readouterr().out
    (root[0] / "found.json").write_text((tmp_path / "found.json").read_text())
    # Joints may have been found outside the picture, whose size the file does not state.
    options = KeypointsJsonOptions(
        root=str(root[0]), train="found.json", held_out=0.0, crop=SquareOptions(min_side=1e-3)
    )
    (batch,), counts = read(options, "train")
    assert counts["kept"] == count
    assert [str(name) for name in batch.source] == [str(name) for name in poses.source[np.arange(count)]]
    corner, size = batch.crop[:, None, :2], batch.crop[:, None, 2:]
    before = poses.poses * poses.crop[:, None, 2:] + poses.crop[:, None, :2]
    np.testing.assert_allclose(batch.poses * size + corner, before, atol=0.01)


def test_people_of_one_picture_share_it(found, tmp_path):
    poses = load_cache(found[0])
    rows = np.array([3, 3, 5])
    names = ("poses", "visibility", "clip", "subject", "camera", "sequence", "frame", "crop", "source")
    write_cache(tmp_path / "a.h5", [PoseBatch(**{name: getattr(poses, name)[rows] for name in names})], BODY15, {})
    assert main([str(tmp_path / "a.h5"), str(tmp_path / "a.json")]) == 0
    content = json.loads((tmp_path / "a.json").read_text())
    assert [one["image_id"] for one in content["annotations"]] == [1, 1, 2]
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3]
    assert [image["file_name"] for image in content["images"]] == [str(name) for name in poses.source[rows[1:]]]
    assert content["annotations"][2]["keypoints"][2::3] == [2] * 15
    # Cut out by these boxes, people are where they are by their joints: COCO's boxes count from the corner of a pixel.
    for one in content["annotations"]:
        joints = np.reshape(one["keypoints"], (15, 3))[:, :2]
        x, y, width, height = one["bbox"]
        np.testing.assert_allclose([x, y], joints.min(axis=0) + 0.5, atol=0.01)
        np.testing.assert_allclose([x + width, y + height], joints.max(axis=0) + 0.5, atol=0.02)
        assert one["area"] == pytest.approx(width * height, rel=1e-3)
        assert one["iscrowd"] == 0


def test_drawn_people_are_in_no_picture(trained, tmp_path, capsys):  # noqa: F811
    find_poses("cpu", *trained, tmp_path / "found.h5", tmp_path / "found.png", 0)
    assert main([str(tmp_path / "found.h5"), str(tmp_path / "found.json")]) == 1
    assert "found.h5: expected poses that were cut out of pictures" in capsys.readouterr().err
    assert not (tmp_path / "found.json").exists()


def test_found_people_have_the_ids_of_the_file_they_were_read_from(root, found, tmp_path, capsys):  # noqa: F811
    before = json.loads((root[0] / "a.json").read_text())
    names = {image["id"]: image for image in before["images"]}
    assert main([str(found[0]), str(tmp_path / "found.json"), "--like", str(root[0] / "a.json")]) == 0
    content = json.loads((tmp_path / "found.json").read_text())
    assert sorted(image["id"] for image in content["images"]) == sorted(names)
    assert all(names[image["id"]] == image for image in content["images"])
    of = {annotation["id"]: annotation["image_id"] for annotation in before["annotations"]}
    assert {one["id"]: one["image_id"] for one in content["annotations"]} == of
    capsys.readouterr()
    assert main([str(found[0]), str(tmp_path / "x.json"), "--like", str(root[0] / "test.json")]) == 1
    assert "test.json: expected the file that people were read from, found another picture" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
    # A damaged entry in the place of one that was read.
    before["annotations"][0]["image_id"] = [1]
    (tmp_path / "odd.json").write_text(json.dumps(before))
    assert main([str(found[0]), str(tmp_path / "x.json"), "--like", str(tmp_path / "odd.json")]) == 1
    assert "odd.json: expected the file that people were read from" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["/", "./", "../frames/"])
def test_odd_entries_of_the_file_are_taken_as_the_reader_takes_them(root, found, tmp_path, start):  # noqa: F811
    """Paths written otherwise, an entry without an id, and one whose id was there before."""
    content = json.loads((root[0] / "a.json").read_text())
    for image in content["images"]:
        image["file_name"] = start + image["file_name"]
    content["images"] += [{"file_name": "none.png"}, content["images"][0] | {"file_name": "other.png"}]
    (tmp_path / "like.json").write_text(json.dumps(content))
    assert main([str(found[0]), str(tmp_path / "found.json"), "--like", str(tmp_path / "like.json")]) == 0
    made = json.loads((tmp_path / "found.json").read_text())
    assert {image["id"]: image for image in made["images"]} == {image["id"]: image for image in content["images"][:-2]}


def test_a_detector_finds_people_of_other_pictures_by_two_marked_joints(root, trained, tmp_path, capsys):  # noqa: F811
    """New pictures, one of them missing, whose file has a mark before its text, sizes that are null, and ids of its own."""
    content = json.loads((root[0] / "a.json").read_text())
    content["images"], content["annotations"] = content["images"][:6], content["annotations"][:6]
    for place, (image, annotation) in enumerate(zip(content["images"], content["annotations"], strict=True)):
        image |= {"id": f"p{place}", "width": None, "height": None}
        marked = np.zeros((15, 3))
        rows = [BODY15.joints.index(name) for name in ("head", "l_ankle")]
        marked[rows] = np.reshape(annotation["keypoints"], (15, 3))[rows]
        annotation |= {
            "id": 70 + place,
            "image_id": f"p{place}",
            "iscrowd": False,
            "keypoints": marked.ravel().tolist(),
        }
        annotation["keypoints"][3] = None
    content["images"][5]["file_name"] = "left/none.png"
    (root[0] / "new.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    command = [str(trained[0]), str(root[0]), "new.json", str(tmp_path / "out.json"), "--set", "pictures=frames"]
    assert predict.main([*command, "--set", "still_cameras=true", "--picture", str(tmp_path / "p.png")]) == 0
    said = capsys.readouterr().out
    assert "out.json: 5 of 6 people" in said
    assert "1 dropped: picture missing or unreadable" in said
    made = json.loads((tmp_path / "out.json").read_text())
    assert [one["id"] for one in made["annotations"]] == [70, 72, 74, 71, 73]  # folder by folder
    assert made["images"] == [content["images"][place] for place in (0, 2, 4, 1, 3)]
    joints = np.array([one["keypoints"] for one in made["annotations"]]).reshape(-1, 15, 3)
    assert np.isfinite(joints).all()
    assert (tmp_path / "p.png").is_file()
    odd = root[0] / "new: [1] #2 \U0001f600.json"
    (root[0] / "new.json").rename(odd)
    assert predict.main([*command[:2], odd.name, *command[3:]]) == 0
    assert "5 of 6 people" in capsys.readouterr().out
    for annotation in content["annotations"]:
        annotation["keypoints"] = [0] * 45
    odd.write_text(json.dumps(content))
    assert predict.main([*command[:2], odd.name, *command[3:]]) == 1
    assert "expected at least one pose, found none: 6 dropped: no joint annotated" in capsys.readouterr().err
    assert predict.main([*command, "--set", "pictured=frames"]) == 1
    assert "ConfigError" in capsys.readouterr().err
    (tmp_path / "w.safetensors").write_bytes(b"none")
    assert predict.main([str(tmp_path / "w.safetensors"), *command[1:]]) == 1
    assert "w.safetensors" in capsys.readouterr().err


def test_new_pictures_are_read_as_those_of_the_card(root, trained, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Joints under names of one's own, and too few pictures of a camera to know what stands behind people."""
    folder = root[0]
    content = json.loads((folder / "a.json").read_text())
    content["categories"][0]["keypoints"][0] = "top_of_head"
    (folder / "mine.json").write_text(json.dumps(content))
    content["images"], content["annotations"] = content["images"][:3:2], content["annotations"][:3:2]
    (folder / "later.json").write_text(json.dumps(content))
    names = {"train": "mine.json", "pictures": "frames", "joints": {"head": ("top_of_head",)}}
    options = KeypointsJsonOptions(root=folder, still_cameras=True, images=True, limit=LimitOptions(test=1), **names)
    card = tmp_path / "card.json"
    convert("mine", options, "train", 0, tmp_path / "mine.h5", card)
    state_origin(card, "", {"options": msgspec.to_builtins(options, enc_hook=str)}, 0)
    behind = []

    def look(device, detector, cache, *others, **more):
        behind.append(load_cache(cache, images=True).backgrounds[:].astype(float))
        find_poses(device, detector, cache, *others, **more)

    monkeypatch.setattr(predict, "find_poses", look)
    command = [str(trained[0]), str(folder), "later.json", str(tmp_path / "out.json")]
    plain = ["--set", "pictures=frames", "--set", "still_cameras=true"]
    # Without the names nothing is known of the head.
    assert predict.main([*command, *plain]) == 1
    assert "expected keypoints for 'head' (options: joints)" in capsys.readouterr().err
    assert predict.main([*command, *plain, "--set", "joints={head: top_of_head}"]) == 0
    assert predict.main([*command, "--card", str(card)]) == 0
    assert "2 of 2 people" in capsys.readouterr().out
    # Two pictures of the camera tell nothing, and what they are given is of one colour; with the others there is its scene.
    assert behind[0].std((1, 2)).max() == 0
    assert behind[1].std((1, 2)).min() > 5
    assert len(json.loads((tmp_path / "out.json").read_text())["annotations"]) == 2
    # The training pictures themselves are no second split.
    assert predict.main([*command[:2], "./mine.json", *command[3:], "--card", str(card)]) == 0
    count = 2 * EACH + 4
    assert f"{count} of {count} people" in capsys.readouterr().out
    del behind[2]
    # Of another folder than the card's the names are the same, but there are no other pictures.
    shutil.copytree(folder, tmp_path / "moved")
    assert predict.main([command[0], str(tmp_path / "moved"), *command[2:], "--card", str(card)]) == 0
    assert behind[2].std((1, 2)).max() == 0
    # What is set is in the place of what the card says.
    assert predict.main([*command, "--card", str(card), "--set", "pictures=none"]) == 1
    assert "DataError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "expected the card of a dataset, with its origin, found none"),
        ({"origin": {"options": {"options": None}}}, "expected the card of a dataset, with its origin, found none"),
        (
            {"origin": {"options": {"options": {"reader": "lsp"}}}},
            "expected a dataset of the reader keypoints-json, found",
        ),
    ],
)
def test_a_card_of_something_else_is_refused(trained, tmp_path, capsys, content, said):  # noqa: F811
    write_json(tmp_path / "card.json", content)
    command = [str(trained[0]), str(tmp_path), "new.json", str(tmp_path / "out.json")]
    assert predict.main([*command, "--card", str(tmp_path / "card.json")]) == 1
    assert f"card.json: {said}" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
