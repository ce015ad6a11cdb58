"""Threads for work that nobody waits for: on Linux they yield the processor to taking in and answering.

Settling is what takes most of the processor from questions while spans arrive. Elsewhere than on Linux a priority
belongs to the whole process, and such a thread is like any other.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

NICER: Final = 5
"""A third of the share of a thread without it, on a core that both want: settling goes on however much is asked."""


def background_thread(name: str) -> ThreadPoolExecutor:
    """An executor of one thread: several would each keep what a pass took of memory."""
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_yield)


def _yield() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)
