"""What a training leaves to look at: TensorBoard's scalars and pictures."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.tensorflow_stub.errors import DataLossError, OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from flexpose_core.errors import DataError, OutputError

HEALTH = "health/"
"""What the names of gradients' and weights' norms begin with."""


class TrainingLog:
    """The TensorBoard log of a training that begins, or goes on, at step `first`.

    Written at once and not by a thread, as SummaryWriter does: what the disk refuses is known where it happens.

    Raises
    ------
    OutputError
        From any method, if the disk is full or the folder read-only.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.folder = folder
        if first == 0:
            # Scalars of a training with other options are no part of this one's curves.
            shutil.rmtree(folder, ignore_errors=True)
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            # The form of name that TensorBoard looks for; two sessions of one second differ.
            name = f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.{time.monotonic_ns()}"
            self.file = open(folder / name, "wb")  # noqa: SIM115 - closed in `__exit__`
        self.records = RecordWriter(self.file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=first, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        try:
            with self._writing():
                self.file.close()
        except OutputError:
            if kind is None:
                raise

    def scalars(self, prefix: str, step: int, values: dict[str, float]) -> None:
        """Write values at a step, each under prefix/name."""
        for name, value in values.items():
            self._write(Event(wall_time=time.time(), step=step, summary=summary.scalar(f"{prefix}/{name}", value)))

    def picture(self, name: str, step: int, picture: np.ndarray | None) -> None:
        """Write an (H, W, 3) uint8 image, if there is one."""
        if picture is not None:
            drawn = summary.image(name, picture, dataformats="HWC")
            self._write(Event(wall_time=time.time(), step=step, summary=drawn))

    def _write(self, event: Event) -> None:
        with self._writing():
            self.records.write(event.SerializeToString())
            self.file.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.folder}: could not be written: {error.strerror or error}") from error


def read_scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return step → value of each scalar of a training's log, in which an interrupted training has several files.

    What a resumed training says of a step counts more than what was said before it was killed. Which file is later, the steps tell
    and not the clock, which may have been set back in between.

    Raises
    ------
    DataError
        If a file is damaged; that its last record is cut off, by a kill, is no damage.
    """
    sessions = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        events = [event for event in _events(path) if event.HasField("summary")]
        if events:
            sessions.append((min(event.step for event in events), path.name, events))
    found: dict[str, dict[int, float]] = {}
    for _, _, events in sorted(sessions, key=lambda session: session[:2]):
        for event in events:
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def _events(path: Path) -> Iterator[Event]:
    reader = PyRecordReader_New(str(path))
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:
            return
        except DataLossError as error:
            if "truncated" in str(error):
                return
            raise DataError(f"{path}: damaged TensorBoard log: {error.message}") from error
        yield Event.FromString(reader.record())
