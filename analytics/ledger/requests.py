"""Carries joules back to the relations: the energy of an attempt and of a request is the sum of their rows.

Standard errors of an attempt's intervals are added, not their variances: they come mostly from the same fitted
constants and so err together. An attempt that never ran cost 0 J; one that ran where nothing was metered is NULL.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

QUALITIES: Final = ("measured", "estimated", "simulated")  # from the strongest to the weakest
Weaker = Mapping[tuple[str, datetime], str]
"""Intervals by device and start whose quality is weaker than the device's."""
_ATTEMPT: Final = ["request_id", "attempt"]


def with_energy(
    requests: pa.Table, attempts: pa.Table, energy: pa.Table, qualities: Mapping[str, str], weaker: Weaker | None = None
) -> tuple[pa.Table, pa.Table]:
    """``requests`` and ``attempts`` with their energy columns filled from all their rows of ``attempt_energy``.

    ``qualities`` names the quality of each device; a request has the weakest of those, and of the ``weaker`` intervals,
    that it used. Without any device nothing is filled.
    """
    if not qualities:
        return requests, attempts
    attempts = _with_attempt_energy(attempts, energy)
    weakest = max((QUALITIES.index(quality) for quality in qualities.values()), default=0)
    return _with_request_energy(
        requests, attempts, _used(energy, qualities, weaker or {}), QUALITIES[weakest]
    ), attempts


def _with_attempt_energy(attempts: pa.Table, energy: pa.Table) -> pa.Table:
    per_interval = energy.group_by([*_ATTEMPT, "device", "started_at"]).aggregate(
        [("joules", "sum"), ("variance_j2", "sum", pc.ScalarAggregateOptions(skip_nulls=False))]
    )
    errors = per_interval.append_column("error", pc.sqrt(per_interval["variance_j2_sum"]))
    summed = errors.group_by(_ATTEMPT).aggregate(
        [("joules_sum", "sum"), ("error", "sum", pc.ScalarAggregateOptions(skip_nulls=False))]
    )
    found = _looked_up(attempts, summed, _ATTEMPT, ("joules_sum_sum", "error_sum"))
    ran = pc.or_(pc.is_valid(attempts["prefill_started_at"]), pc.equal(attempts["outcome"], "answered"))
    zero = pc.if_else(ran, pa.scalar(None, pa.float64()), 0.0)
    filled = _replaced(attempts, "energy_j", pc.coalesce(found["joules_sum_sum"], zero))
    return _replaced(filled, "energy_se_j", pc.coalesce(found["error_sum"], zero))


def _with_request_energy(requests: pa.Table, attempts: pa.Table, used: pa.Table, weakest: str) -> pa.Table:
    summed = attempts.group_by("request_id").aggregate(
        [("energy_j", "sum"), ("energy_se_j", "sum", pc.ScalarAggregateOptions(skip_nulls=False)), ("attempt", "count")]
    )
    found = _looked_up(requests, summed, ["request_id"], ("energy_j_sum", "energy_se_j_sum", "attempt_count"))
    untried = pc.is_null(found["attempt_count"])  # answered from a cache
    joules = pc.if_else(untried, 0.0, found["energy_j_sum"])
    error = pc.if_else(untried, 0.0, found["energy_se_j_sum"])
    own = _looked_up(requests, used, ["request_id"], ("quality_max",))["quality_max"]
    named = pa.array(QUALITIES).take(own.combine_chunks())
    quality = pc.if_else(pc.is_valid(joules), pc.coalesce(named, weakest), pa.scalar(None, pa.string()))
    filled = _replaced(requests, "energy_j", joules)
    return _replaced(_replaced(filled, "energy_se_j", error), "energy_quality", quality)


def _used(energy: pa.Table, qualities: Mapping[str, str], weaker: Weaker) -> pa.Table:
    """The weakest quality per request, as an index into ``QUALITIES``."""
    ranks = {device: QUALITIES.index(quality) for device, quality in qualities.items()}
    devices = energy["device"].to_pylist()
    found = [ranks.get(device, len(QUALITIES) - 1) for device in devices]
    if weaker:
        exceptions = {key: QUALITIES.index(quality) for key, quality in weaker.items()}
        keys = zip(devices, energy["started_at"].to_pylist(), strict=True)
        found = [max(rank, exceptions.get(key, 0)) for rank, key in zip(found, keys, strict=True)]
    rank = pa.array(found, pa.int64())
    return (
        energy.select(["request_id"])
        .append_column("quality", rank)
        .group_by("request_id")
        .aggregate([("quality", "max")])
    )


def _looked_up(rows: pa.Table, found: pa.Table, keys: list[str], columns: tuple[str, ...]) -> pa.Table:
    """``columns`` of ``found`` for each of ``rows``, in their order; NULL where there are none."""
    numbered = rows.select(keys).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    joined = numbered.join(found, keys, join_type="left outer").sort_by("row")
    return joined.select(list(columns)).combine_chunks()


def _replaced(rows: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(column), column, values)
