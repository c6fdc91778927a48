"""Known people and faces to write into raw files, and pictures of them."""

from pathlib import Path

import cv2
import numpy as np

SIDES = ("l", "r")
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = ("head", "neck", "pelvis", *(f"{side}_{limb}" for side in SIDES for limb in LIMBS))

# A person facing the camera, in shares of the picture: the left side is at larger x.
_STANDING = {
    "head": (0.5, 0.12), "neck": (0.5, 0.25), "pelvis": (0.5, 0.52),
    "shoulder": (0.11, 0.28), "elbow": (0.18, 0.4), "wrist": (0.2, 0.53),
    "hip": (0.07, 0.53), "knee": (0.08, 0.7), "ankle": (0.09, 0.88),
}  # fmt: skip


def people(random, count, width, height, room=0.06):
    """Joints (count, 15, 2) in the order of BODY, in pixels, all of them inside a picture of this size."""
    shares = []
    for name in BODY:
        side, _, limb = name.rpartition("_")
        x, y = _STANDING[limb]
        shares.append((x if not side else 0.5 + (x if side == "l" else -x), y))
    moved = (
        np.array(shares)
        + random.uniform(-0.03, 0.03, (count, len(BODY), 2))
        + random.uniform(-room, room, (count, 1, 2))
    )
    return moved * [width, height]


def named(joints):
    """Joints (n, 15, 2) as a dictionary of (n, 2) by name."""
    return {name: joints[:, place] for place, name in enumerate(BODY)}


def faces(random, count, width, height):
    """Landmarks (count, 68, 2) in iBUG's order, in pixels; the person's left is at larger x."""
    points = []
    for k in range(17):
        angle = np.pi * (1 - k / 16)
        points.append((0.5 + 0.3 * np.cos(angle), 0.4 + 0.4 * np.sin(angle)))
    points += [(0.25 + 0.05 * k, 0.3) for k in range(5)] + [(0.55 + 0.05 * k, 0.3) for k in range(5)]
    points += [(0.5, 0.35 + 0.05 * k) for k in range(4)] + [(0.44 + 0.03 * k, 0.55) for k in range(5)]
    for centre in (0.36, 0.64):
        points += [(centre + 0.05 * np.cos(t), 0.38 - 0.02 * np.sin(t)) for t in np.pi * (1 - np.arange(6) / 3)]
    points += [(0.5 + 0.1 * np.cos(t), 0.66 - 0.05 * np.sin(t)) for t in np.pi * (1 - np.arange(12) / 6)]
    points += [(0.5 + 0.07 * np.cos(t), 0.66 - 0.02 * np.sin(t)) for t in np.pi * (1 - np.arange(8) / 4)]
    moved = (
        np.array(points) + random.uniform(-0.004, 0.004, (count, 68, 2)) + random.uniform(-0.05, 0.05, (count, 1, 2))
    )
    return moved * [width, height]


def picture(joints, width, height, ground=60):
    """A grey picture with a bright dot on each joint (K, 2)."""
    image = np.full((height, width, 3), ground, np.uint8)
    for x, y in joints:
        if np.isfinite([x, y]).all():
            cv2.circle(image, (round(x), round(y)), max(2, height // 60), (230, 240, 250), -1)
    return image


def write_picture(path, joints, width, height):
    """Write such a picture as the path's suffix says."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(joints, width, height))


def write_video(path, frames, width, height):
    """Write a video whose frames show these joints, a list of (K, 2)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    code = "MJPG" if Path(path).suffix == ".avi" else "mp4v"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 25, (width, height))
    assert out.isOpened()
    for joints in frames:
        out.write(picture(joints, width, height))
    out.release()
