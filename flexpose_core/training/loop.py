"""The one training loop: generator, β, τ, KeypointGAN all run through `train`.

An objective says what one step is; the loop owns steps, seeds, progress, scalars, pictures, checkpoints, resuming and the
check that the losses are finite.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from flexpose_core.errors import CheckpointError, StoppedError, TrainingError
from flexpose_core.files import digest
from flexpose_core.seeds import StepRandom
from flexpose_core.training.checkpoint import load_weights, save_weights

_KIND = "training_state"


class LoopOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a training is watched and saved; none of these changes its result."""

    log_every: int = 50
    picture_every: int = 500
    checkpoint_seconds: float = 60.0


class Objective(Protocol):
    """What a training consists of."""

    networks: dict[str, nn.Module]
    """Everything with parameters or buffers that a checkpoint must hold, averages included."""

    optimisers: dict[str, torch.optim.Optimizer]

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        """Update the networks once and return scalars to log; every draw comes from `random`."""

    def picture(self) -> np.ndarray | None:
        """Return an (H, W, 3) uint8 image of the present state, or None."""


def train(
    objective: Objective,
    steps: int,
    stage: str,
    seed: int,
    work: str | Path,
    identity: str = "",
    options: LoopOptions | None = None,
) -> None:
    """Run `steps` steps of `objective`, going on from the checkpoint in `work` if there is one.

    Parameters
    ----------
    stage
        Names the random streams and the progress bar.
    work
        Folder for the checkpoint and the TensorBoard log.
    identity
        A text that states all that shapes the result (options, inputs' checksums). A checkpoint of another identity is not
        resumed but replaced.

    Raises
    ------
    TrainingError
        If a logged scalar is not finite; the message names the step and the last good checkpoint.
    StoppedError
        After SIGTERM, which schedulers send some seconds before they kill: the step is ended and a checkpoint written.
    """
    options = options or LoopOptions()
    work = Path(work)
    state = work / "state.safetensors"
    fingerprint = {"stage": stage, "seed": seed, "steps": steps, "identity": digest(identity.encode())}
    first = _resume(objective, state, fingerprint)
    saved, saved_at = first, time.monotonic()
    with (
        _sigterm_noted() as told_to_stop,
        SummaryWriter(str(work / "log"), purge_step=first) as log,
        tqdm(total=steps, initial=first, desc=stage, mininterval=2) as bar,
    ):
        for step in range(first, steps):
            scalars = objective.step(step, StepRandom(seed, stage, step))
            bar.update()
            last = step + 1 == steps
            if step % options.log_every == 0 or last:
                values = _plain(scalars)
                _check_finite(values, step, state if saved else None)
                for name, value in values.items():
                    log.add_scalar(f"{stage}/{name}", value, step)
                bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            if (step and step % options.picture_every == 0) or last:
                picture = objective.picture()
                if picture is not None:
                    log.add_image(stage, picture, step, dataformats="HWC")
            stop = told_to_stop.is_set()
            if stop or (time.monotonic() - saved_at > options.checkpoint_seconds and not last):
                _check_finite(_plain(scalars), step, state if saved else None)
                save_state(objective, state, step + 1, fingerprint)
                saved, saved_at = step + 1, time.monotonic()
            if stop:
                raise StoppedError(f"{stage}: told to stop after step {step}; the same command goes on from {state}")
    state.unlink(missing_ok=True)


def save_state(objective: Objective, path: Path, step: int, fingerprint: dict) -> None:
    """Write networks and optimisers after `step` steps into one checkpoint."""
    tensors: dict[str, Tensor] = {}
    for name, network in objective.networks.items():
        tensors |= {f"network/{name}/{key}": value for key, value in network.state_dict().items()}
    for name, optimiser in objective.optimisers.items():
        for index, entries in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{index}/{key}": torch.as_tensor(value) for key, value in entries.items()}
    save_weights(path, tensors, _KIND, fingerprint, {"step": step})


def _resume(objective: Objective, path: Path, fingerprint: dict) -> int:
    if not path.exists():
        return 0
    try:
        tensors, header = load_weights(path, _KIND, fingerprint)
    except CheckpointError as error:
        tqdm.write(f"starting afresh: {error}")
        return 0
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
    return int(header["extra"]["step"])


@contextmanager
def _sigterm_noted() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets instead of ending the process; outside the main thread Python cannot, and it stays unset."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    previous = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, previous)


def _plain(scalars: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in scalars.items()}


def _check_finite(values: dict[str, float], step: int, checkpoint: Path | None) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint yet"
            raise TrainingError(f"{name} is {value} at step {step}: expected a finite number; {kept}")


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set one learning rate for all parameter groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def warmup_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Return the factor on the learning rate: a linear rise, then half a cosine down to 1 %."""
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def warmup_linear(step: int, steps: int, warmup: int = 50) -> float:
    """Return the factor on the learning rate: a linear rise, flat until half way, then linear down to 2 %."""
    return min(1.0, (step + 1) / warmup) * min(1.0, 2 * (1 - step / steps) + 0.02)
