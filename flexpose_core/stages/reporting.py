"""What every workflow script does around its stage: threads, memory, a log, and one line for what a person can mend."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import cv2

from flexpose_core.allocation import keep_freed_memory
from flexpose_core.errors import FlexPoseError, OutputError
from flexpose_core.files import read_json, write_json
from flexpose_core.stamp import library_versions

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a disk says that is full or may not be written."""


class _Tee:
    """Writes to a stream and into a log; that the log refuses is not to end the stage in the middle, and is said at its end."""

    def __init__(self, stream: TextIO, log: _Log) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.stream.write(text)
        self.log.write(text)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()
        self.log.flush()

    def isatty(self) -> bool:
        return False


class _Log:
    def __init__(self, path: str | Path) -> None:
        self.path, self.refusal = path, ""
        self.file: TextIO | None = None
        with self._noted():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # Not buffered by Python: what was refused once would be tried again, and refused again, when the file is closed.
            raw = open(path, "ab", buffering=0)  # noqa: SIM115 - closed in `close`
            self.file = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)

    def write(self, text: str) -> None:
        if self.file is not None:
            with self._noted():
                self.file.write(text)

    def flush(self) -> None:
        """Do nothing, as nothing is held back."""

    def close(self) -> None:
        if self.file is not None:
            with self._noted():
                self.file.close()

    def check(self) -> None:
        """Raise OutputError if something could not be written."""
        if self.refusal:
            raise OutputError(f"{self.path}: could not be written: {self.refusal}")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.refusal = self.refusal or error.strerror or str(error)
            self.file = None


@contextmanager
def reporting(log: str | Path, threads: int, work: str | Path | None = None) -> Iterator[None]:
    """Run a stage on so many threads, copy what it prints into `log`, turn a FlexPoseError into one line and exit status 1.

    So is a disk that is full or read-only, whichever file it was, the log included. Of a stage that ended well, the checkpoints in
    `work` are removed.
    """
    cv2.setNumThreads(threads)
    # Stages that compute without torch do not import it, which takes seconds.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    keep_freed_memory()
    copy = _Log(log)
    with redirect_stdout(_Tee(sys.stdout, copy)), redirect_stderr(_Tee(sys.stderr, copy)):
        try:
            yield
            copy.check()
            if work is not None:
                # Imports torch, which only what trains has imported.
                from flexpose_core.training.resuming import remove_checkpoints

                remove_checkpoints(work)
        except FlexPoseError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            print(f"OutputError: {error.filename or 'a file'}: could not be written: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        finally:
            copy.close()


def state_origin(metrics: str | Path, code: str, options: dict[str, Any], seed: int) -> None:
    """Add to a metrics file what it was made with: the code stamp of its stage, options, seed, and the versions of all libraries.

    Apart from the stages, so that a stage's own stamp does not depend on how this is written.
    """
    origin = {"code": code, "options": options, "seed": seed, "versions": library_versions()}
    write_json(metrics, {**read_json(metrics), "origin": origin})
