"""Every reader on genuine-format files: known joints → raw file → reader → the same joints, and each format's traps."""

import numpy as np
import pytest
from raw_formats import FORMATS
from raw_formats.ids import ids_of
from test_grid import raw_config

from flexpose_core.datasets import READERS, open_reader
from flexpose_core.datasets.catalogue import CATALOGUE
from flexpose_core.datasets.crops import from_crop
from flexpose_core.datasets.options import skeleton_of
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.options.config import load_config
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import BODY15, FACE68

VIDEOS = {"penn-action", "mpi-inf-3dhp", "surreal", "human36m", "human36m-npz", "simplified-human36m", "300-vw"}
TOLERANCE = 1e-3  # pixels, in pictures of up to 2,048: crops and poses are kept in float32


@pytest.fixture(scope="module", params=FORMATS)
def tree(request, tmp_path_factory):
    """A dataset's name, its root with pictures, and the joints that its splits hold."""
    root = tmp_path_factory.mktemp(request.param)
    return request.param, root, FORMATS[request.param].write(root, 3, True)


def read(options, split, units=None):
    reader = open_reader(options, 0)
    batches = list(reader.read(split, reader.units(split) if units is None else units))
    return batches, reader.counts(split)


def joints_of(batches):
    """Joints in pixels of the original, NaN where they are not annotated."""
    poses, crops = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("poses", "crop"))
    visible = np.concatenate([batch.visibility for batch in batches])
    return np.where(visible[..., None] > 0, from_crop(poses.astype(np.float64), crops), np.nan)


def test_every_reader_has_a_fixture_and_an_entry():
    assert set(FORMATS) == set(READERS) - {"people", "faces"} == set(CATALOGUE)


def test_round_trip(tree):
    name, root, expected = tree
    for split, joints in expected.items():
        batches, counts = read(FORMATS[name].options_for(root, complete=False), split)
        np.testing.assert_allclose(joints_of(batches), joints, atol=TOLERANCE)
        assert counts["kept"] == len(joints)
        assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
        whole = np.isfinite(joints).all(axis=(1, 2))
        batches, counts = read(FORMATS[name].options_for(root), split)
        np.testing.assert_allclose(joints_of(batches), joints[whole], atol=TOLERANCE)
        assert counts["dropped"].get("joints not annotated", 0) == (~whole).sum()
        expected_ids = [ids for ids, kept in zip(ids_of(name, root, split), whole, strict=True) if kept]
        columns = ("clip", "subject", "camera", "frame", "source")
        found = [np.concatenate([getattr(batch, column) for batch in batches]).tolist() for column in columns]
        assert list(zip(*found, strict=True)) == expected_ids


def test_options_tell_the_skeleton(tree):
    name, root, _ = tree
    options = FORMATS[name].options_for(root)
    assert skeleton_of(options) == open_reader(options, 0).skeleton.name


@pytest.mark.parametrize("name", ["people-upright", "faces-wild"])
def test_options_of_drawn_datasets_tell_the_skeleton(name):
    options = load_config(raw_config()).datasets[name]
    assert skeleton_of(options) == open_reader(options, 0).skeleton.name


def test_a_person_facing_the_camera_has_the_left_at_larger_x(tree):
    name, root, _ = tree
    batches, _ = read(FORMATS[name].options_for(root), "train")
    poses = np.concatenate([batch.poses for batch in batches])
    skeleton = open_reader(FORMATS[name].options_for(root), 0).skeleton
    pairs = (
        [("l_shoulder", "r_shoulder"), ("l_hip", "r_hip")] if skeleton is BODY15 else [("p45", "p36"), ("p26", "p17")]
    )
    for left, right in pairs:
        a, b = skeleton.index(left, right)
        assert (poses[:, a, 0] > poses[:, b, 0]).all()


def test_pictures_show_the_joints_where_the_poses_say(tree):
    """The fixtures' pictures have a bright dot on each joint: bright at the joints, grey elsewhere."""
    name, root, _ = tree
    limits = {"stride": 3} if name == "mpi-inf-3dhp" else {}
    if name == "simplified-human36m":
        limits = {"masked": True}
    options = FORMATS[name].options_for(root, images=True, image_format="png", **limits)
    units = {"mpi-inf-3dhp": ["S1/Seq1/annot.mat"]}.get(name)
    batches, counts = read(options, "train", units)
    assert not counts["dropped"].get("picture missing or unreadable", 0)
    assert not counts["dropped"].get("picture of another size than stated", 0)
    images = [decode_image(data) for batch in batches for data in batch.images]
    poses = np.concatenate([batch.poses for batch in batches])
    assert len(images) == counts["kept"] > 0
    shown = []
    for image, pose in zip(images, poses, strict=True):
        x, y = np.clip(np.round(pose * 128 - 0.5).astype(int), 0, 127).T
        shown.append(image[y, x].mean())
    assert np.mean(shown) > np.mean([image.mean() for image in images]) + 60
    behind = decode_image(batches[0].backgrounds[0])
    assert behind.shape == (128, 128, 3)


def test_validation_is_held_out_of_training_by_whole_sequences(tree):
    name, root, expected = tree
    whole, _ = read(FORMATS[name].options_for(root), "train")
    held = FORMATS[name].options_for(root, held_out=0.4)
    parts = [read(held, split)[0] for split in ("train", "val")]
    if name == "surreal":  # which has a val split of its own
        np.testing.assert_allclose(joints_of(parts[1]), expected["val"], atol=TOLERANCE)
        return
    count = [sum(map(len, batches)) for batches in parts]
    assert min(count) > 0
    assert sum(count) == sum(map(len, whole))
    if name in ("penn-action", "simplified-human36m"):  # whose sequences are numbered in each split
        parts_of = [{source.rpartition("/")[0] for batch in batches for source in batch.source} for batches in parts]
        assert not parts_of[0] & parts_of[1]
    elif name in VIDEOS - {"human36m"}:  # see test_readers_video.py
        numbers = [{number for batch in batches for number in batch.sequence.tolist()} for batches in parts]
        assert not numbers[0] & numbers[1]
    both = np.concatenate([joints_of(part) for part in parts])
    everything = joints_of(whole)
    order = [np.lexsort(joints.reshape(len(joints), -1).T[::-1]) for joints in (both, everything)]
    np.testing.assert_allclose(both[order[0]], everything[order[1]], atol=TOLERANCE)


def test_units_read_apart_are_units_read_together(tree):
    name, root, _ = tree
    options = FORMATS[name].options_for(root)
    reader = open_reader(options, 0)
    units = reader.units("train")
    together, _ = read(options, "train")
    apart = [batch for unit in reversed(units) for batch in read(options, "train", [unit])[0]]
    columns = [
        {
            (int(s), int(f)): pose
            for batch in batches
            for s, f, pose in zip(batch.sequence, batch.frame, batch.poses, strict=True)
        }
        for batches in (together, apart)
    ]
    assert columns[0].keys() == columns[1].keys()
    assert len(columns[0]) == sum(map(len, together))  # (sequence, frame) names a pose
    for key, pose in columns[0].items():
        np.testing.assert_array_equal(pose, columns[1][key])


def test_an_empty_root_is_named(tree, tmp_path):
    name, *_ = tree
    with pytest.raises(DataError) as caught:
        read(FORMATS[name].options_for(tmp_path), "train")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_split_is_named(tree):
    name, root, _ = tree
    with pytest.raises(ConfigError, match=r"expected a split among train, val.*found 'dev'"):
        read(FORMATS[name].options_for(root), "dev")


# ---- the traps of single formats


def counts_of(name, root, split="train", **others):
    return read(FORMATS[name].options_for(root, **others), split)[1]["dropped"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    made = {}

    def root(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("bare")
            FORMATS[name].write(made[name], 5, False)
        return made[name]

    return root


def test_what_is_dropped_says_why(roots):
    assert counts_of("coco", roots("coco")) == {"crowd": 1, "no joint annotated": 1, "joints not annotated": 2}
    assert counts_of("lsp-extended", roots("lsp-extended")) == {"joints not annotated": 2}
    assert counts_of("penn-action", roots("penn-action")) == {"joints not annotated": 2}
    # S8/Seq2: six annotations beyond its pictures from each of two cameras; a joint missing from S1/Seq1.
    assert counts_of("mpi-inf-3dhp", roots("mpi-inf-3dhp")) == {"coordinates missing": 2, "beyond the pictures": 12}
    assert counts_of("mpi-inf-3dhp", roots("mpi-inf-3dhp"), "test") == {"frame not valid": 4}
    assert counts_of("surreal", roots("surreal")) == {"person not rendered": 4}
    assert counts_of("human36m", roots("human36m")) == {"coordinates missing": 1}
    assert counts_of("simplified-human36m", roots("simplified-human36m")) == {"coordinates missing": 1}
    assert counts_of("300-vw", roots("300-vw")) == {"landmark file broken": 1, "frame without landmarks": 1}
    assert counts_of("wflw", roots("wflw")) == {"line broken": 1}


def test_3dhp_mislabelled_rows_are_exchanged_back(tmp_path):
    import scipy.io
    from raw_formats.figures import people
    from raw_formats.mocap import TRAIN_3DHP, _raw

    random = np.random.default_rng(0)
    joints = people(random, 5900, 2048, 2048)
    wrong = joints.copy()
    left, right = np.arange(3, 9), np.arange(9, 15)
    wrong[3759:5853, left], wrong[3759:5853, right] = joints[3759:5853, right], joints[3759:5853, left]
    cells = np.empty((14, 1), object)
    for camera in range(14):
        cells[camera, 0] = _raw(wrong if camera == 8 else wrong[:10], TRAIN_3DHP, random).reshape(-1, 56)
    folder = tmp_path / "S4/Seq2"
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "annot.mat", {"annot2": cells})
    batches, _ = read(FORMATS["mpi-inf-3dhp"].options_for(tmp_path, cameras=(8,)), "train")
    np.testing.assert_allclose(joints_of(batches), joints, atol=TOLERANCE)


def test_3dhp_has_two_heads_to_choose_from(roots):
    root = roots("mpi-inf-3dhp")
    top, base = (read(FORMATS["mpi-inf-3dhp"].options_for(root, head=head), "test")[0] for head in ("head_top", "head"))
    assert np.abs(joints_of(top)[:, 0] - joints_of(base)[:, 0]).max() > 1
    np.testing.assert_allclose(joints_of(top)[:, 1:], joints_of(base)[:, 1:], atol=TOLERANCE)


def test_human36m_actions_are_compared_whole_and_by_one_name(roots):
    reader = open_reader(FORMATS["human36m"].options_for(roots("human36m"), actions=("Walking", "Photo")), 0)
    assert [unit.rpartition("/")[2] for unit in reader.units("train")] == [
        "TakingPhoto.55011271.cdf",
        "Walking.60457274.cdf",
        "Photo 1.54138969.cdf",
    ]
    batches = list(reader.read("train", reader.units("train")))
    assert {clip for batch in batches for clip in batch.clip} == {"Photo", "Walking"}
    reader = open_reader(FORMATS["human36m"].options_for(roots("human36m"), actions=("Sitting",)), 0)
    assert len(reader.units("test")) == 1


@pytest.mark.parametrize(
    ("name", "option"), [("human36m", "actions"), ("penn-action", "actions"), ("simplified-human36m", "activities")]
)
def test_an_action_that_there_is_nothing_of_is_named(roots, name, option):
    reader = open_reader(FORMATS[name].options_for(roots(name), **{option: ("Wlaking",)}), 0)
    with pytest.raises(ConfigError, match=rf"{name}: {option}: expected some of \w.*, found Wlaking"):
        reader.units("train")


def test_human36m_cameras_are_chosen(roots):
    reader = open_reader(FORMATS["human36m"].options_for(roots("human36m"), cameras=(54138969,)), 0)
    assert len(reader.units("train")) == 2
    with pytest.raises(ConfigError, match=r"cameras: expected some of 54138969, .* found 7"):
        open_reader(FORMATS["human36m"].options_for(roots("human36m"), cameras=(7,)), 0)


def test_simplified_frames_follow_one_another_by_number(roots):
    batches, _ = read(FORMATS["simplified-human36m"].options_for(roots("simplified-human36m")), "test")
    assert batches[0].frame.tolist() == list(range(1, 12))


def test_300vw_test_categories(roots):
    for categories, videos in {(1,): {114}, (3,): {410}, (1, 2, 3): {114, 410}}.items():
        batches, _ = read(FORMATS["300-vw"].options_for(roots("300-vw"), categories=categories), "test")
        assert {int(number) for batch in batches for number in batch.sequence} == videos


def test_wflw_faces_of_one_picture_stay_together(roots):
    for share in (0.1, 0.3, 0.5, 0.7):
        batches, _ = read(FORMATS["wflw"].options_for(roots("wflw"), held_out=share), "val")
        rows = {int(row) for batch in batches for row in batch.frame}
        assert (4 in rows) == (5 in rows)


def test_wflw_short_lists_are_read_too(roots, tmp_path):
    text = (roots("wflw") / "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt").read_text()
    short = [" ".join([*line.split()[:196], line.split()[-1]]) for line in text.splitlines()]
    (tmp_path / "WFLW_annotations/list_98pt_test").mkdir(parents=True)
    (tmp_path / "WFLW_annotations/list_98pt_test/list_98pt_test.txt").write_text("\n".join(short))
    ours, long = (read(FORMATS["wflw"].options_for(root), "test")[0] for root in (tmp_path, roots("wflw")))
    np.testing.assert_array_equal(joints_of(ours), joints_of(long))


def test_wflw_selection_commutes_with_mirroring():
    """By WFLW's own mirror table, pairs of the 98 that trade places."""
    from flexpose_core.datasets.wflw import TO_IBUG

    mirror = np.arange(98)
    runs = [(range(33), range(32, -1, -1)), (range(33, 38), range(46, 41, -1)), (range(38, 42), range(50, 46, -1))]
    runs += [
        (range(55, 60), range(59, 54, -1)),
        (range(60, 65), range(72, 67, -1)),
        ((65, 66, 67), (75, 74, 73)),
        ((96,), (97,)),
    ]
    runs += [(range(76, 83), range(82, 75, -1)), (range(83, 88), range(87, 82, -1)), (range(88, 93), range(92, 87, -1))]
    runs += [((93, 94, 95), (95, 94, 93))]
    for one, other in runs:
        for a, b in zip(one, other, strict=True):
            mirror[a], mirror[b] = b, a
    np.testing.assert_array_equal(mirror[mirror], np.arange(98))
    selected = np.array(TO_IBUG)
    np.testing.assert_array_equal(mirror[selected], selected[FACE68.flip_permutation])


def test_own_joints_that_cannot_be_found_are_named(roots):
    root = roots("keypoints-json")
    with pytest.raises(
        DataError,
        match=r"train\.json: categories: expected keypoints for 'neck', which joints has as 'collar', .* found r_ankle",
    ):
        read(FORMATS["keypoints-json"].options_for(root, joints={"neck": "collar"}), "train")
    with pytest.raises(ConfigError, match=r"expected names among head, neck.*found 'tail'"):
        open_reader(FORMATS["keypoints-json"].options_for(root, joints={"tail": "tail"}), 0)


def test_own_neck_and_pelvis_are_derived_where_the_file_has_none(roots):
    batches, _ = read(FORMATS["keypoints-json"].options_for(roots("keypoints-json"), joints={}), "train")
    joints = joints_of(batches)
    place = {name: joints[:, index] for index, name in enumerate(BODY15.joints)}
    shoulders, hips = ((place[f"l_{part}"] + place[f"r_{part}"]) / 2 for part in ("shoulder", "hip"))
    np.testing.assert_allclose(place["pelvis"], hips, atol=TOLERANCE)
    np.testing.assert_allclose(place["neck"], shoulders + 0.185 * (shoulders - hips), atol=TOLERANCE)
