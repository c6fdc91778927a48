"""The 32 and 17 joints of Human3.6M (Ionescu et al. 2014), its cameras, and the names of its sequences."""

from __future__ import annotations

import re

from flexpose_core.datasets.joint_maps import both_sides

JOINTS_32 = (
    "hip", "r_hip", "r_knee", "r_foot", "r_toe_base", "r_toe", "l_hip", "l_knee", "l_foot", "l_toe_base", "l_toe", "hip_again",
    "spine", "thorax", "nose", "head", "thorax_left", "l_shoulder", "l_elbow", "l_wrist", "l_wrist_again", "l_thumb", "l_hand",
    "l_hand_again", "thorax_right", "r_shoulder", "r_elbow", "r_wrist", "r_wrist_again", "r_thumb", "r_hand", "r_hand_again",
)  # fmt: skip
JOINTS_17 = (
    "hip", "r_hip", "r_knee", "r_foot", "l_hip", "l_knee", "l_foot", "spine", "thorax", "nose", "head",
    "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
SOURCES = {
    "head": "head",
    "neck": "thorax",
    "pelvis": "hip",
    **both_sides(
        shoulder="{}_shoulder", elbow="{}_elbow", wrist="{}_wrist", hip="{}_hip", knee="{}_knee", ankle="{}_foot"
    ),
}
CAMERA_SIZES = {54138969: (1000, 1002), 55011271: (1000, 1000), 58860488: (1000, 1000), 60457274: (1000, 1002)}
OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
"""What S1 calls two actions, and what the others do."""


def action_of(sequence: str) -> str:
    """Return the action of a sequence such as "Walking 1.54138969": what stands before the first space or dot."""
    name = re.split(r"[\s._]", sequence, maxsplit=1)[0]
    return OTHER_NAMES.get(name, name)


def camera_of(name: str) -> int | None:
    """Return the camera that a file name tells, or None."""
    found = [int(digits) for digits in re.findall(r"\d{8}", name) if int(digits) in CAMERA_SIZES]
    return found[0] if found else None
