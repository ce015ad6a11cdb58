"""The data points that a stretch of energy is split by: of it, of the quarter of an hour before it, and beside.

A meter may be silent for longer than what is read. Its counter counted on, so the next reading after the stretch and
the last one before say what it used, and are read too; within an hour, beyond which the ledger looks at nothing.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import HISTORY_LIMIT_NS, HISTORY_NS, MARGIN_S
from collector.settling.buckets import Buckets, buckets_of, runs_of
from conventions import instruments
from store.writing import Store

SECOND_NS: Final = 1_000_000_000
MARGIN_NS: Final = round(MARGIN_S * SECOND_NS)
ENERGY: Final = instruments.HW_ENERGY.name
COUNTERS: Final = [
    ENERGY,
    instruments.HOST_CPU_TIME.name,
    instruments.PROCESS_CPU_TIME.name,
    *(counter.name for counter in instruments.ENGINE_COUNTERS),
]
METRICS: Final = [*COUNTERS, instruments.HW_POWER.name, instruments.HW_IDLE_POWER.name]

POINTS: Final = """
    SELECT metric, time_ns, start_ns, value, engine, device, device_type, source, scope, quality,
           resource['host.name'] AS host
    FROM metric_points
    WHERE metric IN (SELECT unnest($metrics)) AND time_ns >= $low AND time_ns < $high
      AND temporality IS DISTINCT FROM 'delta'"""
NEAREST: Final = (
    POINTS + " QUALIFY row_number() OVER (PARTITION BY metric, device, engine, host ORDER BY time_ns {order}) = 1"
)
BESIDE_EDGES: Final = """
    SELECT max(time_ns) FILTER (time_ns <= $low) AS before_low, min(time_ns) FILTER (time_ns > $low) AS after_low,
           max(time_ns) FILTER (time_ns < $high) AS before_high, min(time_ns) FILTER (time_ns >= $high) AS after_high
    FROM metric_points
    WHERE metric = $metric AND time_ns >= $low - $history AND time_ns < $high + $history
      AND temporality IS DISTINCT FROM 'delta'
    GROUP BY device"""


def points_of(store: Store, low: int, high: int) -> pa.Table:
    """Points that split the energy of [low, high), UTC nanoseconds."""
    begin, end = low - HISTORY_NS, high + MARGIN_NS
    read = store.query(POINTS, {"metrics": METRICS, "low": begin, "high": end})
    energy = read.filter(pc.equal(read["metric"], ENERGY))
    sampled = energy.group_by("device").aggregate([("time_ns", "min"), ("time_ns", "max")])
    beside = []
    if not sampled.num_rows or pc.min(sampled["time_ns_max"]).as_py() < high:
        beside.append(_nearest(store, end, high + HISTORY_LIMIT_NS, "ASC"))
    if not sampled.num_rows or pc.max(sampled["time_ns_min"]).as_py() > low:
        beside.append(_nearest(store, low - HISTORY_LIMIT_NS, begin, "DESC"))
    return pa.concat_tables([read, *beside])


def _nearest(store: Store, low: int, high: int, order: str) -> pa.Table:
    return store.query(NEAREST.format(order=order), {"metrics": COUNTERS, "low": low, "high": high})


def with_silences(store: Store, buckets: Buckets) -> Buckets:
    """``buckets`` and all others of a meter's silence that one of them lies in.

    What a counter used in a silence is split over all work done in it, so its buckets are settled together: also those
    that were settled before the meter spoke again, for other devices.
    """
    found = set(buckets)
    for low, high in runs_of(buckets):
        named = {"metric": ENERGY, "low": low, "high": high, "history": HISTORY_NS}
        for row in store.query(BESIDE_EDGES, named).to_pylist():
            for before, after in ((row["before_low"], row["after_low"]), (row["before_high"], row["after_high"])):
                if before is not None and after is not None and after - before > MARGIN_NS:
                    found |= buckets_of(before, after)
    return found
