"""A person seen in a mirror: reading a mirrored raw file gives what mirroring the joints that were read gives.

Each format's mirror table is written here by its own joint numbers, pairs that trade places; all others stay.
"""

import json

import h5py
import numpy as np
import pytest
import scipy.io
from cdflib.cdfwrite import CDF

from flexpose_core.datasets import READERS, open_reader, options
from flexpose_core.datasets.three_hundred_vw import TEST_VIDEOS

POSES = 6
SIDE = 128  # so wide is the picture: x becomes SIDE - x
PAIRS = {
    "coco": [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
    "keypoints-json": [(0, 1), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)],
    "mpi-inf-3dhp": [
        *[(8, 13), (9, 14), (10, 15), (11, 16), (12, 17)],
        *[(18, 23), (19, 24), (20, 25), (21, 26), (22, 27)],
    ],
    "mpi-inf-3dhp test": [(2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13)],
    "surreal": [
        *[(1, 2), (4, 5), (7, 8), (10, 11), (13, 14)],
        *[(16, 17), (18, 19), (20, 21), (22, 23)],
    ],
    "human36m": [
        *[(1, 6), (2, 7), (3, 8), (4, 9), (5, 10), (16, 24)],
        *[(17, 25), (18, 26), (19, 27), (20, 28), (21, 29), (22, 30), (23, 31)],
    ],
    "human36m-npz": [(1, 4), (2, 5), (3, 6), (11, 14), (12, 15), (13, 16)],
    "penn-action": [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)],
    "lsp": [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)],
    "300-vw": [
        *[(k, 16 - k) for k in range(8)],  # jaw
        *[(k, 43 - k) for k in range(17, 22)],  # brows
        *[(31, 35), (32, 34)],  # nose
        *[(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)],  # eyes
        *[(48, 54), (49, 53), (50, 52), (55, 59), (56, 58)],  # outer lip
        *[(60, 64), (61, 63), (65, 67)],  # inner lip
    ],
    "wflw": [
        *[(k, 32 - k) for k in range(16)],
        *[(33 + k, 46 - k) for k in range(5)],
        *[(38 + k, 50 - k) for k in range(4)],
        *[(55, 59), (56, 58)],
        *[(60 + k, 72 - k) for k in range(5)],
        *[(65, 75), (66, 74), (67, 73), (96, 97)],
        *[(76, 82), (77, 81), (78, 80), (83, 87), (84, 86), (88, 92), (89, 91), (93, 95)],
    ],
}
PAIRS["simplified-human36m"] = PAIRS["human36m"]
PAIRS["lsp-extended"] = PAIRS["lsp"]
JOINTS = {
    "coco": 17, "keypoints-json": 14, "mpi-inf-3dhp": 28, "mpi-inf-3dhp test": 17, "surreal": 24, "human36m": 32,
    "human36m-npz": 17, "simplified-human36m": 32, "penn-action": 13, "lsp": 14, "lsp-extended": 14, "300-vw": 68, "wflw": 98,
}  # fmt: skip
COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
]
OWN = [
    *("l_ankle", "r_ankle", "nose", "l_knee", "r_knee", "l_hip", "r_hip", "l_shoulder", "r_shoulder", "l_elbow"),
    *("r_elbow", "l_wrist", "r_wrist", "tail"),
]


def mat(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, content)


def coco(path, raw, names):
    flagged = np.concatenate([raw, np.full((*raw.shape[:2], 1), 2)], axis=2).reshape(len(raw), -1)
    content = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": SIDE, "height": SIDE} for k in range(len(raw))],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "keypoints": row.tolist()} for k, row in enumerate(flagged)
        ],
        "categories": [{"id": 1, "keypoints": names}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write(name, root, raw):
    """Write raw joints (n, J, 2), pixels counted from 0, as a dataset, and return the reader's options and the split."""
    n = len(raw)
    kept = {"root": str(root), "held_out": 0.0}
    if name == "coco":
        coco(root / "annotations/person_keypoints_train2017.json", raw, COCO)
        return options.CocoOptions(**kept), "train"
    if name == "keypoints-json":
        coco(root / "a.json", raw, OWN)
        return options.KeypointsJsonOptions(train="a.json", **kept), "train"
    if name == "mpi-inf-3dhp":
        cells = np.empty((14, 1), object)
        for camera in range(14):
            cells[camera, 0] = raw.reshape(n, -1)
        mat(root / "S1/Seq1/annot.mat", annot2=cells)
        return options.Mpi3dhpOptions(cameras=(0,), **kept), "train"
    if name == "mpi-inf-3dhp test":
        folder = root / "mpi_inf_3dhp_test_set/TS1"
        folder.mkdir(parents=True)
        with h5py.File(folder / "annot_data.mat", "w") as file:
            file["annot2"], file["valid_frame"] = raw[:, None], np.ones((n, 1))
        return options.Mpi3dhpOptions(**kept), "test"
    if name == "surreal":
        mat(root / "data/cmu/train/run0/01_01/01_01_c0001_info.mat", joints2D=raw.transpose(2, 1, 0))
        return options.SurrealOptions(head_top=0.7, **kept), "train"
    if name == "human36m":
        path = root / "S1/MyPoseFeatures/D2_Positions/Walking.54138969.cdf"
        path.parent.mkdir(parents=True)
        file = CDF(str(path), cdf_spec={"Majority": "row_major"})
        spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
        file.write_var({**spec, "Dim_Sizes": [n, 64]}, var_data=raw.reshape(1, n, 64).astype(np.float64))
        file.close()
        return options.Human36mOptions(**kept), "train"
    if name == "human36m-npz":
        names = np.array([f"S1_Walking.54138969_{frame:06d}.jpg" for frame in range(n)])
        root.mkdir(parents=True, exist_ok=True)
        np.savez(root / "h36m_train.npz", part=np.concatenate([raw, np.ones((n, 17, 1))], axis=2), imgname=names)
        return options.Human36mNpzOptions(**kept), "train"
    if name == "simplified-human36m":
        for frame in range(n):
            folder = root / "human_images/S1/Landmarks/Walking.54138969"
            mat(folder / f"{frame + 1}.mat", keypoints_2d=raw[frame, :, ::-1] / 128)
        return options.SimplifiedHuman36mOptions(**kept), "train"
    if name == "penn-action":
        labels = {"x": raw[..., 0] + 1, "y": raw[..., 1] + 1, "visibility": np.ones((n, 13)), "action": "squat"}
        mat(root / "labels/0001.mat", train=1, dimensions=np.array([SIDE, SIDE, n]), **labels)
        return options.PennActionOptions(**kept), "train"
    if name == "lsp":
        mat(root / "joints.mat", joints=np.concatenate([raw + 1, np.zeros((n, 14, 1))], axis=2).transpose(2, 1, 0))
        return options.LspOptions(**kept), "train"
    if name == "lsp-extended":
        mat(root / "joints.mat", joints=np.concatenate([raw + 1, np.ones((n, 14, 1))], axis=2).transpose(1, 2, 0))
        return options.LspExtendedOptions(**kept), "train"
    if name == "300-vw":
        folder = root / "300VW_Dataset_2015_12_14/001/annot"
        folder.mkdir(parents=True)
        for frame, face in enumerate(raw + 1):
            points = "\n".join(f"{x!r} {y!r}" for x, y in face.tolist())
            (folder / f"{frame + 1:06d}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
        return options.ThreeHundredVwOptions(**kept), "train"
    path = root / "WFLW_annotations/list_98pt_test/list_98pt_train.txt"
    path.parent.mkdir(parents=True)
    path.write_text("".join(" ".join([*map(repr, face.ravel().tolist()), "0--Parade/a.jpg\n"]) for face in raw))
    return options.WflwOptions(**kept), "train"


def joints_of(name, root, raw):
    chosen, split = write(name, root, raw)
    reader = open_reader(chosen, 0)
    batches = [batch for unit in reader.units(split) for batch in reader.raw.read(split, unit)]
    return np.concatenate([batch.joints for batch in batches]), reader.skeleton


@pytest.mark.parametrize("name", PAIRS)
def test_reading_and_mirroring_commute(name, tmp_path):
    raw = np.random.default_rng(len(name)).uniform(5, 120, (POSES, JOINTS[name], 2))
    table = np.arange(JOINTS[name])
    for one, other in PAIRS[name]:
        table[one], table[other] = other, one
    np.testing.assert_array_equal(table[table], np.arange(len(table)))
    mirrored = (raw * [-1, 1] + [SIDE, 0])[:, table]
    plain, skeleton = joints_of(name, tmp_path / "plain", raw)
    found, _ = joints_of(name, tmp_path / "mirrored", mirrored)
    assert plain.shape == (POSES, len(skeleton), 2)
    assert np.isfinite(plain).all()
    expected = (plain * [-1, 1] + [SIDE, 0])[:, skeleton.flip_permutation]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # Not because nothing moved: no joint is its own mirror image.
    assert (np.abs(found - plain).max(axis=2) > 1e-3).all()


def test_every_reader_is_mirrored():
    assert {name.removesuffix(" test") for name in PAIRS} == set(READERS) - {"people", "faces"}


def test_the_test_videos_of_300vw_are_the_published_ones():
    assert {category: len(videos) for category, videos in TEST_VIDEOS.items()} == {1: 31, 2: 19, 3: 14}
    assert len(frozenset.union(*TEST_VIDEOS.values())) == 31 + 19 + 14
