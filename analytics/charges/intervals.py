"""Charges the energy balance: grams and money of each interval, and per joule of each device's interval.

Energy pays by the joule: operational grams = J × PUE × intensity, energy cost = J × PUE × price, both of the moment the
joules were spent. Time pays by the second: embodied grams and the hourly price of a device accrue while it exists, and
an interval's are split as its joules are. So every charge is conserved exactly where energy is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analytics.charges.intensity import Intensity, IntensitySeries
from analytics.charges.prices import Hardware, Prices, hardware_of
from conventions.units import JOULES_PER_KILOWATT_HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SUMS: Final = ("co2e_g", "co2e_embodied_g", "cost_energy", "cost_device")
LABELS: Final = pa.schema(
    [
        *(("currency", pa.string()), ("price_source", pa.string()), ("pue", pa.float64())),
        *(("grid_zone", pa.string()), ("grid_g_per_kwh", pa.float64()), ("grid_basis", pa.string())),
        *(("grid_source", pa.string()), ("grid_year", pa.int32()), ("grid_estimated", pa.bool_())),
        ("hardware_source", pa.string()),
    ]
)
CHARGES: Final = pa.schema([*((name, pa.float64()) for name in SUMS), *LABELS])
"""The columns that charging adds to ``energy_intervals``."""
TIME: Final = pa.timestamp("us")
_STARTS: Final = 1 << 51  # microseconds since 1970 stay below it until 2041, and 4096 devices fit above


@dataclass(frozen=True, slots=True)
class Charging:
    """What charges are computed with. Parts that are None or empty leave their columns NULL."""

    series: IntensitySeries | None = None
    pue: float = 1.0
    prices: Prices | None = None
    hardware: tuple[Hardware, ...] = ()


def charged(intervals: pa.Table, charging: Charging) -> pa.Table:
    """``intervals`` (rows of ``energy_intervals``) with the columns of ``CHARGES``."""
    device_time = _device_seconds(intervals)
    kwh = charging.pue * _floats(intervals, "total_j") / JOULES_PER_KILOWATT_HOUR
    moments = intervals["started_at"].to_pylist()
    used = _by_moment(moments, charging.series.at) if charging.series else [None] * len(moments)
    prices = _by_moment(moments, charging.prices.per_kwh) if charging.prices else [None] * len(moments)
    hardware = {name: hardware_of(name, charging.hardware) for name in set(intervals["device"].to_pylist())}
    owned = [hardware[name] for name in intervals["device"].to_pylist()]
    embodied = _rates([one.embodied_g_per_s if one else None for one in owned], charging.hardware, "embodied_kg")
    hourly = _rates([one.price_per_s if one else None for one in owned], charging.hardware, "price_per_hour")
    money = charging.prices is not None
    columns: dict[str, Any] = {
        "co2e_g": _known(kwh * _nan([one and one.g_per_kwh for one in used])),
        "co2e_embodied_g": _known(device_time * embodied),
        "cost_energy": _known(kwh * _nan(prices)),
        "cost_device": _known(device_time * hourly) if money else [None] * len(owned),
    }
    columns |= _labels(used, charging) | {"hardware_source": [one and one.source for one in owned]}
    for field in CHARGES:
        intervals = intervals.append_column(field, pa.array(columns[field.name], field.type))
    return intervals


def _labels(used: Sequence[Intensity | None], charging: Charging) -> dict[str, list[Any]]:
    size, prices = len(used), charging.prices
    return {
        "currency": [prices.currency if prices else None] * size,
        "price_source": [prices.source if prices else None] * size,
        "pue": [charging.pue if one or prices else None for one in used],
        "grid_zone": [one and one.zone for one in used],
        "grid_g_per_kwh": [one and one.g_per_kwh for one in used],
        "grid_basis": [one and one.basis for one in used],
        "grid_source": [one and one.source for one in used],
        "grid_year": [one and one.year for one in used],
        "grid_estimated": [one.estimated if one else None for one in used],
    }


class PerJoule:
    """What one joule of a device's interval carries: sums of ``CHARGES`` divided by its joules, and their labels."""

    def __init__(self, intervals: pa.Table) -> None:
        """``intervals`` are charged rows of whole device intervals."""
        self._devices = pc.unique(intervals["device"])
        keys = _keys(intervals, self._devices)
        self._keys, first, group = np.unique(keys, return_index=True, return_inverse=True)
        joules = _summed(group, _floats(intervals, "total_j"), len(self._keys))
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = {
                name: np.where(joules > 0, _summed(group, _floats(intervals, name), len(self._keys)) / joules, 0.0)
                for name in SUMS
            }
        self._rates = {name: np.append(rate, np.nan) for name, rate in rates.items()}
        self.labels = intervals.select(LABELS.names).take(pa.array(first, pa.int64()))

    def charge(self, energy: pa.Table) -> pa.Table:
        """``energy`` (device, started_at, joules) with ``SUMS`` and ``factor``, the row of ``labels`` or NULL."""
        keys = _keys(energy, self._devices)
        place = np.searchsorted(self._keys, keys)
        found = np.isin(keys, self._keys)
        place = np.where(found, place, len(self._keys))
        joules = _floats(energy, "joules")
        for name in SUMS:
            energy = energy.append_column(name, _known(joules * self._rates[name][place]))
        return energy.append_column("factor", pa.array(place, pa.int64(), mask=~found))


def _keys(rows: pa.Table, devices: pa.Array) -> Ints:
    code = pc.fill_null(pc.index_in(rows["device"], value_set=devices), -1).to_numpy().astype(np.int64)
    start = rows["started_at"].cast(TIME).cast(pa.int64()).to_numpy()
    keys: Ints = np.where(code < 0, -1, code * _STARTS + start)
    return keys


def _device_seconds(intervals: pa.Table) -> Floats:
    """Each row's part of its device's time: as the joules are split; without any, the first row has it all."""
    keys = _keys(intervals, pc.unique(intervals["device"]))
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    joules = _floats(intervals, "total_j")
    whole = _summed(group, joules, len(first))[group]
    alone: Floats = np.zeros(len(joules))
    alone[first] = 1.0
    share = np.divide(joules, whole, out=alone, where=whole > 0)
    begin, end = (intervals[name].cast(TIME).cast(pa.int64()).to_numpy() for name in ("started_at", "ended_at"))
    seconds: Floats = share * (end - begin) / 1e6
    return seconds


def _summed(group: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(group, weights=values, minlength=size).astype(np.float64)


def _by_moment(moments: Sequence[Any], of: Any) -> list[Any]:
    found = {moment: of(moment) for moment in set(moments)}
    return [found[moment] for moment in moments]


def _rates(rates: Sequence[float | None], hardware: Sequence[Hardware], figure: str) -> Floats:
    """Rate per row; a device without an entry carries none of it, and without any entry nothing is known."""
    stated = any(getattr(one, figure) is not None for one in hardware)
    return np.array([rate or 0.0 for rate in rates]) if stated else np.full(len(rates), np.nan)


def _floats(rows: pa.Table, name: str) -> Floats:
    values: Floats = rows[name].to_numpy().astype(np.float64)  # NULL becomes NaN
    return values


def _nan(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _known(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
