"""Lengths of time as people write them in configuration: ``5m``, ``1h``, ``30d``."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"(\d+)([smhdw])")


def duration(text: str) -> timedelta:
    """``text`` as a length of time. Raises ``ValueError`` saying how to write one."""
    match = _DURATION.fullmatch(text)
    if match is None or int(match.group(1)) == 0:
        raise ValueError(f"{text!r} is not a length of time: write a number and s, m, h, d or w, such as 5m or 30d")
    return timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})
