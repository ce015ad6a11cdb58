"""The house's own table, ``static.csv``: yearly means by zone, with year, basis and source in every row.

A yearly mean knows neither the hour nor the season, so everything it gives is marked estimated. Zones are ISO 3166
two-letter codes, and WORLD.
"""

import csv
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from typing import ClassVar

from analytics.charges.intensity import Basis, Intensity
from collector.charging.provider import GridContext, GridUnavailable
from conventions.plugins import unknown


class Provider:
    """One row of the table."""

    bases: ClassVar[tuple[Basis, ...]] = ("average",)
    live: ClassVar[bool] = False

    def __init__(self, context: GridContext) -> None:
        table = resources.files("collector.grid").joinpath("static.csv").read_text(encoding="utf-8")
        rows = {row["zone"]: row for row in csv.DictReader(table.splitlines())}
        row = rows.get(context.zone)
        if row is None:
            raise GridUnavailable(unknown("zone", context.zone, sorted(rows)))
        self._mean = yearly_mean(
            context.zone, float(row["g_per_kwh"]), int(row["year"]), f"static: {row['source']}", row["emissions"]
        )

    def yearly(self) -> Intensity:
        """The mean of the row's year."""
        return self._mean

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:  # noqa: ARG002 - there is no series
        """Nothing: a year has one value."""
        return ()


def yearly_mean(zone: str, g_per_kwh: float, year: int, source: str, emissions: str | None) -> Intensity:
    """An average over a calendar year, estimated for any moment, in it or after it."""
    begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)
    return Intensity(zone, begin, end, g_per_kwh, "average", source, year, estimated=True, emissions=emissions)
