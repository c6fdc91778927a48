"""How the C library hands out memory: large tensors again and again, so what is freed should stay with the process."""

from __future__ import annotations

import ctypes

# <malloc.h> of glibc.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_KEPT = 1 << 30
_EVER = (1 << 31) - 1
_GROWTH = 1 << 26


def keep_freed_memory() -> bool:
    """Have freed memory used again rather than given back and asked for anew, page by page; return whether all of it took effect.

    glibc maps large blocks one by one, and unmaps them when they are freed. Networks free and take such blocks with every batch:
    sampling poses spent a quarter of its time on it. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = {_MMAP_THRESHOLD: _LARGEST_KEPT, _TRIM_THRESHOLD: _EVER, _TOP_PAD: _GROWTH}
    took = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings.items()]
    return all(took)
