"""MPI-INF-3DHP and SURREAL."""

import h5py
import numpy as np
import scipy.io

from .figures import BODY, named, people, write_picture, write_video

TRAIN_3DHP = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "-", "head", "-", "l_shoulder", "l_elbow", "l_wrist", "-", "-",
    "r_shoulder", "r_elbow", "r_wrist", "-", "l_hip", "l_knee", "l_ankle", "-", "-", "r_hip", "r_knee", "r_ankle", "-", "-",
)  # fmt: skip
TEST_3DHP = (
    "head", "neck", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "r_hip", "r_knee", "r_ankle", "l_hip",
    "l_knee", "l_ankle", "pelvis", "spine", "-",
)  # fmt: skip
CAMERAS = (0, 8)


def _raw(joints, order, random):
    """Joints in a raw order; what we have no name for is noise."""
    by_name = named(joints)
    noise = random.uniform(0, 100, joints[:, 0].shape)
    return np.stack([by_name.get(name, noise) for name in order], axis=1)


def write_3dhp(root, seed, images):
    """`annot.mat` of MATLAB 5 with a cell a camera; `annot_data.mat` of 7.3. S8/Seq2 has annotations beyond its 6,054 frames."""
    random = np.random.default_rng(seed)
    train = []
    for subject, sequence, length in ((1, 1, 6), (8, 2, 6060)):
        annot2 = np.empty((14, 1), object)
        for camera in range(14):
            joints = people(random, length, 2048, 2048)
            if length < 100:
                joints[2, 4] = np.nan
            annot2[camera, 0] = _raw(joints, TRAIN_3DHP, random).reshape(length, 56)
            if camera in CAMERAS:
                train.append(joints[~np.isnan(joints).any(axis=(1, 2))][:6054])
                if images and length < 100:
                    write_video(root / f"S{subject}/Seq{sequence}/imageSequence/video_{camera}.avi", joints, 2048, 2048)
        folder = root / f"S{subject}/Seq{sequence}"
        folder.mkdir(parents=True, exist_ok=True)
        cameras, frames = np.arange(14)[None].astype(np.int32), np.arange(length)[:, None].astype(np.int32)
        empty = np.empty((14, 1), object)
        for camera in range(14):
            empty[camera, 0] = np.zeros((2, 84))
        stored = {"annot2": annot2, "annot3": empty, "univ_annot3": empty, "cameras": cameras, "frames": frames}
        scipy.io.savemat(folder / "annot.mat", stored, do_compression=True)
    test = []
    for subject, (width, height) in {1: (2048, 2048), 6: (1920, 1080)}.items():
        joints = people(random, 8, width, height, room=0.03)
        valid = np.array([[1, 1, 0, 1, 1, 1, 0, 1]], np.uint8)
        folder = root / f"mpi_inf_3dhp_test_set/TS{subject}"
        folder.mkdir(parents=True)
        with h5py.File(folder / "annot_data.mat", "w", userblock_size=512) as file:
            # MATLAB's dimensions reversed, as HDF5 shows them.
            file["annot2"] = _raw(joints, TEST_3DHP, random)[:, None]
            file["annot3"] = np.zeros((8, 1, 17, 3))
            file["univ_annot3"] = np.zeros((8, 1, 17, 3))
            file["valid_frame"] = valid.T
        with open(folder / "annot_data.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM")
        if images:
            for frame in range(8):
                write_picture(folder / f"imageSequence/img_{frame + 1:06d}.jpg", joints[frame], width, height)
        test.append(joints[valid[0] == 1])
    return {"train": np.concatenate(train), "test": np.concatenate(test)}


SMPL = (
    "-", "l_hip", "r_hip", "-", "l_knee", "r_knee", "-", "l_ankle", "r_ankle", "-", "-", "-", "neck", "-", "-", "skull",
    "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist", "-", "-",
)  # fmt: skip
MIRRORED = tuple({"l": "r", "r": "l"}[name[0]] + name[1:] if name[:2] in ("l_", "r_") else name for name in SMPL)


def write_surreal(root, seed, images):
    """[2, 24, T] float32 of whole numbers, left and right exchanged; a clip of one frame; a clip that was not rendered."""
    random = np.random.default_rng(seed)
    found = {}
    for split, clips in {"train": (5, 1, 7), "val": (9,), "test": (3, 6)}.items():
        expected = []
        for number, length in enumerate(clips):
            run, name = number % 2, f"{number // 2 + 1:02d}_01"
            folder = root / f"data/cmu/{split}/run{run}/{name}"
            folder.mkdir(parents=True, exist_ok=True)
            joints = np.round(people(random, length, 320, 240))
            by_name = named(joints)
            by_name["pelvis"] = (by_name["l_hip"] + by_name["r_hip"]) / 2
            # The reader puts our head half as far beyond the skull as the skull is from the neck.
            by_name["skull"] = np.round(by_name["neck"] + (by_name["head"] - by_name["neck"]) / 1.5)
            by_name["head"] = by_name["skull"] + 0.5 * (by_name["skull"] - by_name["neck"])
            noise = random.integers(0, 200, (length, 2))
            raw = np.stack([by_name.get(joint, noise) for joint in MIRRORED], axis=1).transpose(2, 1, 0)
            # scipy, as MATLAB, drops the last dimension of a single frame.
            stored = {"joints2D": np.squeeze(raw.astype(np.float32)) if length == 1 else raw.astype(np.float32)}
            stored |= {
                "joints3D": np.zeros((3, 24, length), np.float32),
                "gender": np.ones((length, 1)),
                "shape": np.zeros((10, length)),
            }
            scipy.io.savemat(folder / f"{name}_c0001_info.mat", stored)
            expected.append((run, name, np.stack([by_name[joint] for joint in BODY], axis=1)))
            if images:
                write_video(folder / f"{name}_c0001.mp4", expected[-1][2], 320, 240)
        lost = np.zeros((2, 24, 4), np.float32)
        lost[1] = 238
        scipy.io.savemat(root / f"data/cmu/{split}/run0/01_01/01_01_c0002_info.mat", {"joints2D": lost})
        found[split] = np.concatenate([joints for *_, joints in sorted(expected, key=lambda entry: entry[:2])])
    return found
