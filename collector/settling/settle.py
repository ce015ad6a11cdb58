"""The settling loop: new spans and data points become requests, attempts and joules, a bucket at a time.

A pass finds what arrived since the last one, settles the traces it touches, splits the energy of the buckets it
touches and replaces the buckets concerned in one transaction. A late span touches its own buckets again and gives
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
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.events import EVENT_COLUMNS, completed
from analytics.relations.settlement import BUCKET_NS, SPAN_COLUMNS
from collector.charging.charger import Charger
from collector.settings import SettleSettings
from collector.settling import jobs
from collector.settling.buckets import Buckets, buckets_of, runs_of, sharing_a_wide_one, start_buckets
from collector.settling.news import FRESH_ROWS, News, Reader
from collector.settling.points import MARGIN_NS, METRICS, SECOND_NS, with_silences
from collector.settling.touched import Touched
from conventions import instruments
from conventions.errors import StoreError
from store import compaction
from store.writing import Store

_log = logging.getLogger(__name__)

RELATIONS: Final = ("spans", "metric_points", "call_events")
MODEL_EVERY_NS: Final = 60 * SECOND_NS
COMPACT_PASSES: Final = 60
PAUSE_PER_PASS: Final = 4.0  # so that settling takes a fifth of one core at most
LONGEST_PAUSE_S: Final = 30.0
DAY_NS: Final = 86_400 * SECOND_NS  # a request may begin so long before the spans that came late

OLD: Final = f"""
    SELECT trace_id, min(start_ns) AS low, max(end_ns) AS high, count(*) FILTER (received_ns > $counted) AS rows
    FROM spans WHERE {FRESH_ROWS} AND role IS NOT NULL AND received_ns - end_ns > $lateness GROUP BY trace_id"""
KNOWN: Final = """
    SELECT DISTINCT trace_id FROM requests
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)
      AND trace_id IN (SELECT unnest($traces::VARCHAR[]))"""
HEARD_ROWS: Final = (
    FRESH_ROWS.replace("$since", "$heard").replace("$back", "$heard_back").replace("$until", "$heard_until")
)
FRESH: Final = f"""
    WITH timely AS NOT MATERIALIZED (
        SELECT * FROM spans WHERE received_ns > $low - $lateness
          AND (received_ns - end_ns <= $lateness OR trace_id IN (SELECT unnest($unknown::VARCHAR[])))
    )
    SELECT {", ".join(SPAN_COLUMNS)} FROM timely
    WHERE trace_id IN (SELECT trace_id FROM timely WHERE {FRESH_ROWS})
       OR trace_id IN (SELECT trace_id FROM call_events WHERE {HEARD_ROWS} AND received_ns - time_ns <= $lateness)"""
HEARD: Final = f"""
    SELECT {", ".join(EVENT_COLUMNS)} FROM call_events
    WHERE received_ns > $low - $lateness
      AND trace_id IN (SELECT trace_id FROM spans WHERE {FRESH_ROWS}
                       UNION ALL SELECT trace_id FROM call_events WHERE {HEARD_ROWS})"""
NEW_POINT_BUCKETS: Final = f"""
    SELECT DISTINCT (time_ns + shift) // $bucket * $bucket AS bucket
    FROM metric_points, (SELECT unnest([-$margin, 0]) AS shift)
    WHERE {FRESH_ROWS} AND metric IN (SELECT unnest($metrics))"""


def pause_s(interval_s: float, took_s: float) -> float:
    """Seconds until the next pass, after one that took ``took_s``.

    A pass settles its last buckets again: under load fewer passes cost less, and what is settled is as much older.
    """
    return max(interval_s, min(PAUSE_PER_PASS * took_s, LONGEST_PAUSE_S))


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
        self._news = Reader(store)
        self._energy_until_ns: int | None = None
        self._newest_energy = 0
        self._models_at_ns = 0
        self._settled_at_s = time.monotonic()
        self.late_spans = 0  # stored, and too late to be settled
        self._passes = 0

    async def run(self) -> None:
        """Settle until ``stop``. A pass that the store refuses is logged and made again from the same mark."""
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                await self._settle(round(self._settings.watermark_s * SECOND_NS))
            except StoreError:
                _log.exception("a settling pass failed and will be made again")
            took_s = time.monotonic() - began_s
            pause = took_s if self._news.more else pause_s(self._settings.interval_s, took_s)
            try:
                await asyncio.wait_for(self._stopped.wait(), pause)
            except TimeoutError:
                continue

    async def settle_now(self) -> int:
        """Settle all that is committed; UTC nanoseconds of the newest row that is in. Raises ``StoreError``."""
        until_ns = await self._settle(0)
        while self._news.more:
            until_ns = await self._settle(0)
        return until_ns

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
        spans, points, events = read = self._news.read(RELATIONS)
        energy_end = max(0, self._newest_energy_ns(points.low_ns) - hold_back_ns)  # 0: no energy yet
        lateness = round(self._settings.lateness_s * SECOND_NS)
        fresh = self._fresh(spans, events, lateness)
        energy_buckets = self._energy_buckets(fresh, points, energy_end)
        if start_buckets(fresh) or energy_buckets:
            charging = self._charger.charging(self._store, energy_buckets) if self._charger else None
            rows = Touched(self._store, fresh, runs_of(energy_buckets), energy_end, spans.low_ns - lateness, charging)
            rows.write()
            self._keep_models(rows.models(), energy_end)
            self._passes += 1
        jobs.settle_progress(self._store, points.low_ns)
        if self._passes and self._passes % COMPACT_PASSES == 0:
            compaction.compact(self._store)
        self._news.settled(dict(zip(RELATIONS, read, strict=True)))
        self._energy_until_ns = energy_end
        self._settled_at_s = time.monotonic()
        return max(spans.until_ns, points.until_ns, events.until_ns)

    def _fresh(self, spans: News, events: News, lateness: int) -> pa.Table:
        """Spans of the traces with news; of old ones only those whose trace has no requests yet."""
        unknown = self._unknown(spans, lateness)
        heard = {"heard": events.since_ns, "heard_until": events.until_ns, "heard_back": events.back_ns}
        named = {**spans.bounds, **heard, "now": max(spans.now_ns, events.now_ns), "lateness": lateness}
        fresh = self._store.query(FRESH, {**named, "low": spans.low_ns, "unknown": unknown})
        return completed(fresh, self._store.query(HEARD, {**named, "low": min(spans.low_ns, events.low_ns)}))

    def _unknown(self, spans: News, lateness: int) -> list[str]:
        """Traces of old spans that have no requests yet; the others are late, and counted."""
        settled = self._news.until_ns("spans")
        counted = spans.until_ns if settled is None else settled
        old = self._store.query(OLD, {**spans.bounds, "lateness": lateness, "counted": counted})
        if not old.num_rows:
            return []
        reach = pc.min_max(pa.chunked_array([*old["low"].chunks, *old["high"].chunks])).as_py()
        traces = {"traces": old["trace_id"].to_pylist(), "low": reach["min"] - DAY_NS, "high": reach["max"]}
        known = self._store.query(KNOWN, traces)["trace_id"].combine_chunks()
        late = pc.is_in(old["trace_id"], value_set=known)
        self.late_spans += pc.sum(old.filter(late)["rows"]).as_py() or 0
        unknown: list[str] = old.filter(pc.invert(late))["trace_id"].to_pylist()
        return unknown

    def _newest_energy_ns(self, since: int) -> int:
        sql = "SELECT max(time_ns) AS newest FROM metric_points WHERE metric = $metric AND received_ns > $since"
        newest = self._store.query(sql, {"metric": instruments.HW_ENERGY.name, "since": since})["newest"][0].as_py()
        self._newest_energy = max(newest or 0, self._newest_energy)
        return self._newest_energy

    def _energy_buckets(self, fresh: pa.Table, points: News, energy_end: int) -> Buckets:
        """Buckets whose energy must be split again: those of new points, of touched calls, and what was held back."""
        named = {**points.bounds, "metrics": METRICS, "bucket": BUCKET_NS, "margin": MARGIN_NS}
        buckets: Buckets = set(self._store.query(NEW_POINT_BUCKETS, named)["bucket"].to_pylist())
        calls = fresh.filter(pc.is_valid(fresh["role"])).select(["start_ns", "end_ns"])
        begun = pc.divide(pc.subtract(calls["start_ns"], MARGIN_NS), BUCKET_NS)
        ended = pc.divide(pc.add(calls["end_ns"], MARGIN_NS), BUCKET_NS)
        for low, high in set(zip(begun.to_pylist(), ended.to_pylist(), strict=True)):
            buckets |= buckets_of(low * BUCKET_NS, high * BUCKET_NS)
        if self._energy_until_ns:
            buckets |= buckets_of(self._energy_until_ns - MARGIN_NS, energy_end)
        buckets = with_silences(self._store, {bucket for bucket in buckets if bucket < energy_end})
        buckets |= sharing_a_wide_one(self._store, "energy_intervals", buckets)
        return {bucket for bucket in buckets if bucket < energy_end}

    def _keep_models(self, models: pa.Table, energy_end: int) -> None:
        if models.num_rows and energy_end - self._models_at_ns >= MODEL_EVERY_NS:
            self._store.append_records("step_models", models)
            self._models_at_ns = energy_end
