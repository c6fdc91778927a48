"""Human3.6M in its three forms."""

import numpy as np
import scipy.io
from cdflib.cdfwrite import CDF

from .figures import BODY, people, write_picture, write_video

LEGS_AND_TRUNK = {
    0: "pelvis", 1: "r_hip", 2: "r_knee", 3: "r_ankle", 6: "l_hip", 7: "l_knee", 8: "l_ankle", 13: "neck", 15: "head",
    17: "l_shoulder", 18: "l_elbow", 19: "l_wrist", 25: "r_shoulder", 26: "r_elbow", 27: "r_wrist",
}  # fmt: skip
SEVENTEEN = (
    "pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "-", "neck", "-", "head", "l_shoulder", "l_elbow",
    "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
SIZES = {54138969: (1000, 1002), 55011271: (1000, 1000), 58860488: (1000, 1000), 60457274: (1000, 1002)}


def _as_32(joints, random):
    """The 32 joints; those without a name of ours are noise, or repeat others as in the original."""
    raw = random.uniform(0, 1000, (len(joints), 32, 2))
    for place, name in LEGS_AND_TRUNK.items():
        raw[:, place] = joints[:, BODY.index(name)]
    raw[:, 11] = raw[:, 0]
    return raw


def write_cdf(root, seed, images):
    """One CDF file a sequence and camera, `Pose` of [1, F, 64]; names that begin alike, S1's own names, a file of all actions."""
    random = np.random.default_rng(seed)
    found = {"train": [], "test": []}
    names = {
        ("train", 1): ["Directions 1.54138969", "TakingPhoto.55011271", "WalkingDog 1.58860488", "Walking.60457274"],
        ("train", 5): ["Photo 1.54138969"],
        ("test", 11): ["Sitting 1.54138969", "SittingDown.55011271"],
    }
    for (split, subject), sequences in names.items():
        # S5 as the archives name the folder.
        place = "Poses_D2_Positions" if subject == 5 else "MyPoseFeatures/D2_Positions"
        for name in sorted(sequences):
            width, height = SIZES[int(name.rpartition(".")[2])]
            joints = people(random, 8, width, height)
            raw = _as_32(joints, random)
            if name.startswith("Directions"):
                raw[5] = 0
            _write_cdf(root / f"S{subject}/{place}/{name}.cdf", raw.reshape(1, 8, 64))
            found[split].append(np.delete(joints, 5, axis=0) if name.startswith("Directions") else joints)
            if images:
                # A video may hold slightly more frames than poses.
                write_video(root / f"S{subject}/Videos/{name}.mp4", [*joints, joints[-1]], width, height)
    _write_cdf(root / "S1/MyPoseFeatures/D2_Positions/_ALL.54138969.cdf", np.ones((1, 3, 64)))
    return {split: np.concatenate(parts) for split, parts in found.items()}


def _write_cdf(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = CDF(str(path), cdf_spec={"Majority": "row_major"})
    shape = list(values.shape[1:])
    spec = {
        "Variable": "Pose",
        "Data_Type": 45,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Dim_Sizes": shape,
        "Var_Type": "zVariable",
    }
    file.write_var({**spec, "Compress": 6}, var_data=values.astype(np.float64))
    file.close()


def write_npz(root, seed, images):
    """`part` (N, 17, 3) with a flag a joint, rows of two videos shuffled together; `imgname` as text."""
    random = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    found = {}
    for split, sequences in {
        "train": ["S1_Walking_1.54138969", "S1_WalkingDog.55011271", "S7_Photo.58860488"],
        "test": ["S9_Eating.60457274"],
    }.items():
        rows = []
        for name in sequences:
            width, height = SIZES[int(name.rpartition(".")[2])]
            for frame, joints in enumerate(people(random, 7, width, height)):
                rows.append((name, frame * 5 + 1, joints))
        order = random.permutation(len(rows))
        # Sequences are read as they are first met, their frames in rising order.
        met = list(dict.fromkeys(rows[place][0] for place in order))
        part = np.ones((len(rows), 17, 3))
        for row, place in enumerate(order):
            joints = rows[place][2]
            for column, joint in enumerate(SEVENTEEN):
                part[row, column, :2] = joints[BODY.index(joint)] if joint in BODY else 7
            if images:
                name, frame, _ = rows[place]
                write_picture(root / f"images/{name}_{frame:06d}.jpg", joints, *SIZES[int(name.rpartition(".")[2])])
        names = [f"images/{rows[place][0]}_{rows[place][1]:06d}.jpg" for place in order]
        np.savez(root / f"h36m_{split}.npz", part=part, S=np.zeros((len(rows), 17, 4)), imgname=np.array(names))
        found[split] = np.array([joints for name in met for other, _, joints in rows if other == name])
    return found


def write_simplified(root, seed, images):
    """A landmark file a frame in [0, 1] as (y, x), numbered without zeros; the mask folder misspelt; another activity between."""
    random = np.random.default_rng(seed)
    found = {"train": [], "test": []}
    sequences = {
        1: ["Walking 1.54138969", "WalkingDog.54138969", "Greeting.55011271"],
        9: ["Posing.60457274"],
        11: ["Waiting 1.58860488"],
    }
    for subject, names in sequences.items():
        for name in sorted(names):
            joints = people(random, 11, 128, 128)
            raw = _as_32(joints, random) / 128
            if name.startswith("Posing"):
                raw[3, 2] = np.nan
            for frame in range(11):
                folder = root / f"human_images/S{subject}"
                path = folder / f"Landmarks/{name}/{frame + 1}.mat"
                path.parent.mkdir(parents=True, exist_ok=True)
                scipy.io.savemat(path, {"keypoints_2d": raw[frame][:, ::-1]})
                if images:
                    write_picture(folder / f"WithBackground/{name}/{frame + 1}.jpg", joints[frame], 128, 128)
                    write_picture(folder / f"BackgroudMask/{name}/{frame + 1}.png", joints[frame], 128, 128)
            if name.startswith("WalkingDog"):
                continue
            kept = np.delete(joints, 3, axis=0) if name.startswith("Posing") else joints
            found["test" if subject == 11 else "train"].append(kept)
    return {split: np.concatenate(parts) for split, parts in found.items()}
