"""Raw readers of the motion capture sets against the joint places that the formats are documented by.

Raw joint k stands at a point that tells k, the frame and the camera, so that a joint taken from a wrong place shows. The maps are
numbers here, as the formats are described, and names in the readers.
"""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from cdflib.cdfwrite import CDF

from flexpose_core.datasets import cdf
from flexpose_core.datasets.human36m import Human36mReader
from flexpose_core.datasets.human36m_npz import Human36mNpzReader
from flexpose_core.datasets.mpi_inf_3dhp import TRAINING_FRAMES, Mpi3dhpReader
from flexpose_core.datasets.options import (
    Human36mNpzOptions,
    Human36mOptions,
    Mpi3dhpOptions,
    SimplifiedHuman36mOptions,
    SurrealOptions,
)
from flexpose_core.datasets.simplified_human36m import SimplifiedHuman36mReader
from flexpose_core.datasets.surreal import SurrealReader
from flexpose_core.errors import DataError
from flexpose_core.skeletons import BODY15

# Head, neck, pelvis; left shoulder, elbow, wrist, hip, knee, ankle; right the same.
MAP_3DHP = (7, 5, 4, 9, 10, 11, 18, 19, 20, 14, 15, 16, 23, 24, 25)
MAP_3DHP_TEST = (0, 1, 14, 5, 6, 7, 11, 12, 13, 2, 3, 4, 8, 9, 10)
MAP_32 = (15, 13, 0, 17, 18, 19, 6, 7, 8, 25, 26, 27, 1, 2, 3)
MAP_17 = (10, 8, 0, 11, 12, 13, 4, 5, 6, 14, 15, 16, 1, 2, 3)
# Limbs alone, labels exchanged; the trunk is derived.
LIMBS_SURREAL = (17, 19, 21, 2, 5, 8, 16, 18, 20, 1, 4, 7)
CAMERAS = (54138969, 55011271, 58860488, 60457274)
EXACT = 1e-9


def telling(frames, joints, camera=0):
    """Points (frames, joints, 2), no two alike."""
    frame, joint = np.meshgrid(np.arange(frames), np.arange(joints), indexing="ij")
    return np.stack([10.0 * joint + camera + 1, 300 + joint + 0.25 * frame], axis=-1)


def read(reader, split="train"):
    return [batch for unit in reader.units(split) for batch in reader.read(split, unit)]


def saved(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, content)


def whole(root, options, **others):
    return options(root=str(root), held_out=0.0, **others)


# ---- MPI-INF-3DHP


def write_3dhp(root, frames, sequence="S1/Seq1", change=lambda points: points):
    cells = np.empty((14, 1), object)
    for camera in range(14):
        cells[camera, 0] = change(telling(frames, 28, camera)).reshape(frames, 56)
    saved(root / sequence / "annot.mat", annot2=cells, cameras=np.arange(14)[None])


def test_3dhp_joints_and_cameras(tmp_path):
    write_3dhp(tmp_path, 4)
    batches = read(Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions, cameras=(0, 7, 13))))
    assert [set(batch.camera.tolist()) for batch in batches] == [{0}, {7}, {13}]
    for batch, camera in zip(batches, (0, 7, 13), strict=True):
        np.testing.assert_allclose(batch.joints, telling(4, 28, camera)[:, MAP_3DHP], atol=EXACT)
        assert batch.frame.tolist() == [0, 1, 2, 3]
    assert len({int(number) for batch in batches for number in batch.sequence}) == 3


def test_3dhp_lengths_are_the_published_ones():
    assert len(TRAINING_FRAMES) == 16
    assert sum(TRAINING_FRAMES.values()) == 131_592


@pytest.mark.parametrize(("camera", "expected"), [(0, "video_0.avi"), (8, "video_8.avi")])
def test_3dhp_pictures_are_the_frames_of_the_cameras_video(tmp_path, camera, expected):
    write_3dhp(tmp_path, 3, "S2/Seq2", lambda points: np.where(np.arange(3)[:, None, None] == 1, np.nan, points))
    (batch,) = read(Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions, cameras=(camera,), images=True)))
    assert {picture.path for picture in batch.pictures} == {tmp_path / "S2/Seq2/imageSequence" / expected}
    assert [picture.frame for picture in batch.pictures] == [0, 2]  # the lost frame moves no other
    assert [(drop.count, drop.first) for drop in batch.dropped] == [(1, "S2/Seq2/annot.mat: record 1")]


def test_3dhp_sides_are_exchanged_from_row_3759_to_row_5852_of_one_sequence_alone(tmp_path):
    write_3dhp(tmp_path, 5856, "S4/Seq2")
    write_3dhp(tmp_path, 5856, "S4/Seq1")
    options = whole(tmp_path, Mpi3dhpOptions, cameras=(1,))
    other, wrong = read(Mpi3dhpReader(options))
    right = telling(5856, 28, 1)[:, MAP_3DHP]
    np.testing.assert_allclose(other.joints, right, atol=EXACT)
    moved = np.flatnonzero((wrong.joints != right).any(axis=(1, 2)))
    assert moved.tolist() == list(range(3759, 5853))
    np.testing.assert_allclose(wrong.joints[moved], right[moved][:, BODY15.flip_permutation], atol=EXACT)


@pytest.mark.parametrize("column", [True, False])
def test_3dhp_test_rows_are_pictures_counted_from_one(tmp_path, column):
    sizes = {}
    for subject in (4, 5):
        folder = tmp_path / f"mpi_inf_3dhp_test_set/TS{subject}"
        folder.mkdir(parents=True)
        valid = np.array([[0, 1, 1, 0, 1]], np.float64)
        with h5py.File(folder / "annot_data.mat", "w") as file:
            file["annot2"] = telling(5, 17)[:, None]
            file["valid_frame"] = valid.T if column else valid
        (batch,) = Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions, images=True)).read(
            "test", f"mpi_inf_3dhp_test_set/TS{subject}/annot_data.mat"
        )
        np.testing.assert_allclose(batch.joints, telling(5, 17)[[1, 2, 4]][:, MAP_3DHP_TEST], atol=EXACT)
        assert [picture.path.name for picture in batch.pictures] == [
            "img_000002.jpg",
            "img_000003.jpg",
            "img_000005.jpg",
        ]
        assert {picture.frame for picture in batch.pictures} == {None}
        assert [(drop.reason, drop.count) for drop in batch.dropped] == [("frame not valid", 2)]
        sizes[subject] = batch.picture_size[0].tolist()
        # S4 is another person than TS4.
        assert set(batch.subject.tolist()) == {100 + subject}
    assert sizes == {4: [2048, 2048], 5: [1920, 1080]}


def test_3dhp_a_camera_without_frames_has_none(tmp_path):
    write_3dhp(tmp_path, 0)
    assert sum(map(len, read(Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions, cameras=(0,)))))) == 0


def test_3dhp_a_wrong_cell_is_named_by_file_and_camera(tmp_path):
    cells = np.empty((14, 1), object)
    for camera in range(14):
        cells[camera, 0] = np.ones((3, 56 if camera != 5 else 84))
    saved(tmp_path / "S1/Seq1/annot.mat", annot2=cells)
    with pytest.raises(DataError, match=r"S1/Seq1/annot\.mat: annot2, camera 5: expected .*56.*found \(3, 84\)$"):
        read(Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions)))
    assert len(read(Mpi3dhpReader(whole(tmp_path, Mpi3dhpOptions, cameras=(4,))))) == 1


# ---- SURREAL


def surreal_clip(frames):
    return np.round(telling(frames, 24)).transpose(2, 1, 0).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 24, 100])
def test_surreal_labels_change_sides_for_any_length(tmp_path, frames):
    points = surreal_clip(frames)
    stored = points[..., 0] if frames == 1 else points  # MATLAB drops a last dimension of one
    saved(tmp_path / "data/cmu/train/run0/01_01/01_01_c0001_info.mat", joints2D=stored)
    (batch,) = read(SurrealReader(SurrealOptions(root=str(tmp_path), head_top=0.75)))
    raw = points.transpose(2, 1, 0).astype(np.float64)
    np.testing.assert_allclose(batch.joints[:, 3:], raw[:, LIMBS_SURREAL], atol=EXACT)
    neck, skull = raw[:, 12], raw[:, 15]
    trunk = np.stack([skull + 0.75 * (skull - neck), neck, (raw[:, 1] + raw[:, 2]) / 2], axis=1)
    np.testing.assert_allclose(batch.joints[:, :3], trunk, atol=EXACT)
    assert batch.picture_size.tolist() == [[320, 240]] * frames


def test_surreal_clips_are_sequences_of_their_own_in_all_runs(tmp_path):
    base = tmp_path / "data/cmu/train"
    lost = np.zeros((2, 24, 3), np.float32)
    lost[1] = 238
    for run, name, number in ((0, "01_01", 1), (0, "01_01", 2), (1, "01_01", 1), (2, "ung_104_05", 3)):
        saved(base / f"run{run}/{name}/{name}_c{number:04d}_info.mat", joints2D=surreal_clip(2))
    saved(base / "run0/01_01/01_01_c0003_info.mat", joints2D=lost)
    reader = SurrealReader(SurrealOptions(root=str(tmp_path), images=True))
    assert reader.units("train") == [
        "data/cmu/train/run0/01_01",
        "data/cmu/train/run1/01_01",
        "data/cmu/train/run2/ung_104_05",
    ]
    batches = read(reader)
    numbers = [set(batch.sequence.tolist()) for batch in batches if len(batch)]
    assert len(set.union(*numbers)) == len(numbers) == 4
    assert [drop.count for batch in batches for drop in batch.dropped] == [3]
    assert [(picture.path.name, picture.frame) for picture in batches[1].pictures] == [
        ("01_01_c0002.mp4", 0),
        ("01_01_c0002.mp4", 1),
    ]
    # Another reader, asked for the last unit alone, numbers it alike.
    (alone,) = SurrealReader(SurrealOptions(root=str(tmp_path))).read("train", "data/cmu/train/run2/ung_104_05")
    assert set(alone.sequence.tolist()) == numbers[-1]
    only = SurrealReader(SurrealOptions(root=str(tmp_path), runs=(1,)))
    assert only.units("train") == ["data/cmu/train/run1/01_01"]


def test_surreal_a_transposed_clip_is_named(tmp_path):
    saved(tmp_path / "data/cmu/val/run0/01_01/01_01_c0007_info.mat", joints2D=np.ones((24, 2, 5)))
    with pytest.raises(
        DataError, match=r"01_01_c0007_info\.mat: joints2D: expected .*\(2, 24, frames\), found \(24, 2"
    ):
        read(SurrealReader(SurrealOptions(root=str(tmp_path))), "val")


# ---- Human3.6M


def write_cdf(path, points, kind=45, majority="row_major", encoding=6, packed=0):
    """`Pose` of [1, F, 64]; cdflib writes the bytes as they are given, so that columns must come first where they do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = [len(points), 64]
    values = points.reshape(1, *shape).astype(np.float32 if kind == 44 else np.float64)
    if majority == "column_major":
        values = np.ascontiguousarray(values[0].ravel(order="F")).reshape(1, *shape)
    file = CDF(str(path), cdf_spec={"Majority": majority, "Encoding": encoding, "Compressed": packed})
    spec = {"Variable": "Pose", "Data_Type": kind, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
    file.write_var({**spec, "Dim_Sizes": shape}, var_data=values)
    file.close()


def in_32(name, subject=1, place="MyPoseFeatures/D2_Positions"):
    return f"S{subject}/{place}/{name}.cdf"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": 44},
        {"majority": "column_major"},
        {"encoding": 1},
        {"kind": 44, "majority": "column_major", "encoding": 1, "packed": 6},
    ],
    ids=lambda form: "-".join(map(str, form.values())) or "plain",
)
def test_human36m_joints_in_every_form_of_cdf(tmp_path, form):
    points = telling(9, 32)
    points[4] = 0
    write_cdf(tmp_path / in_32("Walking 1.55011271"), points, **form)
    (batch,) = read(Human36mReader(whole(tmp_path, Human36mOptions, images=True)))
    kept = [0, 1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_allclose(batch.joints, points[kept][:, MAP_32], atol=1e-4)
    assert batch.frame.tolist() == [picture.frame for picture in batch.pictures] == kept
    assert {picture.path for picture in batch.pictures} == {tmp_path / "S1/Videos/Walking 1.55011271.mp4"}
    assert [drop.count for drop in batch.dropped] == [1]


def test_human36m_cameras_have_their_sizes_and_files_of_all_actions_are_left(tmp_path):
    for camera in CAMERAS:
        write_cdf(tmp_path / in_32(f"Sitting.{camera}", 9), telling(2, 32))
        write_cdf(tmp_path / in_32(f"_ALL.{camera}", 9), telling(2, 32))
    batches = read(Human36mReader(whole(tmp_path, Human36mOptions)), "test")
    sizes = {int(batch.camera[0]): batch.picture_size[0].tolist() for batch in batches}
    tall, square = [1000, 1002], [1000, 1000]
    assert sizes == {54138969: tall, 55011271: square, 58860488: square, 60457274: tall}
    assert len({int(batch.sequence[0]) for batch in batches}) == 4
    assert {int(subject) for batch in batches for subject in batch.subject} == {9}


def test_human36m_cameras_of_a_sequence_are_held_out_together(tmp_path):
    for name in ("Walking", "Walking 1", "Posing", "Sitting 2", "SittingDown"):
        for camera in CAMERAS:
            (tmp_path / in_32(f"{name}.{camera}")).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / in_32(f"{name}.{camera}")).touch()
    reader = Human36mReader(Human36mOptions(root=str(tmp_path), held_out=0.4))
    parts = [[Path(unit).name.rsplit(".", 2)[0] for unit in reader.units(split)] for split in ("train", "val")]
    assert [len(part) for part in parts] == [12, 8]
    assert not set(parts[0]) & set(parts[1])


def test_human36m_a_file_without_poses_is_named(tmp_path):
    write_cdf(tmp_path / in_32("Posing.54138969"), np.ones((3, 32, 2)))
    data = (tmp_path / in_32("Posing.54138969")).read_bytes()
    (tmp_path / in_32("Posing.54138969")).write_bytes(data.replace(b"Pose", b"Rose"))
    with pytest.raises(DataError, match=r"D2_Positions/Posing\.54138969\.cdf: ") as caught:
        read(Human36mReader(whole(tmp_path, Human36mOptions)))
    assert "\n" not in str(caught.value)


def test_human36m_a_reading_that_fails_is_not_called_a_damaged_file(tmp_path, monkeypatch):
    """The child finds what the parent finds: Python's own libraries through the loader's path, and its modules."""
    path = tmp_path / in_32("Posing.54138969")
    write_cdf(path, telling(2, 32))
    seen = {}
    real = cdf.subprocess.run

    def run(command, **options):
        seen.update(options["env"])
        return real(command, **options)

    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/python/lib")
    monkeypatch.setattr(cdf.subprocess, "run", run)
    assert cdf.load_cdf(path, "Pose").shape[-1] == 2 * 32
    assert seen["LD_LIBRARY_PATH"] == "/opt/python/lib"
    (tmp_path / "cdflib.py").write_text("raise ImportError('libz.so.1: cannot open shared object file')")
    monkeypatch.setattr(cdf.sys, "path", [str(tmp_path), *cdf.sys.path])
    with pytest.raises(DataError, match=r"\.cdf: cdflib could not be run: ImportError: libz\.so\.1: cannot open"):
        cdf.load_cdf(path, "Pose")
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"Posing\.54138969\.cdf: damaged CDF file: "):
        cdf.load_cdf(path, "Pose")


def write_npz(root, names, part=None):
    root.mkdir(parents=True, exist_ok=True)
    points = np.concatenate([telling(len(names), 17), np.ones((len(names), 17, 1))], axis=2)
    np.savez(root / "h36m_train.npz", part=points if part is None else part, imgname=np.array(names))
    return points


@pytest.mark.parametrize("kind", ["U", "S"])
def test_npz_rows_come_together_by_video_and_rise_by_frame(tmp_path, kind):
    names = [
        "S6_Posing_1.58860488_000011.jpg",
        "S1_Walking.54138969_000001.jpg",
        "S6_Posing_1.58860488_000001.jpg",
        "S6_Posing_1.58860488_000101.jpg",
    ]
    points = write_npz(tmp_path, np.array(names, kind))
    batches = read(Human36mNpzReader(whole(tmp_path, Human36mNpzOptions, images=True)))
    rows = [[2, 0, 3], [1]]
    for batch, chosen, camera in zip(batches, rows, (58860488, 54138969), strict=True):
        np.testing.assert_allclose(batch.joints, points[chosen][:, MAP_17, :2], atol=EXACT)
        assert [picture.path for picture in batch.pictures] == [tmp_path / names[row] for row in chosen]
        assert set(batch.camera.tolist()) == {camera}
    assert batches[0].frame.tolist() == [1, 11, 101]
    assert batches[0].clip.tolist() == ["Posing"] * 3
    assert [batch.picture_size[0].tolist() for batch in batches] == [[1000, 1000], [1000, 1002]]
    assert [int(batch.subject[0]) for batch in batches] == [6, 1]


def test_npz_cameras_named_otherwise_are_held_out_together(tmp_path):
    names = [
        f"s_01_act_{act:02d}_subact_01_ca_{camera:02d}/s_01_act_{act:02d}_subact_01_ca_{camera:02d}_{frame:06d}.jpg"
        for act in range(2, 7)
        for camera in range(1, 5)
        for frame in (1, 6)
    ]
    write_npz(tmp_path, names)
    reader = Human36mNpzReader(Human36mNpzOptions(root=str(tmp_path), held_out=0.4))
    parts = [
        {name for batch in reader.read(split, "h36m_train.npz") for name in batch.source} for split in ("train", "val")
    ]
    assert parts[0] | parts[1] == set(names)
    acts = [{name.partition("_subact")[0] for name in part} for part in parts]
    assert [len(act) for act in acts] == [3, 2]
    assert not acts[0] & acts[1]


def test_npz_a_joint_without_its_flag_is_not_annotated(tmp_path):
    names = [f"S1_Eating.54138969_{frame:06d}.jpg" for frame in (1, 2)]
    part = write_npz(tmp_path, names)
    part[1, 16, 2] = 0
    write_npz(tmp_path, names, part)
    (batch,) = read(Human36mNpzReader(whole(tmp_path, Human36mNpzOptions)))
    lost = np.argwhere(np.isnan(batch.joints).any(axis=2))
    assert lost.tolist() == [[1, MAP_17.index(16)]]


def test_npz_a_file_of_other_joints_is_named(tmp_path):
    write_npz(tmp_path, ["a_1.jpg"], np.ones((1, 24, 3)))
    with pytest.raises(DataError, match=r"h36m_train\.npz: part: expected .*\(N, 17, 3\), found \(1, 24, 3\)"):
        read(Human36mNpzReader(whole(tmp_path, Human36mNpzOptions)))


# ---- Simplified Human3.6M


def write_simplified(root, frames, name="Walking 1.54138969", subject=1):
    folder = root / f"human_images/S{subject}"
    points = telling(len(frames), 32) / 400
    for frame, shares in zip(frames, points, strict=True):
        saved(folder / f"Landmarks/{name}/{frame}.mat", keypoints_2d=shares[:, ::-1])
    return points * 128


def test_simplified_columns_are_y_and_x_and_numbers_are_sorted_as_numbers(tmp_path):
    frames = [1, 2, 9, 10, 11, 100]
    points = write_simplified(tmp_path, frames)
    masked = whole(tmp_path, SimplifiedHuman36mOptions, images=True, masked=True)
    (batch,) = read(SimplifiedHuman36mReader(masked))
    np.testing.assert_allclose(batch.joints, points[:, MAP_32], atol=1e-9)
    assert batch.frame.tolist() == frames
    assert batch.picture_size.tolist() == [[128, 128]] * 6
    folder = tmp_path / "human_images/S1"
    for frame, picture in zip(frames, batch.pictures, strict=True):
        assert picture.path == folder / f"WithBackground/Walking 1.54138969/{frame}.jpg"
        assert picture.mask == folder / f"BackgroudMask/Walking 1.54138969/{frame}.png"
        assert picture.frame is None


def test_simplified_activities_are_compared_whole(tmp_path):
    for name in ("Walking", "WalkingDog 1", "WalkTogether", "Directions 2", "Sitting"):
        write_simplified(tmp_path, [1], f"{name}.54138969")
    reader = SimplifiedHuman36mReader(whole(tmp_path, SimplifiedHuman36mOptions))
    assert [Path(unit).name for unit in reader.units("train")] == ["Directions 2.54138969", "Walking.54138969"]


def test_simplified_subject_11_is_for_test(tmp_path):
    for subject in (9, 11):
        write_simplified(tmp_path, [1], subject=subject)
    reader = SimplifiedHuman36mReader(whole(tmp_path, SimplifiedHuman36mOptions))
    assert [set(batch.subject.tolist()) for split in ("train", "test") for batch in read(reader, split)] == [{9}, {11}]


def test_simplified_a_frame_of_other_joints_is_named(tmp_path):
    write_simplified(tmp_path, [1, 2])
    saved(tmp_path / "human_images/S1/Landmarks/Walking 1.54138969/2.mat", keypoints_2d=np.ones((2, 32)))
    with pytest.raises(DataError, match=r"54138969/2\.mat: keypoints_2d: expected .*\(32, 2\), found \(2, 32\)"):
        read(SimplifiedHuman36mReader(whole(tmp_path, SimplifiedHuman36mOptions)))


def test_simplified_masks_are_read_with_their_pictures(tmp_path):
    from flexpose_core.datasets.footage import read_pictures

    write_simplified(tmp_path, [1])
    (batch,) = read(SimplifiedHuman36mReader(whole(tmp_path, SimplifiedHuman36mOptions, images=True, masked=True)))
    mask = np.zeros((128, 128), np.uint8)
    mask[30:90, 40:80] = 1  # above 0 is the person
    for path, image in (
        (batch.pictures[0].path, np.full((128, 128, 3), 200, np.uint8)),
        (batch.pictures[0].mask, mask),
    ):
        path.parent.mkdir(parents=True)
        assert cv2.imwrite(str(path), image)
    (shown,) = read_pictures(batch.pictures)
    assert (shown[mask == 0] == 0).all()
    assert (np.abs(shown[mask == 1].astype(int) - 200) < 8).all()
