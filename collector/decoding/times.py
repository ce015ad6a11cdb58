"""Which times of spans and data points can be believed. A wrong unit puts them into 1970 or far into the future."""

from conventions.units import NANOSECONDS_PER_SECOND

EARLIEST_NS = 946_684_800 * NANOSECONDS_PER_SECOND  # 2000-01-01
FUTURE_TOLERANCE_NS = 24 * 3_600 * NANOSECONDS_PER_SECOND  # clocks of other hosts may be a zone off, not a year
LONGEST_NS = 7 * 86_400 * NANOSECONDS_PER_SECOND


def interval_refusal(start_ns: int, end_ns: int, now_ns: int) -> str | None:
    """Why the interval cannot be stored, or ``None``. Times are UTC nanoseconds."""
    if EARLIEST_NS <= start_ns <= end_ns <= min(now_ns + FUTURE_TOLERANCE_NS, start_ns + LONGEST_NS):
        return None
    if end_ns < start_ns:
        return "ends before it starts"
    refusal = instant_refusal(start_ns, now_ns) or instant_refusal(end_ns, now_ns)
    if refusal is None and end_ns - start_ns > LONGEST_NS:
        return "lasts over a week: check that start and end are of the same clock and unit"
    return refusal


def instant_refusal(time_ns: int, now_ns: int) -> str | None:
    """Why the UTC nanosecond cannot be stored, or ``None``."""
    if time_ns <= 0:
        return "time is missing or not positive: send UTC nanoseconds since 1970"
    if time_ns < EARLIEST_NS:
        return "time is before the year 2000: check that the unit is nanoseconds"
    if time_ns > now_ns + FUTURE_TOLERANCE_NS:
        return "time is over a day in the future: check the sender's clock and that the unit is nanoseconds"
    return None
