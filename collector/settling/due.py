"""Buckets whose energy must be split again, and when that pays.

Splitting a bucket costs as much as all of its attempts, however few are new, and a call that lasts a minute touches six
buckets. So a pass that lags leaves a bucket until nothing new has come to it for ``RIPE_NS`` of what it takes in, and
``RIPEST_NS`` at most. One that keeps up splits what it can: its readers wait for joules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.settling.buckets import Buckets
from collector.settling.news import SECOND_NS

RIPE_NS: Final = 20 * SECOND_NS
RIPEST_NS: Final = 120 * SECOND_NS


@dataclass(frozen=True, slots=True)
class _Touches:
    first_ns: int
    last_ns: int


class Due:
    """Buckets by their start, each with the first and the last moment of receipt that touched it."""

    def __init__(self, buckets: Iterable[int] = ()) -> None:
        self._touches = {bucket: _Touches(0, 0) for bucket in buckets}

    def earliest(self, otherwise: int) -> int:
        """The first of them, or ``otherwise`` if that is earlier or there is none."""
        return min([otherwise, *self._touches])

    def touch(self, buckets: Buckets, received_ns: int) -> None:
        """Rows received up to ``received_ns`` belong to ``buckets``, or beside them."""
        for bucket in buckets:
            known = self._touches.get(bucket)
            self._touches[bucket] = _Touches(known.first_ns if known else received_ns, received_ns)

    def ready(self, energy_end: int, received_ns: int, *, lags: bool) -> list[int]:
        """Those that begin before ``energy_end`` and that a pass over rows up to ``received_ns`` should split."""
        return sorted(
            bucket
            for bucket, touches in self._touches.items()
            if bucket < energy_end and not (lags and _unripe(touches, received_ns))
        )

    def done(self, buckets: Buckets) -> None:
        """The energy of ``buckets`` is split."""
        for bucket in buckets:
            self._touches.pop(bucket, None)


def _unripe(touches: _Touches, received_ns: int) -> bool:
    return received_ns - touches.last_ns < RIPE_NS and received_ns - touches.first_ns < RIPEST_NS
