"""Found joints as an annotation file: what reads it finds the poses where they were found."""

import json

import numpy as np
import pytest
from test_chosen_poses import caches, trained  # noqa: F401 - fixtures
from test_readers import read
from test_still_cameras import EACH, read_as, root  # noqa: F401 - a fixture

from flexpose_core.datasets.options import KeypointsJsonOptions, SquareOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.find_poses import find_poses
from flexpose_core.stages.found_keypoints import main


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


def test_drawn_people_are_in_no_picture(trained, tmp_path, capsys):  # noqa: F811
    find_poses("cpu", *trained, tmp_path / "found.h5", tmp_path / "found.png", 0)
    assert main([str(tmp_path / "found.h5"), str(tmp_path / "found.json")]) == 1
    assert "found.h5: expected poses that were cut out of pictures" in capsys.readouterr().err
    assert not (tmp_path / "found.json").exists()
