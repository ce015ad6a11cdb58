"""What a settling pass charges joules with: the stored intensities around the minutes it settles, and the prices.

Intensities are read from the store and not from the provider, so that a minute that is settled again is charged with
what is recorded, whoever recorded it and whenever.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.charges.intensity import Intensity, IntensitySeries, from_rows
from analytics.charges.intervals import Charging
from analytics.charges.prices import Hardware, Prices
from collector.settings import CollectorSettings, GridSettings
from store.writing import Store

LONGEST_VALUE: Final = timedelta(days=1)  # so long a value may hold: daily means are the coarsest series

RECORDED: Final = """
    SELECT * FROM grid_intensity
    WHERE zone = $zone AND basis = $basis AND starts_with(source, $source) AND year IS NULL
      AND started_at BETWEEN CAST($low AS TIMESTAMP) AND CAST($high AS TIMESTAMP)
    ORDER BY recorded_at"""


@dataclass(frozen=True, slots=True)
class Charger:
    """Settings, and the yearly mean that stands in where there is no value of the time."""

    grid: GridSettings | None
    yearly: Intensity | None
    prices: Prices | None
    hardware: tuple[Hardware, ...]

    @classmethod
    def of(cls, settings: CollectorSettings, yearly: Intensity | None) -> "Charger | None":
        """The charger of these settings; None where neither grid, prices nor hardware are configured."""
        if settings.grid is None and settings.prices is None and not settings.hardware:
            return None
        return cls(settings.grid, yearly, settings.prices, settings.hardware)

    def charging(self, store: Store, minutes_ns: Collection[int]) -> Charging:
        """What the energy of ``minutes_ns`` (UTC, starts of minutes) is charged with. Raises ``StoreError``."""
        pue = self.grid.pue if self.grid else 1.0
        series = self._series(store, self.grid, minutes_ns) if self.grid and minutes_ns else None
        return Charging(series, pue, self.prices, self.hardware)

    def _series(self, store: Store, grid: GridSettings, minutes_ns: Collection[int]) -> IntensitySeries:
        max_age = timedelta(seconds=grid.max_age_s)
        low, high = (datetime.fromtimestamp(at // 1_000_000_000, UTC) for at in (min(minutes_ns), max(minutes_ns)))
        bounds = {
            "low": (low.replace(tzinfo=None) - max_age - LONGEST_VALUE).isoformat(),
            "high": (high.replace(tzinfo=None) + timedelta(minutes=1)).isoformat(),
        }
        named = {"zone": grid.zone, "basis": grid.basis, "source": grid.provider}
        rows = store.query(RECORDED, {**named, **bounds}).to_pylist()
        return IntensitySeries(from_rows(rows), self.yearly, max_age)
