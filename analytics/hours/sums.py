"""The SELECTs of roll-ups as text, over any rows."""

import re
from typing import Final

from conventions import plugins

_PACKAGE: Final = "analytics.hours"
_DURATIONS: Final = "analytics.hours.durations"
_COUNTED: Final = re.compile(r"^-- counted: (\w+)$", re.MULTILINE)


def requests(rows: str, moment: str, run: str = "NULL") -> str:
    """Counts and sums of the ``requests`` in ``rows`` by ``moment`` and group: the columns of ``request_hours``.

    ``run`` is the column of the run where runs are told apart; roll-ups do not.
    """
    return _filled(_text(_PACKAGE, "requests"), rows, moment).replace("{run}", run)


def energy(rows: str, moment: str) -> str:
    """Joules and charges of the ``energy_spent`` in ``rows`` by ``moment`` and group: columns of ``energy_hours``."""
    return _filled(_text(_PACKAGE, "energy"), rows, moment)


def duration_names() -> list[str]:
    """Sorted names of the durations that percentiles are taken of: one file of ``analytics/hours/durations`` each."""
    return plugins.names(_DURATIONS, ".sql")


def values(duration: str, rows: str) -> str:
    """The ``requests`` in ``rows`` that have the duration, with its ``value`` in seconds and its ``origin``."""
    return _text(_DURATIONS, duration).replace("{rows}", rows)


def counted(duration: str) -> str:
    """The column of ``request_hours`` that says how many values there may be: the file's line ``-- counted: …``."""
    found = _COUNTED.search(_text(_DURATIONS, duration))
    return found[1] if found else "requests"


def steps(duration: str, rows: str, moment: str) -> str:
    """How many values lie in each step (macro ``log_step``): the columns of ``duration_hours``."""
    text = _filled(_text(_PACKAGE, "steps"), f"({values(duration, rows)})", moment)
    return text.replace("{duration}", f"'{duration}'")


def _filled(text: str, rows: str, moment: str) -> str:
    return text.replace("{rows}", rows).replace("{moment}", moment)


def _text(package: str, name: str) -> str:
    return plugins.text(package, name, ".sql", "duration")
