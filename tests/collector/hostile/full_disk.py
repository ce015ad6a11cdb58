"""A disk of 96 MB is filled under load, emptied, filled again, and the collector killed.

With and without the reserve (``min_free_mb``) that keeps the collector from filling the disk by itself.
"""

import time
from collections.abc import Callable
from pathlib import Path

from tests.collector.hostile.scene import Sender, lost, said, small_disk
from tests.collector.running_collector import RunningCollector, started

DISK_MB = 96
PATIENCE_S = 120.0


def main() -> None:
    """Both ways."""
    for reserve_mb in (24, 0):
        with small_disk(DISK_MB) as disk, started(disk) as start:
            said("== reserve", f"{reserve_mb} MB of {DISK_MB}")
            _fill(disk, start(f"min_free_mb = {reserve_mb}"), lambda: start("min_free_mb = 8"))


def _fill(disk: Path, running: RunningCollector, restart: Callable[[], RunningCollector]) -> None:
    ballast = disk / "ballast"
    with Sender(running.url) as sender:
        _until(lambda: len(sender.acknowledged) > 500)
        _grow(ballast)
        _until(lambda: len(sender.refused) > 20 or _in_trouble(running))
        said(
            "when the disk is full a sender gets", set(sender.refused) or "200, while the spool has zeros to write over"
        )
        said("queries are answered", running.query("SELECT count(*) > 0 FROM spans"))
        said("/health", running.http.get("/health").json()["status"])
        before = len(sender.acknowledged)
        ballast.unlink()
        _until(lambda: len(sender.acknowledged) > before + 200)
        said("room again", "senders are acknowledged without a restart")
        _grow(ballast)
        _until(lambda: len(sender.refused) > 40 or _in_trouble(running))
    said("sender", sender.summary())
    running.kill()
    ballast.unlink()
    again = restart()
    said("acknowledged spans lost after kill -9 and a restart", missing := lost(again, sender.acknowledged))
    assert not missing
    assert again.settle() == 200
    said("requests settled, all of them once", again.query("SELECT count(*) = count(DISTINCT trace_id) FROM requests"))


def _in_trouble(running: RunningCollector) -> bool:
    return "nothing is stored" in running.http.get("/health").json()["status"]


def _grow(ballast: Path) -> None:
    """Take all the room there is."""
    with ballast.open("ab", buffering=0) as file:  # else what is left in the buffer fails once more when it is closed
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            return


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


if __name__ == "__main__":
    main()
