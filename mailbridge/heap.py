"""Keeps the daemon's memory from staying as high as its largest mail once took it.

glibc raises the size from which a block has pages of its own, up to 32 MB, as soon as one such block is freed:
from then on large mails lie in the heap, whose holes are not given back. A fixed size turns that off.

Standards: none; mallopt(3).
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_OWN_PAGES = 1 << 20
"""Bytes. Smaller ones, all usual mail among them, are quicker from the heap."""


def give_large_blocks_back() -> bool:
    """Have freed blocks of 1 MiB and more returned to the system at once; False where the C library cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl, macOS
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES))
