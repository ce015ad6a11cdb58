"""The settling loop: new spans and data points become requests, attempts and joules, a bucket at a time.

A pass finds what arrived since the last one, settles the traces it touches, splits the energy of the minutes it
touches and replaces the buckets concerned in one transaction. A late span touches its own minutes again and gives
them the rows they would have had. Nothing here blocks ingestion: a pass runs in a thread and reads committed rows.

A pass looks back ``lateness_s`` for the other spans of a trace. A span that arrives later than that after its end is
settled if its trace never was (a recording, an outage made up for), from what has arrived by then; if the trace has
its requests already, the span is stored, counted and not settled, so that no request is ever counted twice.

The mark is not stored: after a restart it is dated back from the newest settled bucket, and what lies after it is
settled again to the same rows.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.events import EVENT_COLUMNS, completed
from analytics.relations.settlement import MINUTE_NS, SPAN_COLUMNS
from collector import jobs
from collector.charger import Charger
from collector.settings import SettleSettings
from collector.touched import MARGIN_NS, METRICS, SECOND_NS, Minutes, Touched, minutes_of, runs_of, start_minutes
from conventions import instruments
from conventions.errors import StoreError
from store.writing import Store

_log = logging.getLogger(__name__)

LATE_COMMIT_NS: Final = 120 * SECOND_NS  # a row committed this long after it was received is still noticed
MODEL_EVERY_NS: Final = 60 * SECOND_NS
COMPACT_PASSES: Final = 60
DAY_NS: Final = 86_400 * SECOND_NS  # a request may begin so long before the spans that came late

NEWS: Final = """
    SELECT max(received_ns) AS newest FROM {relation} WHERE received_ns > $since"""
RECENT: Final = """
    SELECT received_ns // $second AS second, count(*) AS rows FROM {relation}
    WHERE received_ns > $low AND received_ns <= $until GROUP BY ALL"""
OLD: Final = """
    SELECT trace_id, min(start_ns) AS low, max(end_ns) AS high, count(*) FILTER (received_ns > $counted) AS rows
    FROM spans WHERE received_ns > $since AND role IS NOT NULL AND received_ns - end_ns > $lateness GROUP BY trace_id"""
KNOWN: Final = """
    SELECT DISTINCT trace_id FROM requests
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)
      AND trace_id IN (SELECT unnest($traces::VARCHAR[]))"""
FRESH: Final = f"""
    WITH timely AS (
        SELECT * FROM spans WHERE received_ns > $since - $lateness
          AND (received_ns - end_ns <= $lateness OR trace_id IN (SELECT unnest($unknown::VARCHAR[])))
    )
    SELECT {", ".join(SPAN_COLUMNS)} FROM timely
    WHERE trace_id IN (SELECT trace_id FROM timely WHERE received_ns > $since)
       OR trace_id IN (SELECT trace_id FROM call_events
                       WHERE received_ns > $heard AND received_ns - time_ns <= $lateness)"""
HEARD: Final = f"""
    SELECT {", ".join(EVENT_COLUMNS)} FROM call_events
    WHERE received_ns > least($since, $heard) - $lateness
      AND trace_id IN (SELECT trace_id FROM spans WHERE received_ns > $since
                       UNION ALL SELECT trace_id FROM call_events WHERE received_ns > $heard)"""
NEW_POINT_MINUTES: Final = """
    SELECT DISTINCT (time_ns + shift) // $minute * $minute AS minute
    FROM metric_points, (SELECT unnest([-$margin, 0]) AS shift)
    WHERE received_ns > $since AND metric IN (SELECT unnest($metrics))"""


@dataclass(frozen=True, slots=True)
class News:
    """What a raw relation has that was not settled: rows received after ``since_ns``."""

    since_ns: int
    until_ns: int  # newest row
    recent: dict[int, int]  # rows by second of receipt within LATE_COMMIT_NS before `until_ns`


class Settler:
    """Settles ``store`` every ``settings.interval_s`` seconds, and whenever asked.

    The regular passes leave the newest ``settings.watermark_s`` of energy for the next one: their spans and counters
    are still on the way.
    """

    def __init__(self, store: Store, settings: SettleSettings, charger: Charger | None = None) -> None:
        self._store = store
        self._charger = charger
        self._settings = settings
        self._stopped = asyncio.Event()
        self._lock = asyncio.Lock()
        self._seen: dict[str, News] = {}
        self._energy_until_ns: int | None = None
        self._newest_energy = 0
        self._models_at_ns = 0
        self._settled_at_s = time.monotonic()
        self.late_spans = 0  # stored, and too late to be settled
        self._passes = 0

    async def run(self) -> None:
        """Settle until ``stop``. A pass that the store refuses is logged and made again from the same mark."""
        while not self._stopped.is_set():
            try:
                await self._settle(round(self._settings.watermark_s * SECOND_NS))
            except StoreError:
                _log.exception("a settling pass failed and will be made again")
            try:
                await asyncio.wait_for(self._stopped.wait(), self._settings.interval_s)
            except TimeoutError:
                continue

    async def settle_now(self) -> int:
        """Settle all that is committed; UTC nanoseconds of the newest row that is in. Raises ``StoreError``."""
        return await self._settle(0)

    @property
    def lag_s(self) -> float:
        """Seconds since the last pass ended; beyond ``interval_s`` by as much as a pass takes."""
        return time.monotonic() - self._settled_at_s

    def stop(self) -> None:
        """End ``run`` after the pass that is under way."""
        self._stopped.set()

    async def _settle(self, hold_back_ns: int) -> int:
        async with self._lock:
            return await asyncio.to_thread(self._pass, hold_back_ns)

    def _pass(self, hold_back_ns: int) -> int:
        spans, points, events = (self._news(relation) for relation in ("spans", "metric_points", "call_events"))
        energy_end = max(0, self._newest_energy_ns(points.since_ns) - hold_back_ns)  # 0: no energy yet
        lateness = round(self._settings.lateness_s * SECOND_NS)
        fresh = self._fresh(spans, events, lateness)
        energy_minutes = self._energy_minutes(fresh, points, energy_end)
        if start_minutes(fresh) or energy_minutes:
            charging = self._charger.charging(self._store, energy_minutes) if self._charger else None
            rows = Touched(self._store, fresh, runs_of(energy_minutes), energy_end, spans.since_ns - lateness, charging)
            rows.write()
            self._keep_models(rows.models(), energy_end)
            self._passes += 1
        jobs.settle_progress(self._store, points.since_ns)
        if self._passes and self._passes % COMPACT_PASSES == 0:
            self._store.compact()
        self._seen = {"spans": spans, "metric_points": points, "call_events": events}
        self._energy_until_ns = energy_end
        self._settled_at_s = time.monotonic()
        return max(spans.until_ns, points.until_ns, events.until_ns)

    def _fresh(self, spans: News, events: News, lateness: int) -> pa.Table:
        """Spans of the traces with news; of old ones only those whose trace has no requests yet."""
        unknown = self._unknown(spans, lateness)
        bounds = {"since": spans.since_ns, "heard": events.since_ns, "lateness": lateness}
        fresh = self._store.query(FRESH, {**bounds, "unknown": unknown})
        return completed(fresh, self._store.query(HEARD, bounds))

    def _unknown(self, spans: News, lateness: int) -> list[str]:
        """Traces of old spans that have no requests yet; the others are late, and counted."""
        seen = self._seen.get("spans")
        bounds = {"since": spans.since_ns, "lateness": lateness}
        old = self._store.query(OLD, {**bounds, "counted": seen.until_ns if seen else spans.until_ns})
        if not old.num_rows:
            return []
        reach = pc.min_max(pa.chunked_array([*old["low"].chunks, *old["high"].chunks])).as_py()
        traces = {"traces": old["trace_id"].to_pylist(), "low": reach["min"] - DAY_NS, "high": reach["max"]}
        known = self._store.query(KNOWN, traces)["trace_id"].combine_chunks()
        late = pc.is_in(old["trace_id"], value_set=known)
        self.late_spans += pc.sum(old.filter(late)["rows"]).as_py() or 0
        unknown: list[str] = old.filter(pc.invert(late))["trace_id"].to_pylist()
        return unknown

    def _news(self, relation: str) -> News:
        """Rows are read by time of receipt; a second that has gained rows since it was read sets the mark back to it.

        Under load commits overtake each other all the time, so the mark must not go back further than it has to.
        """
        seen = self._seen.get(relation)
        since = self._recovered_ns() if seen is None else seen.until_ns
        if seen is not None:
            counted = self._recent(relation, seen.until_ns)
            gained = [second for second, rows in counted.items() if rows != seen.recent.get(second)]
            since = min([since, *(second * SECOND_NS - 1 for second in gained)])
        newest = self._store.query(NEWS.format(relation=relation), {"since": since})["newest"][0].as_py()
        until = max(newest or 0, seen.until_ns if seen else 0)
        return News(since, until, self._recent(relation, until))

    def _recent(self, relation: str, until_ns: int) -> dict[int, int]:
        bounds = {"low": until_ns - LATE_COMMIT_NS, "until": until_ns, "second": SECOND_NS}
        counted = self._store.query(RECENT.format(relation=relation), bounds)
        return dict(zip(counted["second"].to_pylist(), counted["rows"].to_pylist(), strict=True))

    def _recovered_ns(self) -> int:
        """Where to begin after a start: safely before the newest settled bucket."""
        newest = self._store.query("SELECT max(bucket_ns) AS newest FROM manifest")["newest"][0].as_py()
        return 0 if newest is None else int(newest) - LATE_COMMIT_NS

    def _newest_energy_ns(self, since: int) -> int:
        sql = "SELECT max(time_ns) AS newest FROM metric_points WHERE metric = $metric AND received_ns > $since"
        newest = self._store.query(sql, {"metric": instruments.HW_ENERGY.name, "since": since})["newest"][0].as_py()
        self._newest_energy = max(newest or 0, self._newest_energy)
        return self._newest_energy

    def _energy_minutes(self, fresh: pa.Table, points: News, energy_end: int) -> Minutes:
        """Minutes whose energy must be split again: those of new points, of touched calls, and what was held back."""
        named = {"since": points.since_ns, "metrics": METRICS, "minute": MINUTE_NS, "margin": MARGIN_NS}
        minutes: Minutes = set(self._store.query(NEW_POINT_MINUTES, named)["minute"].to_pylist())
        calls = fresh.filter(pc.is_valid(fresh["role"])).select(["start_ns", "end_ns"])
        begun = pc.divide(pc.subtract(calls["start_ns"], MARGIN_NS), MINUTE_NS)
        ended = pc.divide(pc.add(calls["end_ns"], MARGIN_NS), MINUTE_NS)
        for low, high in set(zip(begun.to_pylist(), ended.to_pylist(), strict=True)):
            minutes |= minutes_of(low * MINUTE_NS, high * MINUTE_NS)
        if self._energy_until_ns:
            minutes |= minutes_of(self._energy_until_ns - MARGIN_NS, energy_end)
        return {minute for minute in minutes if minute < energy_end}

    def _keep_models(self, models: pa.Table, energy_end: int) -> None:
        if models.num_rows and energy_end - self._models_at_ns >= MODEL_EVERY_NS:
            self._store.append_records("step_models", models)
            self._models_at_ns = energy_end
