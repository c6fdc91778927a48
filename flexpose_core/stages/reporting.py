"""What every workflow script does around its stage: threads, a log, and one line for what a person can mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import torch

from flexpose_core.errors import FlexPoseError
from flexpose_core.files import read_json, write_json
from flexpose_core.stamp import library_versions


class _Tee:
    """Writes to several streams."""

    def __init__(self, *streams) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


@contextmanager
def reporting(log: str | Path, threads: int) -> Iterator[None]:
    """Run a stage on so many threads, copy what it prints into `log`, turn a FlexPoseError into one line and exit status 1."""
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "a", encoding="utf-8") as file,
        redirect_stdout(_Tee(sys.stdout, file)),
        redirect_stderr(_Tee(sys.stderr, file)),
    ):
        try:
            yield
        except FlexPoseError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)


def state_origin(metrics: str | Path, code: str, options: dict[str, Any], seed: int) -> None:
    """Add to a metrics file what it was made with: code stamp, options, seed, and the versions of all libraries.

    Apart from the stages, so that a stage's own stamp does not depend on how this is written.
    """
    origin = {"code": code, "options": options, "seed": seed, "versions": library_versions()}
    write_json(metrics, {**read_json(metrics), "origin": origin})
