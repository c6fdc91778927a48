"""LSP, its extension, and Penn Action."""

import numpy as np
import scipy.io

from .figures import BODY, named, people, write_picture

LSP = (
    "r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow",
    "l_wrist", "neck", "head",
)  # fmt: skip


def _of_lsp(random, count):
    bodies = people(random, count, 150, 180)
    joints = named(bodies)
    joints["pelvis"] = (joints["l_hip"] + joints["r_hip"]) / 2
    return np.stack([joints[name] for name in LSP], axis=1), np.stack([joints[name] for name in BODY], axis=1)


def write_lsp(root, seed, images):
    """(3, 14, N), pixels counted from 1, the third row 1 where a joint is occluded."""
    random = np.random.default_rng(seed)
    raw, expected = _of_lsp(random, 1040)
    stored = np.zeros((3, 14, 1040))
    stored[:2] = (raw + 1).transpose(2, 1, 0)
    stored[2] = random.random((14, 1040)) < 0.1
    root.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / "joints.mat", {"joints": stored})
    if images:
        for number, body in enumerate(expected):
            write_picture(root / f"images/im{number + 1:04d}.jpg", body, 150, 180)
    return {"train": expected[:1000], "test": expected[1000:]}


def write_lsp_extended(root, seed, images):
    """(14, 3, N), the third column 0 where a joint is not annotated: there its place is junk."""
    random = np.random.default_rng(seed)
    raw, expected = _of_lsp(random, 60)
    stored = np.zeros((14, 3, 60))
    stored[:, :2] = (raw + 1).transpose(1, 2, 0)
    stored[:, 2] = 1
    for number in (4, 17):
        stored[LSP.index("l_wrist"), :, number] = [-731.5, 99999, 0]
        expected[number, BODY.index("l_wrist")] = np.nan
    root.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / "joints.mat", {"joints": stored}, do_compression=True)
    if images:
        for number, body in enumerate(expected):
            write_picture(root / f"images/im{number + 1:05d}.jpg", body, 150, 180)
    return {"train": expected}


PENN = (
    "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle",
    "r_ankle",
)  # fmt: skip


def write_penn_action(root, seed, images):
    """Clips of both splits, pixels counted from 1; one clip has a single frame.

    A joint that is not annotated lies at (1, 1) or, in clips that were stretched, near it.
    """
    random = np.random.default_rng(seed)
    found = {"train": [], "test": []}
    for number, (length, training, action) in enumerate(
        [(7, 1, "squat"), (1, 1, "bowl"), (5, -1, "squat"), (6, 1, "pullup"), (4, -1, "bowl")], start=1
    ):
        width, height = 180 + number, 200
        joints = named(people(random, length, width, height))
        shoulders = (joints["l_shoulder"] + joints["r_shoulder"]) / 2
        joints["pelvis"] = (joints["l_hip"] + joints["r_hip"]) / 2
        joints["neck"] = shoulders + 0.185 * (shoulders - joints["pelvis"])
        raw = np.stack([joints[name] for name in PENN], axis=1) + 1
        visibility = (random.random((length, 13)) < 0.8).astype(np.uint8)
        expected = np.stack([joints[name] for name in BODY], axis=1)
        if number in (1, 4):
            raw[3, PENN.index("r_wrist")] = {1: 1, 4: 1.35}[number]
            visibility[3, PENN.index("r_wrist")] = 0
            expected[3, BODY.index("r_wrist")] = np.nan
        labels = {
            "action": action,
            "pose": "front",
            "x": raw[..., 0],
            "y": raw[..., 1],
            "visibility": visibility,
            "train": np.int32(training),
            "bbox": np.ones((length, 4)),
            "dimensions": np.array([height, width, length], np.uint16),
            "nframes": np.uint8(length),
        }
        (root / "labels").mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / f"labels/{number:04d}.mat", labels)
        if images:
            for frame in range(length):
                write_picture(root / f"frames/{number:04d}/{frame + 1:06d}.jpg", expected[frame], width, height)
        found["train" if training == 1 else "test"].append(expected)
    return {split: np.concatenate(parts) for split, parts in found.items()}
