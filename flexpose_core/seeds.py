"""Every random draw derives from (seed, stage, step).

No global random state is used: a resumed run draws what an uninterrupted one would have drawn, and two stages with the same
seed never share a stream. torch's generators are in `streams`: what needs none starts seconds sooner without torch.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, stage: str, *steps: int) -> int:
    """Return a 63-bit seed: a hash of the arguments, so that neighbouring steps are unrelated."""
    text = ":".join([str(int(seed)), stage, *(str(int(step)) for step in steps)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(seed: int, stage: str, *steps: int) -> np.random.Generator:
    """Return a NumPy generator for this stage and step."""
    return np.random.default_rng(derive(seed, stage, *steps))
