"""The C library's allocator in a process whose clients decide the size of its largest blocks."""

import ctypes
from typing import Final

LARGE_BYTES: Final = 32 * 1024
"""The size from which a block has pages of its own. Bodies come in pieces of 64 KiB."""
_M_MMAP_THRESHOLD: Final = -3


def return_large_blocks() -> bool:
    """Let the allocator give each large block back to the system as soon as it is freed (mallopt(3), `M_MMAP_THRESHOLD`).
    Otherwise it raises the size from which it does so to that of the largest block freed so far, up to 32 MiB, and a few
    large bodies leave gaps in memory that stay resident. Returns False where the C library has no such setting."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and bool(set_option(_M_MMAP_THRESHOLD, LARGE_BYTES))
