"""Water that a window's joules took: evaporated on site for cooling, and where the power was made.

L = WUE_site · E_it + WUE_grid · PUE · E_it (ISO/IEC 30134-9 calls the first WUE). Both figures are the reader's own,
with their source: nothing here has a default, and a yearly mean makes every litre an estimate. It does not know the
hour, the season, or how scarce water is where it is taken.
"""

from dataclasses import dataclass
from typing import Any, Final

from analytics import metric
from analytics.metric import Queries, Window
from analytics.reports.quantities import quantity
from conventions.units import kilowatt_hours_from_joules

ENERGY: Final = """
    SELECT sum(total_j) AS joules, sum(total_j * coalesce(pue, 1)) AS facility_j,
           sum(total_j) FILTER (job IS NULL) AS serving_j,
           sum(total_j * coalesce(pue, 1)) FILTER (job IS NULL) AS serving_facility_j
    FROM energy_intervals
    WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)"""
SUCCESSFUL_TOKENS: Final = "energy_per_successful_token"  # the metric that counts them


@dataclass(frozen=True, slots=True)
class Water:
    """The section ``[water]``: litres per kWh of the devices (``site``) and of the facility (``grid``), and whose word.

    Without figures there is no water; a figure needs a ``source``.
    """

    site_l_per_kwh: float | None = None
    grid_l_per_kwh: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        figures = [one for one in (self.site_l_per_kwh, self.grid_l_per_kwh) if one is not None]
        if any(one < 0 for one in figures):
            raise ValueError("litres per kWh cannot be negative")
        if figures and not self.source:
            raise ValueError('name the source of the litres per kWh: source = "operator\'s report of 2025"')

    @property
    def known(self) -> bool:
        """Whether there is any figure."""
        return self.site_l_per_kwh is not None or self.grid_l_per_kwh is not None

    def litres(self, device_j: float, facility_j: float) -> float:
        """Litres for joules of the devices and of the facility around them."""
        on_site = (self.site_l_per_kwh or 0.0) * kilowatt_hours_from_joules(device_j)
        return on_site + (self.grid_l_per_kwh or 0.0) * kilowatt_hours_from_joules(facility_j)


NONE: Final = Water()


def spent(reader: Queries, window: Window, water: Water) -> dict[str, Any] | None:
    """Litres of all joules of ``window``, and of serving per 1,000 successful tokens; None without figures or energy.

    Jobs are in the first and not in the second, as with energy per successful token.
    """
    if not water.known:
        return None
    bounds = {"start": window.start.isoformat(), "end": window.end.isoformat()}
    row = reader.query(ENERGY, bounds).to_pylist()[0]
    if row["joules"] is None:
        return None
    tokens = sum(one["tokens"] or 0 for one in metric.run(reader, SUCCESSFUL_TOKENS, window, ()).to_pylist())
    serving = water.litres(row["serving_j"] or 0.0, row["serving_facility_j"] or 0.0)
    return {
        "litres": water.litres(row["joules"], row["facility_j"]),
        "litres_per_1k_successful_tokens": 1000.0 * serving / tokens if tokens else None,
        "site_l_per_kwh": water.site_l_per_kwh,
        "grid_l_per_kwh": water.grid_l_per_kwh,
        "source": water.source,
    }


def line(found: dict[str, Any] | None) -> str:
    """One line of text, with both figures and their source; nothing where nothing is known."""
    if found is None:
        return ""
    parts = (("on site", found["site_l_per_kwh"]), ("of the grid", found["grid_l_per_kwh"]))
    figures = " and ".join(f"{value:g} L/kWh {where}" for where, value in parts if value is not None)
    each = found["litres_per_1k_successful_tokens"]
    per_tokens = quantity(None if each is None else 1000.0 * each, "mL")
    total = f"{quantity(found['litres'], 'L')} [estimated], {per_tokens} per 1,000 successful tokens"
    return f"Water: {total} ({figures}: {found['source']})."
