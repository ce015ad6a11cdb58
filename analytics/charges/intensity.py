"""Carbon intensity of one grid zone at a moment: the value of then, else an older one, else the yearly mean.

A series has one zone and one basis: average and marginal intensities answer different questions and are never mixed.
It does not know the mix that a contract promises (market-based figures): location-based values only, as SCI asks.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

Basis = Literal["average", "marginal"]
DEFAULT_HOLD: Final = timedelta(hours=1)
"""How long a value holds whose end nobody states: grid data are hourly or finer."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """One value of a zone, as a row of ``grid_intensity``; times are UTC without a zone.

    ``estimated``: not a reading of this moment (modelled by the provider, older than the moment, or a yearly mean).
    ``emissions``: ``lifecycle`` (with building and fuel supply), ``direct`` (combustion only), None where not stated.
    """

    zone: str
    started_at: datetime
    ended_at: datetime | None
    g_per_kwh: float
    basis: Basis
    source: str
    year: int | None = None
    estimated: bool = False
    emissions: str | None = None

    @property
    def factor(self) -> str:
        """The series in words: zone, year and source."""
        return " ".join(str(part) for part in (self.zone, self.year, self.source) if part is not None)


class IntensitySeries:
    """Values of one zone and basis; at the same start the later one in ``rows`` wins (a provider corrected itself).

    ``max_age`` bounds how long after its end a value may still stand in, marked estimated. ``yearly`` stands in where
    there is none; it must have the same basis.
    """

    def __init__(self, rows: Sequence[Intensity], yearly: Intensity | None, max_age: timedelta) -> None:
        kept = {row.started_at: row for row in rows}
        self._rows = [kept[start] for start in sorted(kept)]
        self._starts = [row.started_at for row in self._rows]
        self._yearly = yearly
        self._max_age = max_age
        kinds = {(row.zone, row.basis) for row in self._rows} | ({("", yearly.basis)} if yearly else set())
        assert len({basis for _, basis in kinds}) <= 1, f"a series of more than one basis: {kinds}"
        assert len({zone for zone, _ in kinds if zone}) <= 1, f"a series of more than one zone: {kinds}"

    def at(self, moment: datetime) -> Intensity | None:
        """The value to use at ``moment``, with ``estimated`` set where it is not of that moment; None if unknown."""
        place = bisect_right(self._starts, moment) - 1
        if place >= 0:
            row = self._rows[place]
            until = row.ended_at or row.started_at + DEFAULT_HOLD
            if moment < until:
                return row
            if moment - until < self._max_age:
                return replace(row, estimated=True)
        return self._yearly


def from_rows(rows: Sequence[dict[str, Any]]) -> list[Intensity]:
    """Rows of ``grid_intensity`` in the order they were recorded."""
    return [
        Intensity(
            row["zone"], row["started_at"], row["ended_at"], row["g_per_kwh"], row["basis"], row["source"],
            row["year"], row["estimated"], row["emissions"],
        )
        for row in rows
    ]  # fmt: skip
