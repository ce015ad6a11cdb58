"""UTC days counted from 1970-01-01, and their dates."""

import datetime
from typing import Final

NANOSECONDS_PER_HOUR: Final = 3_600_000_000_000
NANOSECONDS_PER_DAY: Final = 24 * NANOSECONDS_PER_HOUR
_EPOCH: Final = datetime.date(1970, 1, 1)


def date_of(day: int) -> datetime.date:
    """The date of ``day``."""
    return _EPOCH + datetime.timedelta(days=day)


def day_of(date: datetime.date) -> int:
    """The day of ``date``."""
    return (date - _EPOCH).days
