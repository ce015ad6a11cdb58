"""Attributes a long stretch of time window by window, so that memory holds one window whatever the length.

Every window is one call of ``attribute``, which is what settling makes for the minutes it touches: there is no second
path. A window sees the points of HISTORY_NS before it (constants, idle power) and attempts within MARGIN_S of it, so
that requests that cross its edges are charged in both, for what they did in each. With the same constants, windows
together give the rows that one call would give; constants are found anew in each.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import HISTORY_NS, MARGIN_S, LedgerInputs, LedgerResult, LedgerSettings

WINDOW_S: Final = 6 * 3600.0
SECOND_NS: Final = 1_000_000_000

Read = Callable[[int, int], pa.Table]
"""Rows that lie in, or overlap, [low, high) of UTC nanoseconds."""


def attribute_windows(
    points: Read, attempts: Read, span_ns: tuple[int, int], settings: LedgerSettings, window_s: float = WINDOW_S
) -> Iterator[LedgerResult]:
    """Results of the windows of ``span_ns`` in order; constants of one window are handed on to the next."""
    begin, end = span_ns
    step, margin = (round(seconds * SECOND_NS) for seconds in (window_s, MARGIN_S))
    models: pa.Table | None = None
    for low in range(begin, end, step):
        high = min(low + step, end)
        near = attempts(low - margin, high + margin)
        inputs = LedgerInputs(points(low - HISTORY_NS, high + margin), near, (low, high), models, settings=settings)
        result = attribute(inputs)
        models = result.step_models if result.step_models.num_rows else models
        yield result
