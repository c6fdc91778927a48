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
_FILES = "events.out.tfevents.*"


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
            # The form of name that TensorBoard looks for. Its last part says which session this is: clocks can be set back, and
            # one that goes on from a checkpoint of long ago begins before others.
            session = 1 + max((_session(path) for path in folder.glob(_FILES)), default=0)
            name = f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.{session}"
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

    From the step on at which a session began, what those before it said does not count: it was lost when they were killed, or
    given up with a later checkpoint.

    Raises
    ------
    DataError
        If a file is damaged; that its last record is cut off, by a kill, is no damage.
    """
    found: dict[str, dict[int, float]] = {}
    for path in sorted(Path(folder).glob(_FILES), key=_session):
        for event in _events(path):
            if event.session_log.status == SessionLog.START:
                found = {tag: {s: v for s, v in points.items() if s < event.step} for tag, points in found.items()}
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return {tag: points for tag, points in found.items() if points}


def _session(path: Path) -> int:
    """Return which session of a training a file is of, as its name says; raises DataError if it does not."""
    number = path.name.rpartition(".")[2]
    if not number.isdecimal():
        raise DataError(f"{path}: expected a log whose name ends in a number, found {path.name}")
    return int(number)


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
