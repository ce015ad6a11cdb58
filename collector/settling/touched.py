"""Everything of the buckets that one settling pass replaces: what is new settled, the rest as it was stored.

Only the traces with new spans are settled from their spans; rows of other requests in the same buckets are read back
from the store, because settling a span costs about fifty times as much as reading its row.
"""

from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.intervals import CHARGES, Charging, PerJoule, charged
from analytics.charges.requests import with_cost, with_energy_charges, with_reported_cost
from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.requests import QUALITIES, with_energy
from analytics.ledger.rows import ATTEMPT_ENERGY
from analytics.ledger.spending import spent
from analytics.relations.settlement import BUCKET_NS, Settlement, settle
from collector.settling import jobs
from collector.settling.buckets import LONGEST_CALL_NS, Buckets, Runs, sharing_a_wide_one, start_buckets
from collector.settling.points import HISTORY_NS, MARGIN_NS, points_of
from store.writing import Store

ENERGY_RELATIONS: Final = ("attempt_energy", "energy_intervals", "energy_spent")  # by when they were spent
STORED: Final = """
    SELECT * FROM {relation}_bucketed
    WHERE bucket_ns BETWEEN $low AND $high AND bucket_ns IN (SELECT unnest($buckets::BIGINT[]))"""
STORED_NEAR: Final = """
    SELECT DISTINCT bucket_ns FROM attempts_bucketed
    WHERE started_at >= make_timestamp($begin // 1000) AND started_at < make_timestamp($high // 1000)
      AND ended_at >= make_timestamp($low // 1000)"""
STORED_CHARGES: Final = f"""
    SELECT device, started_at, total_j, {", ".join(CHARGES.names)} FROM energy_intervals
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)"""
STORED_ENERGY: Final = f"""
    SELECT {", ".join(ATTEMPT_ENERGY.names)} FROM attempt_energy
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)"""


class Touched:
    """Everything of the buckets that one pass replaces."""

    def __init__(
        self,
        store: Store,
        fresh: pa.Table,
        energy: Runs,
        energy_end: int,
        horizon: int,
        charging: Charging | None = None,
    ) -> None:
        self._store = store
        self._charging = charging
        self._energy_end = energy_end
        self._energy_buckets = {bucket for low, high in energy for bucket in range(low, high, BUCKET_NS)}
        settled, starts = settle(fresh), start_buckets(fresh)
        starts |= sharing_a_wide_one(store, "requests", starts)
        self._buckets = starts.union(*(self._stored_near(low - MARGIN_NS, high + MARGIN_NS) for low, high in energy))
        requests, attempts = self._stored("requests"), self._stored("attempts")
        kept = _untouched(requests, settled, pc.unique(fresh["trace_id"]), horizon)
        mine = pc.is_in(attempts["request_id"], value_set=kept["request_id"].combine_chunks())
        self._requests = with_reported_cost(_joined(kept, settled.requests))
        self._attempts = _joined(attempts.filter(mine), settled.attempts)
        self._ledger = [self._split(low, high) for low, high in energy]

    def write(self) -> None:
        """Replace the buckets, in one transaction."""
        energy = pa.concat_tables([ATTEMPT_ENERGY.empty_table(), *(one.attempt_energy for one in self._ledger)])
        kept = self._kept_energy(self._attempts)
        every = pa.concat_tables([energy, kept])
        requests, attempts = with_energy(self._requests, self._attempts, every, *self._qualities())
        buckets, spent_in = sorted(self._buckets), sorted(self._energy_buckets)
        tables = {"requests": requests, "attempts": attempts, "attempt_energy": energy}
        if self._ledger:
            intervals = pa.concat_tables([one.intervals for one in self._ledger])
            if self._charging:
                intervals = charged(intervals, self._charging)
                rates = PerJoule(pa.concat_tables([*self._kept_charges(kept), intervals], promote_options="default"))
                requests = with_energy_charges(requests, rates.charge(every), rates)
            tables |= {"energy_intervals": intervals, "energy_spent": spent(energy, requests, attempts, intervals)}
        tables |= {name: _placed(tables[name]) for name in ENERGY_RELATIONS if name in tables}
        tables["requests"] = with_cost(requests, self._charging.prices if self._charging else None)
        listed = dict.fromkeys(("requests", "attempts"), buckets) | dict.fromkeys(ENERGY_RELATIONS, spent_in)
        self._store.replace_buckets(tables, listed)

    def models(self) -> pa.Table:
        """Constants fitted on the newest stretch of energy."""
        return self._ledger[-1].step_models if self._ledger else pa.table({})

    def _stored_near(self, low: int, high: int) -> Buckets:
        """Buckets of stored requests with an attempt in [low, high)."""
        bounds = {"begin": low - LONGEST_CALL_NS, "low": low, "high": high}
        return set(self._store.query(STORED_NEAR, bounds)["bucket_ns"].to_pylist())

    def _stored(self, relation: str) -> pa.Table:
        listed = sorted(self._buckets) or [0]
        named = {"buckets": listed, "low": listed[0], "high": listed[-1]}
        return self._store.query(STORED.format(relation=relation), named)

    def _split(self, low: int, high: int) -> LedgerResult:
        high = min(high, self._energy_end)
        points = points_of(self._store, low, high)
        near = _overlapping(self._attempts, low - MARGIN_NS, high + MARGIN_NS)
        used = jobs.cpu_seconds(self._store, low - HISTORY_NS, high + MARGIN_NS)
        return attribute(LedgerInputs(points, near, (low, high), self._models_before(), jobs=used))

    def _models_before(self) -> pa.Table:
        return self._store.query(
            "SELECT * FROM step_models"
            " QUALIFY row_number() OVER (PARTITION BY engine, device, method ORDER BY fitted_at DESC) = 1"
        )

    def _kept_energy(self, attempts: pa.Table) -> pa.Table:
        """Joules of ``attempts`` in buckets that this pass leaves alone."""
        if not attempts.num_rows:
            return ATTEMPT_ENERGY.empty_table()
        reach = pc.min_max(_ns(attempts["ended_at"])).as_py()["max"] + MARGIN_NS
        bounds = {"low": min(self._buckets) - MARGIN_NS, "high": reach}
        stored = self._store.query(STORED_ENERGY, bounds).cast(ATTEMPT_ENERGY)
        mine = pc.is_in(stored["request_id"], value_set=pc.unique(attempts["request_id"]))
        return _elsewhere(stored.filter(mine), self._energy_buckets)

    def _kept_charges(self, kept: pa.Table) -> list[pa.Table]:
        """The charged intervals that ``kept`` joules were spent in."""
        if not kept.num_rows:
            return []
        reach = pc.min_max(_ns(kept["started_at"])).as_py()
        stored = self._store.query(STORED_CHARGES, {"low": reach["min"], "high": reach["max"]})
        return [_elsewhere(stored, self._energy_buckets)]

    def _qualities(self) -> tuple[dict[str, str], dict[tuple[str, datetime], str]]:
        """The strongest quality of each device, and the intervals in which it is weaker."""
        if not self._ledger:
            return {}, {}
        rows = pa.concat_tables(one.intervals for one in self._ledger)
        rows = rows.filter(pc.is_valid(rows["engine"])).select(["device", "started_at", "quality"])
        said = rows.group_by(["device", "quality"]).aggregate([]).to_pylist()
        ranked = sorted(said, key=lambda row: QUALITIES.index(row["quality"]), reverse=True)
        strongest = {row["device"]: row["quality"] for row in ranked}
        if len(said) == len(strongest):
            return strongest, {}
        odd = [row for row in rows.to_pylist() if row["quality"] != strongest[row["device"]]]
        return strongest, {(row["device"], row["started_at"]): row["quality"] for row in odd}


def _untouched(requests: pa.Table, settled: Settlement, traces: pa.Array, horizon: int) -> pa.Table:
    """Stored requests that stay: of other traces, and of these traces from before the spans that were read."""
    again = pc.is_in(requests["request_id"], value_set=settled.requests["request_id"].combine_chunks())
    reread = pc.greater_equal(_ns(requests["ended_at"]), horizon)
    replaced = pc.and_(pc.is_in(requests["trace_id"], value_set=traces), reread)
    return requests.filter(pc.invert(pc.or_(again, replaced)))


def _joined(kept: pa.Table, fresh: pa.Table) -> pa.Table:
    """Stored and freshly settled rows as one table, not copied: within a bucket their order tells nothing."""
    return pa.concat_tables([kept.select(fresh.column_names).cast(fresh.schema), fresh])


def _overlapping(attempts: pa.Table, low: int, high: int) -> pa.Table:
    begin, end = _ns(attempts["started_at"]), _ns(attempts["ended_at"])
    return attempts.filter(pc.and_(pc.less(begin, high), pc.greater_equal(end, low)))


def _ns(moments: Any) -> Any:
    return pc.multiply(pc.cast(moments.cast(pa.timestamp("us")), pa.int64()), 1000)


def _bucket(rows: pa.Table) -> pa.ChunkedArray:
    return pc.multiply(pc.divide(_ns(rows["started_at"]), BUCKET_NS), BUCKET_NS)


def _elsewhere(rows: pa.Table, buckets: Buckets) -> pa.Table:
    """Those of ``rows`` that begin in none of ``buckets``."""
    return rows.filter(pc.invert(pc.is_in(_bucket(rows), value_set=pa.array(sorted(buckets), pa.int64()))))


def _placed(rows: pa.Table) -> pa.Table:
    """``rows`` with the bucket of their start in front."""
    return rows.add_column(0, "bucket_ns", _bucket(rows))
