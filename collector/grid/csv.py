"""A time series in a file: ``started_at`` (ISO 8601, UTC unless it carries a zone) and ``g_per_kwh``.

Optional columns: ``ended_at`` (else a value holds until the next, an hour at most), ``zone`` and ``basis`` (rows of
others are left out), ``estimated``, ``emissions``. The file is read once, when the collector starts.
"""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from analytics.charges.intensity import Basis, Intensity
from collector.charging.provider import GridContext, GridUnavailable


class Provider:
    """The rows of one file for one zone and basis."""

    bases: ClassVar[tuple[Basis, ...]] = ("average", "marginal")
    live: ClassVar[bool] = False

    def __init__(self, context: GridContext) -> None:
        if context.file is None:
            raise GridUnavailable('provider csv: set [collector.grid] file = "intensity.csv"')
        self._context = context
        try:
            with context.file.open(encoding="utf-8-sig", newline="") as file:
                rows = [self._intensity(row) for row in csv.DictReader(file) if self._is_mine(row)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GridUnavailable(f"{context.file}: {error!r}; needs started_at, g_per_kwh") from None
        if not rows:
            raise GridUnavailable(f"{context.file}: no rows of zone {context.zone!r} and basis {context.basis!r}")
        self._rows = sorted(rows, key=lambda row: row.started_at)

    def yearly(self) -> None:
        """None: a file is a series."""

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:
        """The rows that begin in [since, until)."""
        return [row for row in self._rows if since <= row.started_at < until]

    def _is_mine(self, row: dict[str, str]) -> bool:
        zone, basis = row.get("zone") or self._context.zone, row.get("basis") or self._context.basis
        return (zone, basis) == (self._context.zone, self._context.basis)

    def _intensity(self, row: dict[str, str]) -> Intensity:
        assert self._context.file is not None
        ended = _moment(row["ended_at"]) if row.get("ended_at") else None
        estimated = (row.get("estimated") or "false").lower() in ("true", "1", "yes")
        return Intensity(
            zone=self._context.zone,
            started_at=_moment(row["started_at"]),
            ended_at=ended,
            g_per_kwh=_grams(row["g_per_kwh"]),
            basis=self._context.basis,
            source=f"csv: {self._context.file.name}",
            estimated=estimated,
            emissions=row.get("emissions") or None,
        )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _grams(text: str) -> float:
    grams = float(text)
    if not 0 <= grams < 10_000:
        raise ValueError(f"g_per_kwh {grams}: grids lie between 0 and about 1300 g/kWh")
    return grams
