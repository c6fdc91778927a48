"""NASA's Common Data Format, read by cdflib in a process of its own.

cdflib believes the counts that a file states: a damaged one can make it loop or allocate without end. So it runs under limits of
time, memory and file size, and what it finds comes back as plain numbers.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from flexpose_core.errors import DataError

SECONDS = 60
COMPUTING_SECONDS = 4
"""Of the processor alone, however busy the machine is: starting and reading the longest original takes half a second of it."""
BYTES = 900_000_000
_DAMAGED = 3
"""The exit status that says it is the file; any other than 0 says that the reading itself went wrong."""
_LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where some installations, modules of clusters among them, have Python's own libraries."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy reserves address space, which is limited, for a thread a core."""
MOST_NUMBERS = 12_000_000
"""The longest original sequence has 410,000."""


def load_cdf(path: Path, name: str) -> np.ndarray:
    """Return a numeric variable of a CDF file, records first.

    Raises
    ------
    DataError
        If the file is missing or none, lacks the variable, or cannot be read within the limits.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(
                # As a script, without this package's others, and its folder kept off the path: starting is what takes time.
                [sys.executable, "-P", __file__, str(path.absolute()), name],
                capture_output=True,
                timeout=SECONDS,
                check=False,
                # cdflib unpacks whole-file compression into a temporary file.
                env={
                    "TMPDIR": scratch,
                    "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
                    **{name: os.environ[name] for name in _LOADER if name in os.environ},
                    **_ONE_THREAD,
                },
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"{path}: damaged CDF file: not read within {SECONDS} s") from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise DataError(f"{path}: damaged CDF file: not read within {COMPUTING_SECONDS} s of computing")
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        found = words[-1][:200] if words else "reading it failed"
        # A signal is a library's that went astray in what the file says.
        state = "damaged CDF file" if done.returncode == _DAMAGED or done.returncode < 0 else "cdflib could not be run"
        raise DataError(f"{path}: {state}: {found}")
    return np.load(io.BytesIO(done.stdout), allow_pickle=False)


def _main(path: str, name: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (COMPUTING_SECONDS, COMPUTING_SECONDS + 1))
    from cdflib import CDF

    try:
        values = np.asarray(CDF(path).varget(name))
    except BaseException as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        raise SystemExit(_DAMAGED) from None
    if values.dtype.kind not in "iuf":
        print(f"{name}: expected numbers, found {values.dtype}", file=sys.stderr)
        raise SystemExit(_DAMAGED)
    if values.size > MOST_NUMBERS:
        print(f"{name}: expected at most {MOST_NUMBERS} numbers, found shape {values.shape}", file=sys.stderr)
        raise SystemExit(_DAMAGED)
    # A pipe has no position, which np.save asks for.
    held = io.BytesIO()
    np.save(held, values, allow_pickle=False)
    sys.stdout.buffer.write(held.getbuffer())


if __name__ == "__main__":
    _main(*sys.argv[1:])
