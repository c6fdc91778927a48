"""Freed memory stays with the process, and nothing happens where the C library is another one."""

import ctypes
import platform
import subprocess
import sys

import pytest

from flexpose_core.allocation import keep_freed_memory

TAKE_AND_FREE = """
import resource
import torch
from flexpose_core.allocation import keep_freed_memory

if {kept}:
    print(keep_freed_memory())
for _ in range(10):
    torch.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept):
    """The pages that a process asks for that takes and frees 40 MB thirty times, and what it printed before."""
    code = TAKE_AND_FREE.format(kept=kept)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, count = done.stdout.split()
    return int(count), said


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again():
    without, _ = faults(False)
    kept, said = faults(True)
    assert said == ["True"]
    # Pages are of 2 MB at most: at least 20 of them each of thirty times, against next to none.
    assert without > 500
    assert kept < 0.1 * without


def test_without_glibc_nothing_happens(monkeypatch):
    def nothing(_name):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", nothing)
    assert not keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not keep_freed_memory()
