"""CodeCarbon's bundled offline factors, each with the year and the basis of its file.

Zones: ISO 3166 three-letter countries (``DEU``; Our World in Data, lifecycle), bidding zones ``SE1`` … ``NO5``,
``US-CA`` and other states (eGRID, combustion only, in lb/MWh), ``CN-BJ`` and other provinces. Only its data files are
read; CodeCarbon itself is not imported, because that starts its tracker's dependencies and takes seconds.
"""

import importlib.metadata
import importlib.util
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from analytics.charges.intensity import Basis, Intensity
from collector.charging.provider import GridContext, GridUnavailable
from collector.grid.static import yearly_mean
from conventions.units import grams_per_kwh_from_pounds_per_mwh

COUNTRIES: Final = "global_energy_mix.json"
ZONES: Final = ("nordic_emissions.json", "2023/china_provincial_emissions.json")
STATES: Final = "2023/usa_emissions.json"


class Provider:
    """One factor of the installed CodeCarbon."""

    bases: ClassVar[tuple[Basis, ...]] = ("average",)
    live: ClassVar[bool] = False

    def __init__(self, context: GridContext) -> None:
        folder = _folder()
        try:
            found = _country(folder, context.zone) or _zone(folder, context.zone) or _state(folder, context.zone)
        except (OSError, ValueError, KeyError) as error:
            raise GridUnavailable(f"codecarbon {_version()}: cannot read its factors ({error!r})") from None
        if found is None:
            raise GridUnavailable(
                f"codecarbon {_version()} has no zone {context.zone!r}: use a three-letter country such as DEU, "
                "a bidding zone such as SE3, a state such as US-CA or a province such as CN-BJ"
            )
        self._mean = found

    def yearly(self) -> Intensity:
        """The factor of the year that its file names."""
        return self._mean

    def read(self, since: datetime, until: datetime) -> Sequence[Intensity]:  # noqa: ARG002 - there is no series
        """Nothing: a year has one value."""
        return ()


def _folder() -> Path:
    found = importlib.util.find_spec("codecarbon")
    if found is None or not found.submodule_search_locations:
        raise GridUnavailable("codecarbon is not installed: pip install 'tokenjoule[carbon]', or use provider static")
    return Path(found.submodule_search_locations[0]) / "data" / "private_infra"


def _country(folder: Path, zone: str) -> Intensity | None:
    row = _read(folder / COUNTRIES).get(zone, {})
    if row.get("carbon_intensity") is None:
        return None
    return yearly_mean(zone, float(row["carbon_intensity"]), int(row["year"]), _source(COUNTRIES), "lifecycle")


def _zone(folder: Path, zone: str) -> Intensity | None:
    for name in ZONES:
        path = folder / name
        row = _read(path)["data"].get(zone) if path.exists() else None
        if row:
            return yearly_mean(zone, float(row["emission_factor"]), int(row["year"]), _source(name), None)
    return None


def _state(folder: Path, zone: str) -> Intensity | None:
    path = folder / STATES
    if not zone.startswith("US-") or not path.exists():
        return None
    rows = _read(path)
    for row in rows.values():
        if row.get("regionCode") == zone.removeprefix("US-") and "emissions" in row:
            grams = grams_per_kwh_from_pounds_per_mwh(float(row["emissions"]))
            return yearly_mean(zone, grams, int(rows["_source"]["year"]), _source(STATES), "direct")
    return None


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _source(name: str) -> str:
    return f"codecarbon {_version()}: {name}"


def _version() -> str:
    try:
        return importlib.metadata.version("codecarbon")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
