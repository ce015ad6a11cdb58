"""What the rows of an hour add up to: roll-ups that long questions read instead of millions of rows.

The ``.sql`` files here are SELECTs over ``{rows}`` at ``{moment}``. The same text sums an hour for the store and, in a
question, the buckets that no roll-up covers, so that both mean the same.
"""

from typing import Final

from analytics.hours.sums import counted, duration_names, energy, requests, steps, values

__all__ = ["HOUR_S", "counted", "duration_names", "energy", "requests", "steps", "values"]

HOUR_S: Final = 3600
