"""Electricity Maps API v3: average carbon intensity by zone and hour, lifecycle emissions.

Asks ``/carbon-intensity/history`` (the last 24 hours, corrected ones among them) and ``/carbon-intensity/latest``. A
value that the service estimated is marked estimated. It was written from the documented answers and has not been run
against the service itself. Needs a token: ``[collector.grid] token = "${ELECTRICITYMAPS_TOKEN}"``.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from analytics.charges.intensity import Basis, Intensity
from collector.charging import jsonapi
from collector.charging.provider import GridContext, GridUnavailable

URL: Final = "https://api.electricitymaps.com/v3"
LENGTHS: Final = {
    "5_minutes": timedelta(minutes=5),
    "15_minutes": timedelta(minutes=15),
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
}


class Provider:
    """The average intensities of one zone, such as ``DE`` or ``US-CAL-CISO``."""

    bases: ClassVar[tuple[Basis, ...]] = ("average",)
    live: ClassVar[bool] = True

    def __init__(self, context: GridContext) -> None:
        if not context.token:
            raise GridUnavailable('electricity_maps needs a token: set token = "${ELECTRICITYMAPS_TOKEN}"')
        self._zone = context.zone
        self._url = context.url or URL
        self._headers = {"auth-token": context.token}

    def yearly(self) -> None:
        """None: it is a series."""

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:
        """The hours that begin in [since, until)."""
        history = self._get("history")
        latest = self._get("latest")
        try:
            values = [_intensity(row, self._zone) for row in (*history["history"], latest)]
        except (KeyError, TypeError, ValueError) as error:
            raise GridUnavailable(f"electricity_maps answered something else than documented: {error!r}") from None
        found = {row.started_at: row for row in values if row is not None and since <= row.started_at < until}
        return [found[start] for start in sorted(found)]

    def _get(self, what: str) -> Any:
        return jsonapi.get(f"{self._url}/carbon-intensity/{what}", {"zone": self._zone}, self._headers)


def _intensity(row: Mapping[str, Any], zone: str) -> Intensity | None:
    """One value; None where the service has none for that hour. Another zone than asked for is refused."""
    if row.get("carbonIntensity") is None:
        return None
    if row["zone"] != zone:
        raise ValueError(f"zone {row['zone']!r} instead of {zone!r}")
    start = datetime.fromisoformat(row["datetime"]).astimezone(UTC).replace(tzinfo=None)
    length = LENGTHS.get(row.get("temporalGranularity") or "hourly", timedelta(hours=1))
    method = row.get("estimationMethod")
    return Intensity(
        zone=zone,
        started_at=start,
        ended_at=start + length,
        g_per_kwh=float(row["carbonIntensity"]),
        basis="average",
        source=f"electricity_maps {method}" if method else "electricity_maps",
        estimated=bool(row.get("isEstimated")),
        emissions=row.get("emissionFactorType") or "lifecycle",
    )
