"""Everything of the buckets that one settling pass replaces: what is new settled, the rest as it was stored.

Only the traces with new spans are settled from their spans; rows of other requests in the same buckets are read back
from the store, because settling a span costs about fifty times as much as reading its row. A pass over many requests
does that in slices: those that are new or whose energy changes pass through here ``SLICE_ROWS`` at a time, the others
are carried over inside the store, and readers see all of it at once when the last slice is written.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.intervals import Charging, PerJoule, charged
from analytics.charges.requests import with_cost, with_energy_charges, with_reported_cost
from analytics.ledger import spending
from analytics.ledger.attribution import attribute
from analytics.ledger.coverage import NEEDED, with_coverage
from analytics.ledger.inputs import HISTORY_NS, LedgerInputs, LedgerResult
from analytics.ledger.requests import QUALITIES, with_energy
from analytics.ledger.rows import ATTEMPT_ENERGY
from analytics.relations.settlement import BUCKET_NS, Settlement
from collector.footprint import release_memory
from collector.settling import jobs
from collector.settling.arrived import Arrived
from collector.settling.buckets import Buckets, Runs, sharing_a_wide_one
from collector.settling.points import MARGIN_NS, points_of
from collector.settling.stored import Stored, in_nanoseconds, placed
from store.settled import Staging
from store.writing import Store

SLICE_ROWS: Final = 25_000
"""Requests that pass through at once; with their attempts and joules some 60 MB, in a few copies."""
BY_START: Final = ("requests", "attempts")
BY_SPENDING: Final = ("attempt_energy", "energy_intervals", "energy_spent")


class Touched:
    """Everything of the buckets that one pass replaces."""

    def __init__(
        self,
        store: Store,
        arrived: Arrived,
        energy: Runs,
        energy_end: int,
        charging: Charging | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._charging = charging
        self._check = check  # between its steps; what it raises ends the pass
        self._energy_end = energy_end
        self._energy_buckets = {bucket for low, high in energy for bucket in range(low, high, BUCKET_NS)}
        self._fresh, starts = arrived.settlement, arrived.buckets
        self._starts = starts | sharing_a_wide_one(store, "requests", starts)
        self._stored = Stored(store)
        near = [self._stored.near(low - MARGIN_NS, high + MARGIN_NS) for low, high in energy]
        self._buckets: Buckets = self._starts.union(*near)
        self._gone = self._stored.replaced(self._buckets, arrived.calls["request_id"])
        self._ledger = [self._split(low, high) for low, high in energy]
        self._energy = pa.concat_tables([ATTEMPT_ENERGY.empty_table(), *(one.attempt_energy for one in self._ledger)])
        self._intervals = self._charged_intervals()
        self._spent: list[pa.Table] = []

    def write(self) -> None:
        """Replace the buckets; readers see all of it at once. Raises ``StoreError``."""
        if self._stored.count(self._buckets) + self._fresh.requests.num_rows <= SLICE_ROWS:
            kept = self._stored.whole(self._buckets, self._gone)
            self._show(self._settled(*(_joined(old, new) for old, new in zip(kept, self._new(), strict=True))))
            return
        release_memory()  # what settling and splitting took and gave back
        with self._store.staging() as staging:
            for one in self._slices(staging):
                self._check()
                for relation, rows in self._settled(*one).items():
                    self._store.stage(staging, relation, rows)
                del one  # a slice keeps all of what it is a slice of
            self._show({}, staging)

    def models(self) -> pa.Table:
        """Constants fitted on the newest stretch of energy."""
        return self._ledger[-1].step_models if self._ledger else pa.table({})

    def _slices(self, staging: Staging) -> Iterator[tuple[pa.Table, pa.Table]]:
        """What is new, then what is stored and changes; what does not change is staged by the way."""
        for first in range(0, self._fresh.requests.num_rows, SLICE_ROWS):
            yield self._slice_of_new(first)
        self._fresh = Settlement(*(table.schema.empty_table() for table in self._new()))  # the rest needs the room
        changing = self._stored.changing(self._buckets, self._gone, self._energy, self._energy_buckets)
        self._buckets = self._starts | set(pc.unique(changing["bucket_ns"]).to_pylist())
        for first in range(0, changing.num_rows, SLICE_ROWS):
            yield self._stored.of(self._buckets, changing.slice(first, SLICE_ROWS))
        moved = pa.concat_tables([self._gone, changing.select(["request_id"])])
        for relation in BY_START:
            self._store.carry(staging, relation, sorted(self._buckets), moved)

    def _slice_of_new(self, first: int) -> tuple[pa.Table, pa.Table]:
        requests, attempts = self._fresh.requests.slice(first, SLICE_ROWS), self._fresh.attempts
        ids = requests["request_id"].combine_chunks()
        return requests, attempts.filter(pc.is_in(attempts["request_id"], value_set=ids))

    def _new(self) -> tuple[pa.Table, pa.Table]:
        return self._fresh.requests, self._fresh.attempts

    def _settled(self, requests: pa.Table, attempts: pa.Table) -> dict[str, pa.Table]:
        """Rows of requests and all their attempts, with their joules, grams and money; what they spent is noted."""
        requests = with_reported_cost(requests)
        mine = self._energy.filter(pc.is_in(self._energy["request_id"], value_set=pc.unique(attempts["request_id"])))
        kept = self._stored.energy(attempts, self._buckets, self._energy_buckets)
        every = pa.concat_tables([mine, kept])
        requests, attempts = with_energy(requests, attempts, every, *self._qualities())
        if self._ledger:
            stored = self._stored.intervals(attempts, self._energy_buckets)
            every_interval = pa.concat_tables([self._intervals.select(NEEDED), stored.select(NEEDED)])
            requests, attempts = with_coverage(requests, attempts, every_interval)
        if self._ledger and self._charging:
            charges = self._stored.charges(kept, self._energy_buckets)
            rates = PerJoule(pa.concat_tables([*charges, self._intervals], promote_options="default"))
            requests = with_energy_charges(requests, rates.charge(every), rates)
        if self._ledger:
            self._spent.append(spending.claimed(mine, requests, attempts, self._intervals))
        return {
            "requests": with_cost(requests, self._charging.prices if self._charging else None),
            "attempts": attempts,
        }

    def _show(self, last: dict[str, pa.Table], staging: Staging | None = None) -> None:
        tables = {**last, "attempt_energy": placed(self._energy)}
        if self._ledger:
            spent = spending.total([*self._spent, spending.nobodys(self._intervals)])
            tables |= {"energy_intervals": placed(self._intervals), "energy_spent": placed(spent)}
        buckets, spent_in = sorted(self._buckets), sorted(self._energy_buckets)
        listed = dict.fromkeys(BY_START, buckets) | dict.fromkeys(BY_SPENDING, spent_in)
        self._store.replace_buckets(tables, listed, staging=staging)

    def _split(self, low: int, high: int) -> LedgerResult:
        self._check()
        high = min(high, self._energy_end)
        begin, end = low - MARGIN_NS, high + MARGIN_NS
        points = points_of(self._store, low, high)
        near = self._stored.attempts(self._buckets, begin, end, self._gone)
        mine = _overlapping(self._fresh.attempts.select(near.column_names), begin, end)
        used = jobs.cpu_seconds(self._store, low - HISTORY_NS, end)
        attempts = _joined(near, mine)
        return attribute(LedgerInputs(points, attempts, (low, high), self._stored.models(), jobs=used))

    def _charged_intervals(self) -> pa.Table:
        if not self._ledger:
            return pa.table({})
        intervals = pa.concat_tables([one.intervals for one in self._ledger])
        return charged(intervals, self._charging) if self._charging else intervals

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


def _joined(kept: pa.Table, fresh: pa.Table) -> pa.Table:
    """Stored and freshly settled rows as one table, not copied: within a bucket their order tells nothing."""
    return pa.concat_tables([kept.select(fresh.column_names).cast(fresh.schema), fresh])


def _overlapping(attempts: pa.Table, low: int, high: int) -> pa.Table:
    begin, end = in_nanoseconds(attempts["started_at"]), in_nanoseconds(attempts["ended_at"])
    return attempts.filter(pc.and_(pc.less(begin, high), pc.greater_equal(end, low)))
