"""The settling loop: new spans and data points become requests, attempts and joules, a bucket at a time.

A pass finds what arrived since the last one, settles the traces it touches, splits the energy of the buckets it
touches and replaces the buckets concerned in one transaction. A late span touches its own buckets again and gives
them the rows they would have had. Nothing here blocks ingestion: a pass runs in a thread and reads committed rows.

A pass looks back ``lateness_s`` for the other spans of a trace. A span that arrives later than that after its end is
settled if its trace never was (a recording, an outage made up for), from what has arrived by then; if the trace has
its requests already, the span is stored, counted and not settled, so that no request is ever counted twice.

What a pass holds is bounded, however much waits: it takes ``news.PASS_ROWS`` new rows, splits the energy of buckets
with ``ENERGY_ATTEMPTS`` attempts beside them, and rewrites requests in slices (``touched``). While more is waiting,
energy is split only of buckets that nothing new comes to (``due``), and a pause as long as the pass follows, four times
as long where taking in needs a core, so that settling takes half a core at most, or a fifth. What waits grows on the
disk and not in memory, and is caught up with after the load; ``lag_s`` says by how much.

After each pass the mark is stored. After a restart it is dated back a little, and what lies after it is settled again
to the same rows.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.settlement import BUCKET_NS
from collector.background import background_thread
from collector.charging.charger import Charger
from collector.footprint import release_memory
from collector.settings import SettleSettings
from collector.settling import jobs
from collector.settling.arrived import Arrived, arrived
from collector.settling.buckets import Buckets, buckets_of, runs_of, sharing_a_wide_one
from collector.settling.due import Due
from collector.settling.fresh import Lookback, fresh_spans
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
BUSY_CORES: Final = 0.9  # that the rest of the process used in the last pause: whoever sends is served first
PAUSE_WHEN_BUSY: Final = 4.0
LAST_S: Final = 10.0  # for what is settled after a stop; service managers kill after some 90 s
ENERGY: Final = "energy"  # among the stored marks: from where on joules are not split for good
ENERGY_ATTEMPTS: Final = 400_000
"""Attempts that may lie in and beside the buckets whose energy one pass splits, each counted for every such bucket."""
DAY_NS: Final = 86_400 * SECOND_NS  # a request may begin so long before the spans that came late

OLD: Final = f"""
    SELECT trace_id, min(start_ns) AS low, max(end_ns) AS high, count(*) FILTER (received_ns > $counted) AS rows
    FROM spans WHERE {FRESH_ROWS} AND role IS NOT NULL AND received_ns - end_ns > $lateness GROUP BY trace_id"""
KNOWN: Final = """
    SELECT DISTINCT trace_id FROM requests
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)
      AND trace_id IN (SELECT unnest($traces::VARCHAR[]))"""
NEW_POINT_BUCKETS: Final = f"""
    SELECT DISTINCT (time_ns + shift) // $bucket * $bucket AS bucket
    FROM metric_points, (SELECT unnest([-$margin, 0]) AS shift)
    WHERE {FRESH_ROWS} AND metric IN (SELECT unnest($metrics))"""
NEWEST_ENERGY: Final = f"SELECT max(time_ns) AS newest FROM metric_points WHERE metric = $metric AND {FRESH_ROWS}"
ATTEMPTS_BEGUN: Final = """
    SELECT epoch_us(started_at) * 1000 // $bucket * $bucket AS bucket, count(*) AS attempts FROM attempts_bucketed
    WHERE started_at >= make_timestamp($low // 1000) AND started_at < make_timestamp($high // 1000 + $bucket // 1000)
    GROUP BY ALL"""


class Halted(StoreError):
    """A pass that was ended before it was shown: nothing of it is seen."""


def pause_s(interval_s: float, took_s: float) -> float:
    """Seconds until the next pass, after one that took ``took_s``.

    A pass settles its last buckets again: under load fewer passes cost less, and what is settled is as much older.
    """
    return max(interval_s, min(PAUSE_PER_PASS * took_s, LONGEST_PAUSE_S))


def pause_in_a_lag_s(took_s: float, busy_cores: float) -> float:
    """The same while more waits: as long as the pass, and longer where ``busy_cores`` take in and answer."""
    return took_s * (PAUSE_WHEN_BUSY if busy_cores > BUSY_CORES else 1.0)


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
        self._halt_at_s = float("inf")
        self._lock = asyncio.Lock()
        self._thread = background_thread("settler")
        self._news = Reader(store)
        marks = store.settled_marks()
        self._due = Due(buckets_of(marks[ENERGY] - MARGIN_NS, max(marks.values())) if ENERGY in marks else ())
        self._energy_until_ns: int | None = None
        self._newest_energy = 0
        self._models_at_ns = 0
        self._reached_ns = time.time_ns()
        self.late_spans = 0  # stored, and too late to be settled
        self._passes = 0
        self._energy_waits = False
        self._busy_cores = 0.0

    async def run(self) -> None:
        """Settle until ``stop``. A pass that the store refuses is logged and made again from the same mark."""
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                await self._settle(round(self._settings.watermark_s * SECOND_NS))
            except Halted as halted:
                _log.info("%s", halted)
            except StoreError:
                _log.exception("a settling pass failed and will be made again")
            took_s = time.monotonic() - began_s
            usual_s = pause_s(self._settings.interval_s, took_s)
            await self._rest(pause_in_a_lag_s(took_s, self._busy_cores) if self._more else usual_s)

    async def _rest(self, pause: float) -> None:
        began_s, cpu_s = time.monotonic(), time.process_time()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), pause)
        self._busy_cores = (time.process_time() - cpu_s) / max(time.monotonic() - began_s, 1e-3)

    async def settle_now(self) -> int:
        """Settle all that is committed; UTC nanoseconds of the newest row that is in. Raises ``StoreError``."""
        until_ns = await self._settle(0)
        while self._more:
            until_ns = await self._settle(0)
        return until_ns

    @property
    def lag_s(self) -> float:
        """How old what is settled is: seconds since its newest row was received, or since a pass that left nothing."""
        return max(0.0, (time.time_ns() - self._reached_ns) / SECOND_NS)

    def stop(self) -> None:
        """End ``run``; the pass that is under way, and all that come, have ``LAST_S`` more."""
        self._halt_at_s = time.monotonic() + LAST_S
        self._stopped.set()

    async def finish(self) -> None:
        """Settle what is committed as far as the time since ``stop`` allows. Raises ``StoreError``."""
        try:
            await self.settle_now()
        except Halted as halted:
            _log.info("%s", halted)

    def _check(self) -> None:
        if time.monotonic() > self._halt_at_s:
            raise Halted("settling ends here and goes on after the next start: no time is left for what waits")

    @property
    def _more(self) -> bool:
        """Whether there was more than one pass takes."""
        return self._news.more or self._energy_waits

    async def _settle(self, hold_back_ns: int) -> int:
        async with self._lock:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._pass, hold_back_ns)

    def _pass(self, hold_back_ns: int) -> int:
        self._check()
        began_ns = time.time_ns()
        spans, points, events = read = self._news.read(RELATIONS)
        lags = any(news.more for news in read)
        energy_end = self._energy_end(points, hold_back_ns, lags)
        fresh = self._fresh(spans, events)
        until_ns = max(news.until_ns for news in read)
        self._due.touch(self._energy_buckets(fresh, points, energy_end, lags), until_ns)
        ready = self._due.ready(energy_end, until_ns, lags=lags)
        taken = self._taken(ready, energy_end, fresh)
        if fresh.calls.num_rows or taken:
            charging = self._charger.charging(self._store, taken) if self._charger else None
            rows = Touched(self._store, fresh, runs_of(taken), energy_end, charging, self._check)
            del fresh  # what it holds is given up on the way
            rows.write()
            self._keep_models(rows.models(), energy_end)
            self._passes += 1
        jobs.settle_progress(self._store, points.low_ns, points.until_ns)
        if self._passes and self._passes % COMPACT_PASSES == 0:
            compaction.compact(self._store)
        self._energy_waits = bool(set(ready) - taken)
        self._settled(dict(zip(RELATIONS, read, strict=True)), taken, energy_end)
        self._reached_ns = until_ns if lags else began_ns
        release_memory()
        return until_ns

    def _settled(self, news: dict[str, News], taken: Buckets, energy_end: int) -> None:
        """Go on from here, also after a restart."""
        self._news.settled(news)
        self._due.done({bucket for bucket in taken if bucket + BUCKET_NS <= energy_end})
        self._energy_until_ns = energy_end
        self._store.note_settled({**self._news.marks, ENERGY: self._due.earliest(energy_end)})

    def _energy_end(self, points: News, hold_back_ns: int, lags: bool) -> int:
        """Up to where energy is split; 0: there is none. A pass that lags leaves buckets that the next one touches."""
        end = max(0, self._newest_energy_ns(points) - hold_back_ns)
        return max(0, (end - MARGIN_NS) // BUCKET_NS * BUCKET_NS) if lags else end

    def _taken(self, ready: list[int], energy_end: int, fresh: Arrived) -> Buckets:
        """The oldest of the ``ready`` buckets, with ``ENERGY_ATTEMPTS`` near them, at least one."""
        if not ready:
            return set()
        named = {"low": ready[0] - BUCKET_NS, "high": ready[-1] + BUCKET_NS, "bucket": BUCKET_NS}
        counted = self._store.query(ATTEMPTS_BEGUN, named)
        begun = Counter(dict(zip(counted["bucket"].to_pylist(), counted["attempts"].to_pylist(), strict=True)))
        begun.update(pc.multiply(pc.divide(fresh.calls["start_ns"], BUCKET_NS), BUCKET_NS).to_pylist())
        taken: Buckets = set()
        attempts = 0
        for bucket in ready:
            attempts += sum(begun[bucket + step * BUCKET_NS] for step in (-1, 0, 1))
            if taken and attempts > ENERGY_ATTEMPTS:
                break
            taken.add(bucket)
        taken = with_silences(self._store, taken)
        taken |= sharing_a_wide_one(self._store, "energy_intervals", taken)
        return {bucket for bucket in taken if bucket < energy_end}

    def _fresh(self, spans: News, events: News) -> Arrived:
        """Spans of the traces with news; of old ones only those whose trace has no requests yet."""
        lateness = round(self._settings.lateness_s * SECOND_NS)
        lookback = Lookback(spans, events, lateness, self._unknown(spans, lateness))
        return arrived(fresh_spans(self._store, lookback))

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

    def _newest_energy_ns(self, points: News) -> int:
        named = {**points.bounds, "metric": instruments.HW_ENERGY.name}
        newest = self._store.query(NEWEST_ENERGY, named)["newest"][0].as_py()
        self._newest_energy = max(newest or 0, self._newest_energy)
        return self._newest_energy

    def _energy_buckets(self, fresh: Arrived, points: News, energy_end: int, lags: bool) -> Buckets:
        """Buckets whose energy must be split again: those of new points, of touched calls, and what was held back."""
        named = {**points.bounds, "metrics": METRICS, "bucket": BUCKET_NS, "margin": MARGIN_NS}
        buckets: Buckets = set(self._store.query(NEW_POINT_BUCKETS, named)["bucket"].to_pylist())
        begun = pc.divide(pc.subtract(fresh.calls["start_ns"], MARGIN_NS), BUCKET_NS)
        ended = pc.divide(pc.add(fresh.calls["end_ns"], MARGIN_NS), BUCKET_NS)
        reach = pa.table({"begun": begun, "ended": ended}).group_by(["begun", "ended"]).aggregate([])
        for low, high in zip(reach["begun"].to_pylist(), reach["ended"].to_pylist(), strict=True):
            buckets |= buckets_of(low * BUCKET_NS, high * BUCKET_NS)
        if self._energy_until_ns and energy_end > self._energy_until_ns and not lags:
            buckets |= buckets_of(self._energy_until_ns - MARGIN_NS, energy_end)
        return buckets | sharing_a_wide_one(self._store, "energy_intervals", buckets)

    def _keep_models(self, models: pa.Table, energy_end: int) -> None:
        if models.num_rows and energy_end - self._models_at_ns >= MODEL_EVERY_NS:
            self._store.append_records("step_models", models)
            self._models_at_ns = energy_end
