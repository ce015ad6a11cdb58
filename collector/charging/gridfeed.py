"""Carbon intensities into the store: files once at the start, live providers every ``refresh_s``.

Only what is new or has been corrected is appended, so that ``grid_intensity`` is a log of what was known and when. A
provider that does not answer is said once and asked again at the next turn; meanwhile the charger uses what is stored.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from analytics.charges.intensity import Intensity
from collector.charging.provider import GridContext, GridUnavailable, Provider
from collector.settings import GridSettings
from conventions import plugins
from conventions.errors import SettingsError, StoreError
from store import schemas
from store.writing import Store

FOLDER: Final = "collector.grid"
LOOK_BACK: Final = timedelta(days=1)  # at the first reading; a late correction is rarely older
KNOWN: Final = """
    SELECT zone, basis, source, year, started_at, arg_max(g_per_kwh, recorded_at) AS g_per_kwh
    FROM grid_intensity WHERE zone IN (SELECT unnest($zones::VARCHAR[])) GROUP BY ALL"""
EVER: Final = datetime(1970, 1, 1)

_log = logging.getLogger(__name__)


def open_provider(settings: GridSettings) -> Provider:
    """The provider that is configured. Raises ``PluginError``, ``SettingsError`` or ``GridUnavailable``."""
    chosen: type[Provider] = plugins.load(FOLDER, settings.provider, "Provider")
    if settings.basis not in chosen.bases:
        raise SettingsError(
            f"[collector.grid] provider {settings.provider!r} has no {settings.basis} intensities: "
            f'set basis = "{chosen.bases[0]}", or choose another provider'
        )
    return chosen(_context(settings, settings.zone))


def yearly_mean(settings: GridSettings, provider: Provider) -> Intensity | None:
    """What stands in where the series has nothing: the provider's own mean, or the fallback's of the same basis."""
    own = provider.yearly()
    if own is not None or settings.fallback is None:
        return own
    fallback: type[Provider] = plugins.load(FOLDER, settings.fallback, "Provider")
    if settings.basis not in fallback.bases:
        _log.info("no %s yearly mean stands in for %s: bases are not mixed", settings.basis, settings.provider)
        return None
    try:
        return fallback(_context(settings, settings.fallback_zone or settings.zone)).yearly()
    except GridUnavailable as error:
        _log.warning("no yearly mean stands in for %s: %s; set fallback_zone", settings.provider, error)
        return None


def _context(settings: GridSettings, zone: str) -> GridContext:
    return GridContext(
        zone, settings.basis, settings.file, settings.url, settings.token, settings.username, settings.password
    )


class Feed:
    """Appends what ``provider`` has to ``store``."""

    def __init__(self, store: Store, provider: Provider, yearly: Intensity | None, refresh_s: float) -> None:
        self._store = store
        self._provider = provider
        self._yearly = yearly
        self._refresh_s = refresh_s
        self._stopped = asyncio.Event()
        self._answered = True

    def start(self) -> None:
        """Record the yearly mean and, where nobody is asked, the whole series. Raises ``StoreError``."""
        rows = [] if self._yearly is None else [self._yearly]
        if not self._provider.live:
            rows += self._provider.read(EVER, datetime.max)
        self._append(rows)

    async def run(self) -> None:
        """Ask a live provider until ``stop``; returns at once for others."""
        while self._provider.live and not self._stopped.is_set():
            await asyncio.to_thread(self.refresh)
            try:
                await asyncio.wait_for(self._stopped.wait(), self._refresh_s)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End ``run`` after the question that is under way."""
        self._stopped.set()

    def refresh(self) -> None:
        """Ask once and append; what goes wrong is logged, once until it is well again."""
        now = datetime.now(UTC).replace(tzinfo=None)
        try:
            self._append(self._provider.read(now - LOOK_BACK, now + timedelta(minutes=1)))
        except (GridUnavailable, StoreError) as error:
            if self._answered:
                _log.warning("carbon intensity is not refreshed, older values stand in: %s", error)
            self._answered = False
        else:
            self._answered = True

    def _append(self, rows: Sequence[Intensity]) -> None:
        if not rows:
            return
        stored = self._store.query(KNOWN, {"zones": sorted({row.zone for row in rows})}).to_pylist()
        known = {tuple(row.values()) for row in stored}
        fresh = [row for row in rows if _identity(row) not in known]
        if fresh:
            self._store.append_records("grid_intensity", _table(fresh))


def _identity(row: Intensity) -> tuple[object, ...]:
    return row.zone, row.basis, row.source, row.year, row.started_at, row.g_per_kwh


def _table(rows: Sequence[Intensity]) -> pa.Table:
    schema = schemas.arrow("grid_intensity")
    recorded = {"recorded_at": datetime.now(UTC).replace(tzinfo=None)}
    named = [{name: getattr(row, name) for name in Intensity.__dataclass_fields__} | recorded for row in rows]
    return pa.Table.from_pylist(named, schema=schema)
