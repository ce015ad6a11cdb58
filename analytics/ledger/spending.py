"""Sums joules over requests into ``energy_spent``: a tenth of the rows, everything that energy metrics group by.

At 10 million requests a week of ``attempt_energy`` has 16 million rows, and joining them to their requests takes
seconds; a week of slots has under one million. It knows the requests it is given and no others: joules of a request
that is not there count as unattributed.
"""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.slots import SLOT_LABELS, SUMS, claimed_charges, nobodys_charges

SLOT_S: Final = 10  # every interval of the ledger (2 s, 5 s) lies in one slot
SUMMED: Final = [
    *("started_at", "part", "tier", "tenant", "model", "run_id", "wasted", "quality"),
    *SLOT_LABELS.names,
]
ENERGY_SPENT: Final = pa.schema(
    [("started_at", pa.timestamp("us"))]
    + [(name, pa.string()) for name in ("part", "tier", "tenant", "model", "run_id")]
    + [("wasted", pa.bool_()), ("quality", pa.string()), *SLOT_LABELS]
    + [("joules", pa.float64()), ("entries", pa.int64()), *((name, pa.float64()) for name in SUMS)]
)


def spent(energy: pa.Table, requests: pa.Table, attempts: pa.Table, intervals: pa.Table) -> pa.Table:
    """Rows of ``energy_spent`` for whole slots of ``attempt_energy`` and ``energy_intervals``.

    Their charges are summed where ``intervals`` are charged (``analytics.charges``); else they are NULL.
    """
    return total([claimed(energy, requests, attempts, intervals), nobodys(intervals)])


def claimed(energy: pa.Table, requests: pa.Table, attempts: pa.Table, intervals: pa.Table) -> pa.Table:
    """The part of ``energy``, rows of ``attempt_energy``, for ``total``; ``intervals`` are those it was spent in."""
    return _summed([_claimed(energy, requests, attempts, intervals)])


def nobodys(intervals: pa.Table) -> pa.Table:
    """The part of ``intervals`` that belongs to no request, for ``total``."""
    overhead = pc.fill_null(pc.equal(intervals["unattributed_reason"], "overhead"), False)
    return _summed(
        [
            _nobodys(intervals.filter(pc.is_valid(intervals["job"])), "attributed_j", "job"),
            _nobodys(intervals, "idle_j", "idle"),
            _nobodys(intervals, "unattributed_j", pc.if_else(overhead, "overhead", "unattributed")),
        ]
    )


def total(parts: Sequence[pa.Table]) -> pa.Table:
    """Rows of ``energy_spent`` of all ``parts``."""
    rows = pa.concat_tables(parts)
    summed = rows.group_by(SUMMED).aggregate([(name, "sum") for name in ("joules", "entries", *SUMS)])
    named = summed.rename_columns([*SUMMED, "joules", "entries", *SUMS])
    return named.select(ENERGY_SPENT.names).cast(ENERGY_SPENT).sort_by("started_at")


def _summed(parts: list[pa.Table]) -> pa.Table:
    rows = pa.concat_tables([part.select([*SUMMED, "joules", *SUMS]) for part in parts])
    summed = rows.group_by(SUMMED).aggregate(
        [("joules", "sum"), ("joules", "count"), *((name, "sum") for name in SUMS)]
    )
    return summed.rename_columns([*SUMMED, "joules", "entries", *SUMS])


def _claimed(energy: pa.Table, requests: pa.Table, attempts: pa.Table, intervals: pa.Table) -> pa.Table:
    """Joules of attempts with what their request says about them."""
    charged = claimed_charges(energy, intervals)
    carried = ["joules", *SUMS, *SLOT_LABELS.names]
    slotted = charged.select(["request_id", "attempt", *carried]).append_column("slot", _slot(energy["started_at"]))
    owners = pa.table(
        {name: requests[name] for name in ("request_id", "success", "tier", "tenant", "run_id")}
        | {"model": pc.coalesce(requests["model_served"], requests["model_requested"])}
        | {"quality": requests["energy_quality"]}
    )
    tries = attempts.select(["request_id", "attempt", "outcome"])
    found = slotted.join(owners, "request_id").join(tries, ["request_id", "attempt"])
    assert found.num_rows == slotted.num_rows, "a request or an attempt was given twice"
    known, success = pc.is_valid(found["success"]), pc.fill_null(found["success"], False)
    part = pc.if_else(known, pc.if_else(success, "successful", "failed"), "unattributed")
    lost = pc.fill_null(pc.not_equal(found["outcome"], "answered"), False)
    wasted = pc.or_(pc.and_(known, pc.invert(success)), lost)
    columns = {name: found[name] for name in ("tier", "tenant", "model", "run_id", "quality", *carried)}
    return pa.table({"started_at": found["slot"], "part": part, "wasted": wasted} | columns)


def _nobodys(intervals: pa.Table, joules: str, part: str | pa.Array) -> pa.Table:
    """Joules that belong to no request: of jobs, idle, or not attributed."""
    size = intervals.num_rows
    part = pa.array([part] * size, pa.string()) if isinstance(part, str) else part
    columns = {name: pa.nulls(size, pa.string()) for name in ("tier", "tenant", "model", "run_id")}
    columns |= {"started_at": _slot(intervals["started_at"]), "quality": intervals["quality"]}
    columns |= nobodys_charges(intervals, joules)
    return pa.table(
        columns | {"part": part, "wasted": pa.array([False] * size, pa.bool_()), "joules": intervals[joules]}
    )


def _slot(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.floor_temporal(moments.cast(pa.timestamp("us")), SLOT_S, unit="second")
