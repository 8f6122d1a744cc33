"""Freed memory kept for the next step, on Linux with glibc.

Every step allocates and frees the same activities. glibc hands blocks of that size back to the kernel at once, which
must then zero and map each page again at the next step. Within this context freed blocks stay with the process.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # the parameters of mallopt(3)
DEFAULT: Final = 128 * 1024
KEPT: Final = 2**31 - 1


@contextmanager
def kept_pages() -> Iterator[None]:
    """Keep freed blocks while the context lasts; a C library without mallopt is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt if sys.platform == "linux" else None
    except AttributeError:
        mallopt = None
    if mallopt is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, KEPT)
    mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        mallopt(MMAP_THRESHOLD, DEFAULT)
        mallopt(TRIM_THRESHOLD, DEFAULT)
