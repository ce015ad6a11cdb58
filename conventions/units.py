"""Unit conversions, done once where a foreign unit enters the house.

Inside, energy is joules, power watts, time seconds (nanoseconds across processes), carbon grams CO2e.
"""

JOULES_PER_WATT_HOUR = 3_600.0
JOULES_PER_KILOWATT_HOUR = 3_600_000.0
GRAMS_PER_POUND = 453.59237
NANOSECONDS_PER_SECOND = 1_000_000_000


def joules_from_millijoules(millijoules: float) -> float:
    """NVML and DCGM count energy in mJ."""
    return millijoules / 1_000.0


def joules_from_microjoules(microjoules: float) -> float:
    """RAPL counts energy in µJ."""
    return microjoules / 1_000_000.0


def joules_from_watt_hours(watt_hours: float) -> float:
    """Wh to J."""
    return watt_hours * JOULES_PER_WATT_HOUR


def kilowatt_hours_from_joules(joules: float) -> float:
    """J to kWh, the unit of prices and grid factors."""
    return joules / JOULES_PER_KILOWATT_HOUR


def watts_from_milliwatts(milliwatts: float) -> float:
    """NVML reports power in mW."""
    return milliwatts / 1_000.0


def grams_per_kwh_from_pounds_per_mwh(pounds_per_mwh: float) -> float:
    """WattTime and eGRID report lb/MWh."""
    return pounds_per_mwh * GRAMS_PER_POUND / 1_000.0


def seconds_from_nanoseconds(nanoseconds: int) -> float:
    """Span times are integer nanoseconds; durations are float seconds."""
    return nanoseconds / NANOSECONDS_PER_SECOND


def nanoseconds_from_seconds(seconds: float) -> int:
    """Float seconds to integer nanoseconds, rounded to the nearest."""
    return round(seconds * NANOSECONDS_PER_SECOND)
