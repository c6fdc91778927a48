"""Expressions: a few gestures at a time, from one to the next in smooth steps.

Random mixes of all actions give mouths that no face can make. So each part of the face makes one gesture, a handful of actions
with set proportions, or rests; between two moments it passes from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from flexpose_core.datasets.faces.head import load_heads

SHORTEST, LONGEST = 0.35, 1.2  # seconds from one gesture to the next
LEAST_OF_A_SIDE = 0.75  # one side of the face may lag behind the other by this much


@dataclass(frozen=True)
class Part:
    """A part of the face: how often it rests, and its gestures, all equally likely.

    A gesture gives the strength of actions; a name without a side stands for both sides.
    """

    rest: float
    gestures: tuple[Mapping[str, float], ...]


PARTS = (
    Part(  # mouth and jaw
        0.25,
        (
            {"mouthSmile": 0.8, "cheekSquint": 0.4},
            {"mouthSmile": 0.7, "mouthUpperUp": 0.4, "jawOpen": 0.15, "cheekSquint": 0.5},
            {"mouthSmile": 0.6, "jawOpen": 0.5, "cheekSquint": 0.5},
            {"mouthFrown": 0.9, "mouthShrugLower": 0.4},
            {"jawOpen": 0.4},
            {"jawOpen": 0.9},
            {"jawOpen": 0.3, "mouthFunnel": 0.8},
            {"mouthPucker": 0.9},
            {"mouthStretch": 0.6, "mouthLowerDown": 0.5, "jawOpen": 0.12},
            {"mouthPress": 0.7, "mouthRollLower": 0.4, "mouthRollUpper": 0.2},
            {"noseSneer": 0.9, "mouthUpperUp": 0.6},
            {"cheekPuff": 0.8, "mouthPress": 0.3},
            {"mouthDimple": 0.8},
            {"mouthSmileLeft": 0.7, "mouthDimpleLeft": 0.3},
            {"mouthSmileRight": 0.7, "mouthDimpleRight": 0.3},
            {"mouthLeft": 0.7},
            {"mouthRight": 0.7},
            {"jawLeft": 0.6, "jawOpen": 0.1},
            {"jawRight": 0.6, "jawOpen": 0.1},
            {"jawForward": 0.6, "mouthShrugUpper": 0.3},
        ),
    ),
    Part(
        0.4,
        (
            {"browInnerUp": 0.8, "browOuterUp": 0.8},
            {"browDown": 0.9},
            {"browInnerUp": 0.9},
            {"browOuterUpLeft": 0.9, "browDownRight": 0.4},
            {"browOuterUpRight": 0.9, "browDownLeft": 0.4},
        ),
    ),
    Part(
        0.5,
        (
            {"eyeWide": 0.9},
            {"eyeSquint": 0.9, "cheekSquint": 0.2},
            {"eyeBlink": 1.0},
            {"eyeBlink": 0.5},
            {"eyeBlinkLeft": 0.9, "cheekSquintLeft": 0.4},
            {"eyeBlinkRight": 0.9, "cheekSquintRight": 0.4},
        ),
    ),
    Part(  # gaze: both eyes the same way
        0.4,
        (
            {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8},
            {"eyeLookOutRight": 0.8, "eyeLookInLeft": 0.8},
            {"eyeLookUp": 0.7},
            {"eyeLookDown": 0.7},
        ),
    ),
)


@cache
def gesture_weights() -> tuple[np.ndarray, ...]:
    """Return the strength of every action in the gestures of each part, (G, A) each, in the model's order."""
    labels = load_heads().action_labels
    tables = []
    for part in PARTS:
        weights = np.zeros((len(part.gestures), len(labels)))
        for row, gesture in zip(weights, part.gestures, strict=True):
            for name, strength in gesture.items():
                members = [name] if name in labels else [name + "Left", name + "Right"]
                row[[labels.index(member) for member in members]] += strength
        tables.append(weights)
    return tuple(tables)


@cache
def _side_of_actions() -> np.ndarray:
    """0 for the left, 1 for the right, 2 for actions of both sides, (A,)."""
    return np.array([0 if x.endswith("Left") else 1 if x.endswith("Right") else 2 for x in load_heads().action_labels])


def draw_expressions(frames: int, fps: float, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return strengths (frames, A), 0..1, of all actions over a sequence."""
    moments = int(np.ceil(frames / fps / SHORTEST)) + 3
    total = np.zeros((frames, len(load_heads().action_labels)))
    for part, gestures in zip(PARTS, gesture_weights(), strict=True):
        times = np.cumsum(rng.uniform(SHORTEST, LONGEST, moments))
        times -= rng.uniform(times[0], times[1])  # a sequence begins amid a change
        vigour = np.where(rng.random(moments) < part.rest, 0, rng.beta(2, 1.2, moments))
        sides = np.concatenate([rng.uniform(LEAST_OF_A_SIDE, 1, (moments, 2)), np.ones((moments, 1))], axis=1)
        keys = gestures[rng.integers(len(gestures), size=moments)] * sides[:, _side_of_actions()] * vigour[:, None]
        total += _between(keys, times, np.arange(frames) / fps)
    return np.clip(strength * total, 0, 1)


def _between(keys: np.ndarray, times: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return values (F, A) at `moments` (F,) seconds, passing smoothly through `keys` (n, A) at `times` (n,)."""
    place = np.searchsorted(times, moments, side="right") - 1
    share = (moments - times[place]) / (times[place + 1] - times[place])
    smooth = (share**2 * (3 - 2 * share))[:, None]
    return keys[place] + smooth * (keys[place + 1] - keys[place])
