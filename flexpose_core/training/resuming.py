"""The checkpoint that a training goes on from, and the last good one while its numbers are suspicious."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from flexpose_core.devices import arithmetic
from flexpose_core.errors import CheckpointError
from flexpose_core.training.checkpoint import load_weights, read_header, save_weights
from flexpose_core.training.health import Health

_KIND = "training_state"
_STATE, _BEFORE = "state.safetensors", "before.safetensors"


class Resumable(Protocol):
    """What a checkpoint holds of an objective."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]


class Checkpoints:
    """The checkpoint of a training in `work` and, while its numbers are suspicious, the last one from before that."""

    def __init__(self, work: Path, fingerprint: dict) -> None:
        self.state, self.before = work / _STATE, work / _BEFORE
        self.fingerprint = fingerprint
        self.saved: int | None = None
        self.good = False
        """Whether `state` is of a time when nothing was suspicious."""

    def resume(self, objective: Resumable, health: Health) -> int:
        """Load the newest checkpoint that is whole and of this training; return the number of its steps, 0 without one.

        `state` is the one loaded then, and `before`, if it is there, an older good one.
        """
        for path in (self.state, self.before):
            if not path.exists():
                continue
            try:
                tensors, header = load_weights(path, _KIND, self.fingerprint)
            except CheckpointError as error:
                tqdm.write(f"not resumed: {error}")
                continue
            before, here = header["extra"].get("arithmetic"), _arithmetic_of(objective)
            if before != here:
                tqdm.write(f"resumed: {path} was computed on {before}, here is {here}: the result is of both")
            _load_state(objective, tensors)
            if path == self.before:
                # What was written after it is missing or damaged.
                os.replace(self.before, self.state)
            health.restore(header["extra"]["health"])
            self.saved, self.good = int(header["extra"]["step"]), not health.suspicious
            return self.saved
        self.before.unlink(missing_ok=True)
        return 0

    def save(self, objective: Resumable, step: int, health: Health) -> None:
        """Write a checkpoint after `step` steps; a suspicious one leaves the last good one in place, beside it."""
        if health.suspicious and self.good:
            os.replace(self.state, self.before)
            self.good = False
        _save_state(objective, self.state, step, self.fingerprint, health)
        self.saved, self.good = step, not health.suspicious
        if self.good:
            self.before.unlink(missing_ok=True)

    def last_good(self) -> str:
        """Leave the last good checkpoint alone, and say where it is."""
        if not self.good:
            self.state.unlink(missing_ok=True)
            if not self.before.exists():
                return "there is no checkpoint yet"
            os.replace(self.before, self.state)
            self.saved = int(read_header(self.state)["extra"]["step"])
        return f"the last good checkpoint is {self.state}, after {self.saved} steps"


def remove_checkpoints(work: str | Path) -> None:
    """Remove those of all trainings in `work`, and weights kept there, once what they were for is written."""
    for path in Path(work).rglob("*.safetensors"):
        path.unlink(missing_ok=True)


def _save_state(objective: Resumable, path: Path, step: int, fingerprint: dict, health: Health) -> None:
    """Write networks, optimisers and what is known of their health after `step` steps into one checkpoint."""
    tensors: dict[str, Tensor] = {}
    for name, network in objective.networks.items():
        tensors |= {f"network/{name}/{key}": value for key, value in network.state_dict().items()}
    for name, optimiser in objective.optimisers.items():
        for index, entries in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{index}/{key}": torch.as_tensor(value) for key, value in entries.items()}
    extra = {"step": step, "health": health.state(), "arithmetic": _arithmetic_of(objective)}
    save_weights(path, tensors, _KIND, fingerprint, extra)


def _arithmetic_of(objective: Resumable) -> str:
    weights = (value for network in objective.networks.values() for value in network.state_dict().values())
    return arithmetic(next(weights).device, getattr(objective, "mixed", True))


def _load_state(objective: Resumable, tensors: dict[str, Tensor]) -> None:
    for name, network in objective.networks.items():
        prefix = f"network/{name}/"
        network.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, optimiser in objective.optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, owner, *rest = key.split("/")
            if kind == "optimiser" and owner == name:
                state.setdefault(int(rest[0]), {})[rest[1]] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        for parameter, entries in optimiser.state.items():
            # Fused optimisers walk through memory: a moment must be laid out like its weight, channels last or not.
            entries |= {
                k: torch.empty_like(parameter).copy_(v) for k, v in entries.items() if v.shape == parameter.shape
            }
