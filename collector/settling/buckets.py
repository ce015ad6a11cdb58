"""The buckets that settling replaces as wholes: ten seconds of UTC, by when a request began or a joule was spent.

Releases before them replaced whole minutes. What such a release wrote still lies in buckets of a minute, each named by
its start as the first ten seconds of that minute now are, and is replaced together with them.
"""

from typing import Final

from analytics.relations.settlement import BUCKET_NS
from store.writing import Store

MINUTE_NS: Final = 60_000_000_000
LONGEST_CALL_NS: Final = 86_400_000_000_000
"""A span that claims to have lasted for years must not become millions of buckets."""
WIDE: Final = """
    SELECT DISTINCT bucket_ns FROM {relation}_bucketed
    WHERE bucket_ns BETWEEN $low AND $high AND bucket_ns IN (SELECT unnest($minutes::BIGINT[]))
      AND started_at >= make_timestamp((bucket_ns + $width) // 1000)"""

Buckets = set[int]  # UTC nanoseconds of their starts
Runs = list[tuple[int, int]]


def buckets_of(low: int, high: int) -> Buckets:
    """The buckets that [low, high] touches, of a day at most."""
    low = max(low, high - LONGEST_CALL_NS)
    return set(range(low // BUCKET_NS * BUCKET_NS, high + 1, BUCKET_NS))


def runs_of(buckets: Buckets) -> Runs:
    """Neighbouring buckets joined into [low, high)."""
    runs: Runs = []
    for bucket in sorted(buckets):
        if runs and runs[-1][1] == bucket:
            runs[-1] = (runs[-1][0], bucket + BUCKET_NS)
        else:
            runs.append((bucket, bucket + BUCKET_NS))
    return runs


def sharing_a_wide_one(store: Store, relation: str, buckets: Buckets) -> Buckets:
    """All buckets of the minutes of ``buckets`` that an older release settled as wholes."""
    minutes = sorted({bucket // MINUTE_NS * MINUTE_NS for bucket in buckets})
    if not minutes:
        return set()
    named = {"minutes": minutes, "low": minutes[0], "high": minutes[-1], "width": BUCKET_NS}
    wide = store.query(WIDE.format(relation=relation), named)["bucket_ns"].to_pylist()
    return {bucket for minute in wide for bucket in range(minute, minute + MINUTE_NS, BUCKET_NS)}
