"""Files and folders whose names no original has, and records that share a name."""

import codecs
import json
import resource
import shutil

import cv2
import numpy as np
import pytest
import scipy.io
from raw_formats import FORMATS
from raw_formats.figures import people

from flexpose_core.datasets import open_reader
from flexpose_core.datasets.numbering import number_in
from flexpose_core.errors import DataError


@pytest.fixture
def written(tmp_path):
    """A function that writes a dataset and returns its root."""

    def write(name):
        FORMATS[name].write(tmp_path / name, 0, False)
        return tmp_path / name

    return write


def read(name, root, split="train", **others):
    reader = open_reader(FORMATS[name].options_for(root, **others), 0)
    batches = list(reader.read(split, reader.units(split)))
    counts = reader.counts(split)
    assert counts["kept"] == sum(map(len, batches))
    return batches, counts


def test_numbers_are_digits_that_fit():
    assert [number_in(text) for text in ("0", "007", "2147483647")] == [0, 7, 2**31 - 1]
    wrong = ("", "²", "٣", "-1", "1.0", " 1", "1_0", "2147483648", "9" * 5000)
    assert [number_in(text) for text in wrong] == [None] * len(wrong)
    assert number_in("11", largest=10) is None


@pytest.mark.parametrize("odd", ["²²", "99999999999", "3000000", "9" * 200, "x"])
def test_landmark_files_of_300vw_without_a_frame_number_are_counted(written, odd):
    root = written("300-vw")
    plain, before = read("300-vw", root)
    folder = root / "300VW_Dataset_2015_12_14/001/annot"
    shutil.copy(folder / "000002.pts", folder / f"{odd}.pts")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batches, after = read("300-vw", root)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000
    np.testing.assert_array_equal(batches[0].poses, plain[0].poses)
    reason = "file without a frame number up to 50000"
    assert after["dropped"] == {**before["dropped"], reason: 1}
    assert after["first_dropped"][reason].endswith(f"001/annot/{odd}.pts")


def test_a_frame_of_300vw_in_two_files_is_read_once(written):
    root = written("300-vw")
    plain, before = read("300-vw", root)
    folder = root / "300VW_Dataset_2015_12_14/001/annot"
    text = (folder / "000001.pts").read_text()
    (folder / "1.pts").write_text(text)
    (folder / "0000001.pts").write_text("broken")  # comes first by name, but is not how the original is spelt
    batches, after = read("300-vw", root)
    np.testing.assert_array_equal(batches[0].poses, plain[0].poses)
    assert after["dropped"] == {**before["dropped"], "frame repeated in another file": 2}
    # Alone, another spelling is as good.
    (folder / "000001.pts").unlink()
    (folder / "0000001.pts").unlink()
    np.testing.assert_array_equal(read("300-vw", root)[0][0].poses, plain[0].poses)


def test_folders_of_300vw_are_videos_if_their_names_are_numbers(written):
    root = written("300-vw")
    base = root / "300VW_Dataset_2015_12_14"
    _, before = read("300-vw", root)
    (base / "²").mkdir()
    assert read("300-vw", root)[1] == before
    for odd, named in {"99999999999": "99999999999", "0001": "001"}.items():  # the second is a video twice
        (base / odd).mkdir()
        with pytest.raises(DataError, match=rf"300VW_Dataset_2015_12_14/{named}: expected .* found {named}"):
            read("300-vw", root)
        (base / odd).rmdir()


@pytest.mark.parametrize("odd", ["²²", "99999999999", "007"])
def test_landmark_files_of_simplified_human36m_are_counted_alike(written, odd):
    root = written("simplified-human36m")
    plain, before = read("simplified-human36m", root)
    folder = root / "human_images/S1/Landmarks/Greeting.55011271"
    shutil.copy(folder / "3.mat", folder / f"{odd}.mat")
    batches, after = read("simplified-human36m", root)
    np.testing.assert_array_equal(batches[0].poses, plain[0].poses)
    assert batches[0].frame.tolist() == list(range(1, 12))
    reason = "frame repeated in another file" if odd == "007" else "file without a frame number up to 50000"
    assert after["dropped"] == {**before["dropped"], reason: 1}


def write_npz(root, names):
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    part = np.ones((len(names), 17, 3))
    part[..., :2] = random.uniform(100, 900, (len(names), 17, 2))
    np.savez(root / "h36m_train.npz", part=part, imgname=np.array(names))


def test_subjects_of_the_npz_that_are_no_number_of_32_bits_are_counted(tmp_path):
    names = [f"S{subject}_Walking.54138969_{frame:06d}.jpg" for subject in (1, 99999999999) for frame in (1, 6)]
    write_npz(tmp_path, names)
    batches, counts = read("human36m-npz", tmp_path, test=None)
    assert np.concatenate([batch.subject for batch in batches]).tolist() == [1, 1]
    assert counts["dropped"] == {"subject's number too large": 2}
    assert counts["first_dropped"] == {"subject's number too large": "h36m_train.npz: record 2"}


def test_names_of_the_npz_come_back_as_they_stand(tmp_path):
    names = [
        *("S1_Walking.54138969_000001.jpg", "S1_Walking.54138969_7.jpg", "S1_Walking.54138969_12.jpg"),
        *("S1/a/54138969/000005.png", "S5_Eating.54138969_99999999999.jpg", "no number.jpg", "S6_Posing/frame12"),
    ]
    write_npz(tmp_path, names)
    batches, _ = read("human36m-npz", tmp_path, test=None)
    found = [name for batch in batches for name in batch.source]
    assert sorted(found) == sorted(names)
    assert [batch.frame.tolist() for batch in batches] == [[1, 7, 12], [5], [4], [5], [6]]


def test_every_stride_keeps_its_share_whatever_the_frame_numbers(tmp_path):
    write_npz(tmp_path, [f"S1_Walking.54138969_{frame:06d}.jpg" for frame in range(1, 301, 5)])
    batches, counts = read("human36m-npz", tmp_path, test=None, stride=5)
    assert counts["kept"] == 12
    assert np.concatenate([batch.frame for batch in batches]).tolist() == list(range(1, 301, 25))


def test_views_of_one_performance_are_held_out_together(tmp_path):
    cameras = (54138969, 55011271, 58860488, 60457274)
    sequences = [
        f"S{subject}_{action}" for subject in (1, 5) for action in ("Walking", "Walking_1", "Posing", "Eating")
    ]
    write_npz(tmp_path, [f"{name}.{camera}_{k:06d}.jpg" for name in sequences for camera in cameras for k in (1, 6)])
    joints = people(np.random.default_rng(0), 1, 128, 128)[0]
    landmarks = np.zeros((32, 2))
    landmarks[[15, 13, 0, 17, 18, 19, 6, 7, 8, 25, 26, 27, 1, 2, 3]] = joints[:, ::-1] / 128
    for subject in (1, 5):
        for action in ("Walking", "Walking 1", "Posing", "Waiting"):
            for camera in cameras:
                folder = tmp_path / f"human_images/S{subject}/Landmarks/{action}.{camera}"
                folder.mkdir(parents=True)
                scipy.io.savemat(folder / "1.mat", {"keypoints_2d": landmarks})
    for name, others in {"human36m-npz": {"test": None}, "simplified-human36m": {}}.items():
        performances = []
        for split in ("train", "val"):
            batches, _ = read(name, tmp_path, split, held_out=0.3, **others)
            sources = np.concatenate([batch.source for batch in batches])
            views = {(source.replace(str(int(camera)), "").rsplit("_" if "npz" in name else "/", 1)[0], int(camera))
                     for source, camera in zip(sources, np.concatenate([b.camera for b in batches]), strict=True)}  # fmt: skip
            performances.append({performance for performance, _ in views})
            assert views == {(performance, camera) for performance in performances[-1] for camera in cameras}
        assert [len(part) for part in performances] == [6, 2]
        assert not performances[0] & performances[1]


# ---- annotation files in JSON


def write_json(root, images, annotations):
    root.mkdir(parents=True, exist_ok=True)
    names = ["head", "neck", "pelvis", *(f"{side}_{limb}" for side in "lr" for limb in LIMBS)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "keypoints": names}]}
    (root / "a.json").write_text(json.dumps(content))


LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def of_json(root, split="train", **others):
    return read("keypoints-json", root, split, train="a.json", test=None, joints={}, pictures="", **others)


def annotation(image, **others):
    joints = people(np.random.default_rng(0), 1, 200, 200)[0]
    keypoints = np.concatenate([joints, np.full((15, 1), 2)], axis=1).ravel().tolist()
    return {"image_id": image, "category_id": 1, "keypoints": keypoints, **others}


def test_the_number_1_and_the_text_1_are_two_images(tmp_path):
    images = [{"id": key, "file_name": f"{type(key).__name__}.jpg", "width": 200, "height": 200} for key in (1, "1")]
    write_json(tmp_path, images, [annotation(1), annotation("1")])
    batches, counts = of_json(tmp_path)
    assert np.concatenate([batch.source for batch in batches]).tolist() == ["int.jpg", "str.jpg"]
    assert counts["read"] == counts["kept"] == 2


def test_damaged_and_repeated_images_are_counted_once_over_the_splits(tmp_path):
    images = [{"id": key, "file_name": f"{key}.jpg", "width": 200, "height": 200} for key in range(20)]
    images += [{"id": 3, "file_name": "other.jpg"}, {"file_name": "no id.jpg"}, {"id": 30, "width": -1}]
    annotations = [annotation(key) for key in range(20)] + [annotation(30), {"nothing": 1}]
    write_json(tmp_path, images, annotations)
    total = {}
    for split in ("train", "val"):
        _, counts = of_json(tmp_path, split, held_out=0.2)
        for reason, count in counts["dropped"].items():
            total[reason] = total.get(reason, 0) + count
        total["kept"] = total.get("kept", 0) + counts["kept"]
        if split == "train":
            assert counts["first_dropped"]["repeated id of a picture"] == "a.json: image 20"
            assert counts["first_dropped"]["damaged entry of a picture"] == "a.json: image 21"
    assert total == {
        "kept": 20,
        "repeated id of a picture": 1,
        "damaged entry of a picture": 2,
        "image not listed": 1,
        "damaged annotation": 1,
    }


def test_an_image_that_climbs_out_of_the_root_is_refused_also_where_it_is_not_read(tmp_path):
    write_json(tmp_path, [{"id": 1, "file_name": "../../etc/passwd"}], [annotation(1)])
    with pytest.raises(DataError, match=r"a\.json: images: expected a path inside .*passwd"):
        of_json(tmp_path)


def test_only_pictures_with_a_person_who_can_be_used_are_held_out(tmp_path):
    """Many tools list every frame of a video: which of the few annotated ones are val's must not depend on the others."""
    images = [{"id": key, "file_name": f"{key}.jpg", "width": 200, "height": 200} for key in range(100)]
    people = [annotation(key) for key in range(0, 40, 4)] + [
        {**annotation(5), "iscrowd": True},
        {**annotation(6), "keypoints": None},
    ]
    kept = {}
    for name, listed in (("all", images), ("few", [image for image in images if image["id"] in range(0, 40, 4)])):
        write_json(tmp_path, listed, [one for one in people if one["image_id"] in {image["id"] for image in listed}])
        kept[name] = [len(of_json(tmp_path, split, held_out=0.2)[0][0].poses) for split in ("train", "val")]
        kept[name] += [of_json(tmp_path, "val", held_out=0.2)[0][0].poses.tolist()]
    assert kept["all"] == kept["few"]
    assert kept["all"][:2] == [8, 2]


def test_people_none_of_whose_joints_is_marked_count_for_nothing(tmp_path):
    """Tools write zeros for everybody whom nobody has come to."""
    images = [{"id": key, "file_name": f"{key}.jpg", "width": 200, "height": 200} for key in range(60)]
    zeros = [annotation(key) | {"keypoints": [0] * 45} for key in range(10, 60)]
    write_json(tmp_path, images, [annotation(key) for key in range(10)] + zeros)
    (batch,), counts = of_json(tmp_path, "val", held_out=0.2, complete=False)
    assert len(batch.poses) == counts["read"] == 2
    _, counts = of_json(tmp_path, "train", held_out=0.2, complete=False)
    assert counts["kept"] == 8
    assert counts["dropped"] == {"no joint annotated": 50}


def test_somebody_outside_a_picture_of_unknown_size_is_dropped(tmp_path):
    outside = annotation(1)
    outside["keypoints"][0::3] = [x + 1000 for x in outside["keypoints"][0::3]]
    images = [{"id": key, "file_name": f"{key}.png", "width": None, "height": None} for key in range(2)]
    write_json(tmp_path, images, [annotation(0), outside])
    for key in range(2):
        assert cv2.imwrite(str(tmp_path / f"{key}.png"), np.full((200, 200, 3), 90, np.uint8))
    _, counts = of_json(tmp_path, held_out=0, images=True, complete=False)
    assert (counts["kept"], counts["dropped"]) == (1, {"all joints outside the picture": 1})


def test_null_and_true_stand_where_tools_write_them(tmp_path):
    """No size, no flag of a crowd, no place for a joint that is not marked; and a mark of Windows before the text."""
    whole = annotation(0)
    lacking = {**annotation(1), "iscrowd": None, "keypoints": [None, None, 0, *annotation(1)["keypoints"][3:]]}
    images = [{"id": key, "file_name": f"{key}.jpg", "width": None, "height": None} for key in range(3)]
    write_json(tmp_path, images, [whole, lacking, {**annotation(2), "iscrowd": True}])
    (tmp_path / "a.json").write_bytes(codecs.BOM_UTF8 + (tmp_path / "a.json").read_bytes())
    batches, counts = of_json(tmp_path, held_out=0, complete=False)
    assert counts["dropped"] == {"crowd": 1}
    visible = np.concatenate([batch.visibility for batch in batches])
    assert sorted(visible.sum(axis=1).tolist()) == [14, 15]


def test_a_picture_turned_by_its_exif_is_told_from_a_wrong_one(tmp_path):
    """OpenCV turns pictures as their EXIF asks; a file that states the sizes before that states its joints so, too."""
    images = [{"id": key, "file_name": f"{key}.png", "width": 200, "height": 120 + 80 * (key == 2)} for key in range(3)]
    write_json(tmp_path, images, [annotation(key) for key in range(3)])
    for key, (height, width) in enumerate([(200, 120), (100, 150), (200, 200)]):
        assert cv2.imwrite(str(tmp_path / f"{key}.png"), np.full((height, width, 3), 90, np.uint8))
    _, counts = of_json(tmp_path, held_out=0, images=True, complete=False)
    assert counts["kept"] == 1
    assert counts["dropped"] == {"picture turned by its EXIF orientation": 1, "picture of another size than stated": 1}


# ---- joints outside pictures whose size no annotation states


@pytest.mark.parametrize("name", ["lsp-extended", "300-vw", "wflw"])
def test_joints_outside_the_true_picture_are_dropped(name, tmp_path):
    import cv2

    FORMATS[name].write(tmp_path, 0, True)
    _, before = read(name, tmp_path, images=True)
    assert "joints outside the picture" not in before["dropped"]
    if name == "300-vw":
        path = tmp_path / "300VW_Dataset_2015_12_14/001/vid.avi"
        video = cv2.VideoCapture(str(path))
        frames = [video.read()[1][:, :100] for _ in range(6)]
        out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (100, 160))
        for frame in frames:
            out.write(frame)
        out.release()
    else:
        path = min(tmp_path.rglob("train_*.jpg" if name == "wflw" else "im*.jpg"))
        cv2.imwrite(str(path), cv2.imread(str(path))[:, :75])
    _, after = read(name, tmp_path, images=True)
    assert after["dropped"]["joints outside the picture"] == (6 if name == "300-vw" else 1)
    batches, counts = read(name, tmp_path, images=True, complete=False)
    assert counts["kept"] > after["kept"]
    assert min(batch.visibility.min() for batch in batches) == 0
