"""What a settling pass reads back of the settled relations, no more of it than it needs."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.intervals import CHARGES
from analytics.ledger.coverage import NEEDED
from analytics.ledger.inputs import ATTEMPT_COLUMNS
from analytics.ledger.rows import ATTEMPT_ENERGY
from analytics.relations.settlement import BUCKET_NS
from collector.settling.buckets import LONGEST_CALL_NS, Buckets
from collector.settling.points import MARGIN_NS
from store.writing import Store

MODELS: Final = """
    SELECT * FROM step_models
    QUALIFY row_number() OVER (PARTITION BY engine, device, method ORDER BY fitted_at DESC) = 1"""
IN_BUCKETS: Final = "bucket_ns BETWEEN $low AND $high AND bucket_ns IN (SELECT unnest($buckets::BIGINT[]))"
COUNT: Final = f"SELECT count(*) AS requests FROM requests_bucketed WHERE {IN_BUCKETS}"
KEPT: Final = f"""
    SELECT * FROM {{relation}}_bucketed
    WHERE {IN_BUCKETS} AND request_id NOT IN (SELECT request_id FROM gone)"""
LISTED: Final = f"""
    SELECT * FROM {{relation}}_bucketed WHERE {IN_BUCKETS} AND request_id IN (SELECT request_id FROM listed)"""
NEAR: Final = """
    SELECT DISTINCT bucket_ns FROM attempts_bucketed
    WHERE started_at >= make_timestamp($begin // 1000) AND started_at < make_timestamp($high // 1000)
      AND ended_at >= make_timestamp($low // 1000)"""
ATTEMPTS: Final = f"""
    SELECT {", ".join(ATTEMPT_COLUMNS)} FROM attempts_bucketed
    WHERE {IN_BUCKETS} AND started_at < make_timestamp($end // 1000) AND ended_at >= make_timestamp($begin // 1000)
      AND request_id NOT IN (SELECT request_id FROM gone)"""
REPLACED: Final = f"""
    SELECT request_id FROM requests_bucketed
    WHERE {IN_BUCKETS} AND request_id IN (SELECT request_id FROM again)"""
CHANGING: Final = f"""
    SELECT request_id, bucket_ns FROM requests_bucketed
    WHERE {IN_BUCKETS} AND request_id NOT IN (SELECT request_id FROM gone)
      AND ((energy_j IS NULL AND bucket_ns IN (SELECT unnest($spent_in::BIGINT[])))
           OR request_id IN (SELECT request_id FROM spending)
           OR request_id IN (SELECT request_id FROM attempt_energy_bucketed
                             WHERE bucket_ns IN (SELECT unnest($spent_in::BIGINT[]))))"""
ENERGY: Final = f"""
    SELECT {", ".join(ATTEMPT_ENERGY.names)} FROM attempt_energy
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)
      AND request_id IN (SELECT request_id FROM listed)"""
STORED_CHARGES: Final = f"""
    SELECT device, started_at, total_j, {", ".join(CHARGES.names)} FROM energy_intervals
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)"""


STORED_INTERVALS: Final = f"""
    SELECT DISTINCT {", ".join(NEEDED)} FROM energy_intervals
    WHERE started_at BETWEEN make_timestamp($low // 1000) AND make_timestamp($high // 1000)"""


class Stored:
    """Reads of ``store``. ``gone`` are ids of requests that are settled anew: their stored rows do not count."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def near(self, low: int, high: int) -> Buckets:
        """Buckets of requests with an attempt in [low, high)."""
        bounds = {"begin": low - LONGEST_CALL_NS, "low": low, "high": high}
        return set(self._store.query(NEAR, bounds)["bucket_ns"].to_pylist())

    def count(self, buckets: Buckets) -> int:
        """Requests in ``buckets``."""
        return int(self._store.query(COUNT, _bounds(buckets))["requests"][0].as_py())

    def replaced(self, buckets: Buckets, calls: pa.ChunkedArray) -> pa.Table:
        """Requests in ``buckets`` whose root is one of ``calls``, by ``request_id``: all of them are settled anew.

        A call that was a root may be none now that the span above it came.
        """
        again = {"again": pa.table({"request_id": calls})}
        return self._store.query(REPLACED, _bounds(buckets), again)

    def whole(self, buckets: Buckets, gone: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The requests in ``buckets`` that stay, and their attempts."""
        bounds, tables = _bounds(buckets), {"gone": gone}
        requests, attempts = (
            self._store.query(KEPT.format(relation=name), bounds, tables) for name in ("requests", "attempts")
        )
        return requests, attempts

    def changing(self, buckets: Buckets, gone: pa.Table, energy: pa.Table, split: Buckets) -> pa.Table:
        """Those that stay and whose energy is not what it was, with their bucket, now that ``split`` gave ``energy``.

        They spend of it, or did so before, or began there and had none yet (an attempt that never ran costs nothing).
        """
        tables = {"gone": gone, "spending": energy.select(["request_id"])}
        return self._store.query(CHANGING, {**_bounds(buckets), "spent_in": sorted(split)}, tables)

    def of(self, buckets: Buckets, listed: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The ``listed`` requests and their attempts."""
        bounds, tables = _bounds(buckets), {"listed": listed}
        requests, attempts = (
            self._store.query(LISTED.format(relation=name), bounds, tables) for name in ("requests", "attempts")
        )
        return requests, attempts

    def attempts(self, buckets: Buckets, begin: int, end: int, gone: pa.Table) -> pa.Table:
        """What the ledger needs of attempts that overlap [begin, end)."""
        return self._store.query(ATTEMPTS, {**_bounds(buckets), "begin": begin, "end": end}, {"gone": gone})

    def energy(self, attempts: pa.Table, buckets: Buckets, without: Buckets) -> pa.Table:
        """Joules of ``attempts`` outside the energy of the buckets ``without``."""
        if not attempts.num_rows:
            return ATTEMPT_ENERGY.empty_table()
        reach = pc.min_max(in_nanoseconds(attempts["ended_at"])).as_py()["max"] + MARGIN_NS
        listed = pa.table({"request_id": pc.unique(attempts["request_id"])})
        bounds = {"low": min(buckets) - MARGIN_NS, "high": reach}
        stored = self._store.query(ENERGY, bounds, {"listed": listed}).cast(ATTEMPT_ENERGY)
        return elsewhere(stored, without)

    def charges(self, kept: pa.Table, without: Buckets) -> list[pa.Table]:
        """The charged intervals that ``kept`` joules were spent in, but for those in the buckets ``without``."""
        if not kept.num_rows:
            return []
        reach = pc.min_max(in_nanoseconds(kept["started_at"])).as_py()
        stored = self._store.query(STORED_CHARGES, {"low": reach["min"], "high": reach["max"]})
        return [elsewhere(stored, without)]

    def intervals(self, attempts: pa.Table, without: Buckets) -> pa.Table:
        """What was metered while ``attempts`` ran, outside the buckets ``without``."""
        low, high = (pc.min_max(in_nanoseconds(attempts[name])).as_py() for name in ("started_at", "ended_at"))
        bounds = {"low": (low["min"] or 0) - MARGIN_NS, "high": high["max"] or 0}
        return elsewhere(self._store.query(STORED_INTERVALS, bounds), without)

    def models(self) -> pa.Table:
        """The constants fitted last."""
        return self._store.query(MODELS)


def in_nanoseconds(moments: Any) -> Any:
    """UTC nanoseconds of timestamps."""
    return pc.multiply(pc.cast(moments.cast(pa.timestamp("us")), pa.int64()), 1000)


def elsewhere(rows: pa.Table, buckets: Buckets) -> pa.Table:
    """Those of ``rows`` that begin in none of ``buckets``."""
    return rows.filter(pc.invert(pc.is_in(_bucket(rows), value_set=pa.array(sorted(buckets), pa.int64()))))


def placed(rows: pa.Table) -> pa.Table:
    """``rows`` with the bucket of their start in front."""
    return rows.add_column(0, "bucket_ns", _bucket(rows))


def _bucket(rows: pa.Table) -> pa.ChunkedArray:
    return pc.multiply(pc.divide(in_nanoseconds(rows["started_at"]), BUCKET_NS), BUCKET_NS)


def _bounds(buckets: Buckets) -> dict[str, Any]:
    listed = sorted(buckets) or [0]
    return {"buckets": listed, "low": listed[0], "high": listed[-1]}
