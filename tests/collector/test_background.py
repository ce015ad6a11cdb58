"""What nobody waits for runs with less of the processor than what somebody does."""

import os
import sys
import threading

import pytest

from collector.background import NICER, background_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of single threads")
LEAST = 19


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_background_thread_yields_and_its_maker_does_not() -> None:
    before = priority()
    with background_thread("quiet") as thread:
        assert thread.submit(priority).result(10) == min(before + NICER, LEAST)
    assert priority() == before
