"""Prices as data: energy by time of day, hardware by the hour with its embodied carbon, tokens by model.

These dataclasses are the schema of ``[collector.prices]`` and ``[[collector.hardware]]``. Every entry names its source;
nothing here has a default price. It does not know taxes, tiers of volume or currencies other than one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from datetime import timezone as fixed_zone
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

SECONDS_PER_YEAR: Final = 365.25 * 86_400


@dataclass(frozen=True, slots=True)
class EnergyPrice:
    """Price of a kWh from ``since`` on (ISO date or time), between two times of day; an interval may pass midnight."""

    per_kwh: float
    begins: str = "00:00"
    ends: str = "24:00"
    since: str = "1970-01-01"

    def __post_init__(self) -> None:
        for clock in (self.begins, self.ends):
            _minutes(clock)
        if datetime.fromisoformat(self.since).tzinfo is not None:
            raise ValueError(f"since {self.since!r} has a zone: leave it out, times are of [collector.prices] timezone")

    @property
    def holds_from(self) -> datetime:
        """``since`` as a local time."""
        return datetime.fromisoformat(self.since)

    def covers(self, local: datetime) -> bool:
        """Whether it is the price at ``local`` time."""
        begins, ends = _minutes(self.begins), _minutes(self.ends)
        now = local.hour * 60 + local.minute
        inside = begins <= now < ends if begins < ends else now >= begins or now < ends
        return inside and local >= self.holds_from


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Price of a million tokens of the model ``model`` (a pattern: ``gpt-*``); cached input costs as input if not said.

    Only for models that are bought by the token: on hardware of one's own the same work would be paid twice.
    """

    model: str
    input_per_million: float
    output_per_million: float
    cached_input_per_million: float | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """What is paid, in one currency (ISO 4217), and where the figures come from. Times of day are of ``timezone``."""

    currency: str
    source: str
    energy: tuple[EnergyPrice, ...] = ()
    tokens: tuple[TokenPrice, ...] = ()
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if len(self.currency) != 3 or not self.currency.isupper():
            raise ValueError(f"currency must be an ISO 4217 code such as EUR, got {self.currency!r}")
        zone_of(self.timezone)

    def per_kwh(self, moment: datetime) -> float | None:
        """Price of a kWh at ``moment`` (UTC without a zone): of the entries that cover it the one with latest since."""
        local = moment.replace(tzinfo=UTC).astimezone(zone_of(self.timezone)).replace(tzinfo=None)
        covering = [price for price in self.energy if price.covers(local)]
        return max(covering, key=lambda price: price.holds_from).per_kwh if covering else None

    def of_model(self, model: str | None) -> TokenPrice | None:
        """The first token price whose pattern matches."""
        return next((price for price in self.tokens if model and fnmatchcase(model, price.model)), None)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What having a device costs by the hour, and the carbon of making it, spread evenly over its life.

    ``match`` is a pattern of device ids. ``share`` is the part of the embodied carbon that is reserved for this device
    (SCI: RR ÷ ToR), where ``embodied_kg`` is that of a whole server.
    """

    match: str
    source: str
    price_per_hour: float | None = None
    embodied_kg: float | None = None
    life_years: float = 4.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.life_years <= 0 or not 0 < self.share <= 1:
            raise ValueError("life_years must be positive and share above 0 and at most 1")

    @property
    def embodied_g_per_s(self) -> float | None:
        """Grams of CO2e per second of its life."""
        if self.embodied_kg is None:
            return None
        return 1000.0 * self.embodied_kg * self.share / (self.life_years * SECONDS_PER_YEAR)

    @property
    def price_per_s(self) -> float | None:
        """Money per second."""
        return None if self.price_per_hour is None else self.price_per_hour / 3600.0


def hardware_of(device: str, hardware: Sequence[Hardware]) -> Hardware | None:
    """The first entry whose pattern matches ``device``."""
    return next((one for one in hardware if fnmatchcase(device, one.match)), None)


def zone_of(name: str) -> ZoneInfo | fixed_zone:
    """The time zone ``name``. Raises ``ValueError`` with the remedy."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"unknown timezone {name!r} ({error}); use a name such as Europe/Berlin, or UTC") from None


def _minutes(clock: str) -> int:
    if clock == "24:00":
        return 24 * 60
    at = time.fromisoformat(clock)
    return int(timedelta(hours=at.hour, minutes=at.minute).total_seconds() // 60)
