"""COCO, and one's own data in its format."""

import json

import numpy as np

from .figures import BODY, named, people, write_picture

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def write_coco(root, seed, images):
    """Two people in some pictures, a crowd, people without keypoints, one lying half unlabelled; ids that need 64 bits."""
    random = np.random.default_rng(seed)
    return {
        "train": _write_coco(root, random, "train", 40, images),
        "test": _write_coco(root, random, "val", 9, images),
    }


def _write_coco(root, random, folder, count, images):
    content = {
        "info": {"year": 2017},
        "licenses": [],
        "images": [],
        "annotations": [],
        # Bones are counted from 1 in the original.
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO), "skeleton": [[16, 14], [14, 12]]}],
    }
    expected = []
    for number in range(count):
        image_id, width, height = 1000 + 7 * number, 300 + number, 280
        name = f"{image_id:012d}.jpg"
        content["images"].append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 4})
        bodies = np.round(people(random, 1 + number % 2, width, height))
        for place, body in enumerate(bodies):
            joints = named(body[None])
            raw = {f"{'left' if side == 'l' else 'right'}_{limb}": joints[f"{side}_{limb}"][0]
                   for side in "lr" for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}  # fmt: skip
            raw["nose"] = np.round((joints["head"][0] + joints["neck"][0]) / 2)
            flags = {joint: 1 + (place + k) % 2 for k, joint in enumerate(COCO)}
            if number == 3:
                flags["left_wrist"] = 0
            keypoints, hidden = [], ("left_eye", "right_eye", "left_ear", "right_ear")
            for joint in COCO:
                shown = joint not in hidden and flags[joint] > 0
                keypoints += [*(int(value) for value in raw[joint]), flags[joint]] if shown else [0, 0, 0]
            content["annotations"].append(
                {
                    "segmentation": [[float(value) for value in random.uniform(0, 200, 10)]],
                    "num_keypoints": int(sum(keypoints[2::3]) > 0) * 13,
                    "area": 1234.5,
                    "iscrowd": 0,
                    "keypoints": keypoints,
                    "image_id": image_id,
                    "bbox": [1.0, 2.0, 100.0, 200.0],
                    "category_id": 1,
                    "id": 900_100_000_000 + 10 * number + place,
                }
            )
            expected.append(_derived(raw, missing=("left_wrist",) if number == 3 else ()))
        if images:
            write_picture(root / f"{folder}2017" / name, bodies.reshape(-1, 2), width, height)
    other = {"area": 1.0, "bbox": [0, 0, 9, 9], "category_id": 1, "image_id": 1000, "segmentation": []}
    content["annotations"].insert(2, {**other, "id": 5, "iscrowd": 1, "num_keypoints": 17, "keypoints": [9, 9, 2] * 17})
    content["annotations"].insert(4, {**other, "id": 6, "iscrowd": 0, "num_keypoints": 0, "keypoints": [0] * 51})
    path = root / f"annotations/person_keypoints_{folder}2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return np.array(expected)


def _derived(raw, missing):
    """COCO's joints as our fifteen: pelvis, neck and head by their formulas."""
    ours = {f"{side[0]}_{limb}": np.array(raw[f"{side}_{limb}"], float)
            for side in ("left", "right") for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}  # fmt: skip
    shoulders = (ours["l_shoulder"] + ours["r_shoulder"]) / 2
    ours["pelvis"] = (ours["l_hip"] + ours["r_hip"]) / 2
    ours["neck"] = shoulders + 0.185 * (shoulders - ours["pelvis"])
    ours["head"] = 2 * raw["nose"] - ours["neck"]
    for joint in missing:
        ours[f"{joint[0]}_{joint.partition('_')[2]}"] = np.full(2, np.nan)
    return np.array([ours[name] for name in BODY])


OWN = (
    "r_ankle", "l_ankle", "r_knee", "l_knee", "root", "right_hip", "left_hip", "l_shoulder", "r_shoulder", "throat", "nape", "head",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "tail",
)  # fmt: skip


def write_own(root, seed, images):
    """Joints in an order of their own, some under our names, some under COCO's, two under others; text ids, no categories' ids."""
    random = np.random.default_rng(seed)
    found = {}
    for split, count in {"train": 20, "test": 6}.items():
        bodies = people(random, count, 200, 240)
        content = {"images": [], "annotations": [], "categories": [{"id": "dancer", "keypoints": list(OWN)}]}
        for number, body in enumerate(bodies):
            name = f"{split}/{number}.png"
            content["images"].append({"id": name, "file_name": name, "width": 200, "height": 240})
            joints = {key: value[0] for key, value in named(body[None]).items()}
            places = {
                **joints,
                "root": joints["pelvis"],
                "throat": joints["neck"] + [3, 1],
                "nape": joints["neck"] - [3, 1],
            }
            places |= {f"left_{key[2:]}": value for key, value in joints.items() if key.startswith("l_")}
            places |= {f"right_{key[2:]}": value for key, value in joints.items() if key.startswith("r_")}
            keypoints = [
                value for joint in OWN for value in (*places.get(joint, (0.0, 0.0)), 2 if joint in places else 0)
            ]
            content["annotations"].append({"image_id": name, "category_id": "dancer", "keypoints": keypoints})
            if images:
                write_picture(root / "frames" / name, body, 200, 240)
        path = root / f"notes/{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        found[split] = bodies
    return found
