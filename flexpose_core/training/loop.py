"""The one training loop: generator, β, τ, KeypointGAN all run through `train`.

An objective says what one step is; the loop owns steps, seeds, progress, scalars, pictures, checkpoints, resuming and the
watch over losses, gradients and weights, which stops a training that diverges.
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
from tqdm import tqdm

from flexpose_core.errors import StoppedError, TrainingError
from flexpose_core.files import digest
from flexpose_core.streams import StepRandom
from flexpose_core.training.health import WEIGHTS, Health, gradient_norms, weights_norm
from flexpose_core.training.log import HEALTH, TrainingLog
from flexpose_core.training.resuming import Checkpoints


class LoopOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a training is watched and saved; none of these changes its result.

    Parameters
    ----------
    diverged_factor, diverged_steps
        A loss or a gradient's norm that is so many times as large as at the start, for so many steps one after the other, stops
        the training, and so does the norm of the weights at once; see `flexpose_core.training.health`.
    """

    log_every: int = 50
    picture_every: int = 500
    checkpoint_seconds: float = 60.0
    diverged_factor: float = 1000.0
    diverged_steps: int = 20


class Objective(Protocol):
    """What a training consists of."""

    networks: dict[str, nn.Module]
    """Everything with parameters or buffers that a checkpoint must hold, averages included."""

    optimisers: dict[str, torch.optim.Optimizer]

    # One that clips its gradients says in `unclipped: dict[str, Tensor]` what "gradient/NAME" was before.

    def step(self, step: int, random: StepRandom) -> dict[str, Tensor]:
        """Update the networks once and return scalars to log; every draw comes from `random`."""

    def picture(self, random: StepRandom) -> np.ndarray | None:
        """Return an (H, W, 3) uint8 image of the present state, or None; `random` draws the same at every step."""


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

    The last one remains, so that nothing is trained again if what follows fails: once that is written, call `remove_checkpoints`,
    as `stages.reporting.reporting` does. Until then the same call returns at once what was trained.

    Parameters
    ----------
    stage
        Names the random streams and the progress bar.
    work
        Folder for the checkpoint and the TensorBoard log.
    identity
        A text that states all that shapes the result (code, options, inputs' checksums). A checkpoint of another identity is not
        resumed but replaced.

    Raises
    ------
    TrainingError
        If a loss, a gradient or a weight is not finite, or the training diverges; the message names the step and the last good
        checkpoint, which is from before that.
    StoppedError
        After SIGTERM, which schedulers send some seconds before they kill: the step is ended and a checkpoint written.
    OutputError
        If the log or a checkpoint could not be written.
    """
    options = options or LoopOptions()
    work = Path(work)
    checkpoints = Checkpoints(
        work, {"stage": stage, "seed": seed, "steps": steps, "identity": digest(identity.encode())}
    )
    health = Health(options.diverged_factor, options.diverged_steps)
    first = checkpoints.resume(objective, health)
    if first == 0:
        health.observe(0, {WEIGHTS: weights_norm(objective.networks)})
    saved_at = time.monotonic()  # which no setting of the clock moves
    unseen: list[tuple[int, dict[str, Tensor]]] = []
    with (
        _sigterm_noted() as told_to_stop,
        TrainingLog(work / "log", first) as log,
        tqdm(total=steps, initial=first, desc=stage, mininterval=2) as bar,
    ):
        for step in range(first, steps):
            scalars = objective.step(step, StepRandom(seed, stage, step))
            known = getattr(objective, "unclipped", {})
            unknown = {name: one for name, one in objective.optimisers.items() if f"gradient/{name}" not in known}
            gradients = gradient_norms(unknown) | known
            # Detached, or what the losses were computed from would be kept as well.
            unseen.append((step, {name: value.detach() for name, value in (scalars | gradients).items()}))
            bar.update()
            last = step + 1 == steps
            stop = told_to_stop.is_set()
            logged = step % options.log_every == 0 or last
            saving = stop or last or time.monotonic() - saved_at > options.checkpoint_seconds
            if logged or saving:
                # Not at every step: a GPU would have to be waited for.
                weights = _watch(health, unseen, objective, checkpoints)
                unseen.clear()
            if logged:
                values = _plain(scalars)
                log.scalars(stage, step, values)
                log.scalars(HEALTH + stage, step, {**_plain(gradients), WEIGHTS: weights})
                bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            if (step and step % options.picture_every == 0) or last:
                log.picture(stage, step, objective.picture(StepRandom(seed, f"{stage}/picture", 0)))
            if saving:
                checkpoints.save(objective, step + 1, health)
                saved_at = time.monotonic()
            # After the last step nobody would notice later that it came while a picture was made, or the checkpoint written.
            if stop or (last and told_to_stop.is_set()):
                raise StoppedError(
                    f"{stage}: told to stop after step {step}; the same command goes on from {checkpoints.state}"
                )


def _watch(
    health: Health,
    unseen: list[tuple[int, dict[str, Tensor]]],
    objective: Objective,
    checkpoints: Checkpoints,
) -> float:
    """Return the norm of the weights; raise TrainingError, naming the last good checkpoint, if anything is not healthy."""
    weights = weights_norm(objective.networks)
    try:
        for step, scalars in unseen:
            health.observe(step, _plain(scalars))
        health.observe(unseen[-1][0], {WEIGHTS: weights})
    except TrainingError as error:
        raise TrainingError(f"{error}; {checkpoints.last_good()}") from None
    return weights


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


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set one learning rate for all parameter groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def warmup_cosine(step: int, steps: int, warmup: int = 50, last: float = 0.01) -> float:
    """Return the factor on the learning rate: a linear rise, then half a cosine down to `last`."""
    return min(1.0, (step + 1) / warmup) * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def warmup_linear(step: int, steps: int, warmup: int = 50) -> float:
    """Return the factor on the learning rate: a linear rise, flat until half way, then linear down to 2 %."""
    return min(1.0, (step + 1) / warmup) * min(1.0, 2 * (1 - step / steps) + 0.02)
