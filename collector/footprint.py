"""What of this process's memory is whose: the system's view of it, DuckDB's own account and Arrow's.

What none of the accounts explains is Python's objects, NumPy's arrays and what allocators keep of memory that was
freed. Systems other than Linux tell the accounts only.
"""

import ctypes
import re
from pathlib import Path
from typing import Final

import pyarrow as pa

from store.writing import Store

STATUS: Final = Path("/proc/self/status")
KILOBYTE: Final = 1024
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # malloc.h
LARGE_BYTES: Final = 200_000  # below DuckDB's blocks of 256 KiB: kept among small ones they held 100 MB, and took time
ARENAS: Final = 2
SYSTEM: Final = {"resident": "VmRSS", "anonymous": "RssAnon", "peak": "VmHWM"}


class Footprint:
    """Bytes by part. ``anonymous`` is ``resident`` without pages of files, which the system can take back; ``store`` is
    DuckDB's account, ``arrow`` that of tables on their way in or out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> dict[str, float]:
        """All parts now."""
        status = STATUS.read_text(encoding="utf-8") if STATUS.exists() else ""
        found = {part: re.search(rf"{name}:\s+(\d+) kB", status) for part, name in SYSTEM.items()}
        parts = {part: float(match[1]) * KILOBYTE for part, match in found.items() if match}
        return {**parts, "store": float(self._store.memory_bytes()), "arrow": float(pa.total_allocated_bytes())}


def return_large_blocks() -> None:
    """Have the allocators give large blocks back when they are freed; to be called before anything is allocated.

    glibc keeps those of up to 32 MB once one was, of every thread: of NumPy's arrays in a settling pass some hundred
    MB. Arrow's own allocator keeps as much, so its tables come from glibc too. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_ARENA_MAX, ARENAS)
        pa.set_memory_pool(pa.system_memory_pool())


def release_memory() -> None:
    """Give back what the allocators keep of memory that was freed: after a pass over 100,000 spans some 300 MB."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
