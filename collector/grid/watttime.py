"""WattTime API v3: marginal operating emissions (signal ``co2_moer``) by region, every five minutes.

Marginal means: what one kWh more would have emitted. It is never put into one series with averages. Logs in with
``username`` and ``password`` for a token of half an hour. It was written from the documented answers and has not been
run against the service itself; without a subscription the service answers for ``CAISO_NORTH`` only.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from analytics.charges.intensity import Basis, Intensity
from collector.charging import jsonapi
from collector.charging.provider import GridContext, GridUnavailable
from conventions.units import grams_per_kwh_from_pounds_per_mwh

URL: Final = "https://api.watttime.org"
SIGNAL: Final = "co2_moer"
UNITS: Final = "lbs_co2_per_mwh"
LONGEST: Final = timedelta(days=31)  # the service answers for 32 days at most


class Provider:
    """The marginal intensities of one region."""

    bases: ClassVar[tuple[Basis, ...]] = ("marginal",)
    live: ClassVar[bool] = True

    def __init__(self, context: GridContext) -> None:
        if not (context.username and context.password):
            raise GridUnavailable(
                'watttime needs an account: set username = "${WATTTIME_USER}", password = "${WATTTIME_PASSWORD}"'
            )
        self._region = context.zone
        self._url = context.url or URL
        account = f"{context.username}:{context.password}".encode()
        self._login = {"authorization": f"Basic {base64.b64encode(account).decode()}"}
        self._token: str | None = None

    def yearly(self) -> None:
        """None: it is a series."""

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:
        """The values that begin in [since, until), of the last 31 days at most."""
        since = max(since, until - LONGEST)
        asked = {"region": self._region, "start": _utc(since), "end": _utc(until), "signal_type": SIGNAL}
        try:
            return _intensities(self._history(asked), self._region)
        except (KeyError, TypeError, ValueError) as error:
            raise GridUnavailable(f"watttime answered something else than documented: {error!r}") from None

    def _history(self, asked: Mapping[str, str]) -> Any:
        """Asked with the token that we have; once more with a fresh one where it has run out."""
        if self._token is not None:
            try:
                return self._get(asked)
            except jsonapi.Unauthorised:
                self._token = None
        self._token = jsonapi.get(f"{self._url}/login", {}, self._login)["token"]
        return self._get(asked)

    def _get(self, asked: Mapping[str, str]) -> Any:
        return jsonapi.get(f"{self._url}/v3/historical", asked, {"authorization": f"Bearer {self._token}"})


def _intensities(answer: Mapping[str, Any], region: str) -> list[Intensity]:
    meta = answer["meta"]
    if (meta["region"], meta["signal_type"], meta["units"]) != (region, SIGNAL, UNITS):
        raise ValueError(f"{meta['signal_type']} of {meta['region']} in {meta['units']}")
    length = timedelta(seconds=float(meta["data_point_period_seconds"]))
    model = (meta.get("model") or {}).get("date")
    source = f"watttime {SIGNAL} model {model}" if model else f"watttime {SIGNAL}"
    found = []
    for row in answer["data"]:
        start = datetime.fromisoformat(row["point_time"]).astimezone(UTC).replace(tzinfo=None)
        grams = grams_per_kwh_from_pounds_per_mwh(float(row["value"]))
        # a marginal rate is always a model's: it cannot be metered
        found.append(Intensity(region, start, start + length, grams, "marginal", source, estimated=True))
    return found


def _utc(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='seconds')}Z"
