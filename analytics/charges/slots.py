"""The charges of slots of spent energy: what ``energy_spent`` carries beside its joules."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.intervals import SUMS, PerJoule

__all__ = ["SLOT_LABELS", "SUMS", "claimed_charges", "nobodys_charges"]

SLOT_LABELS: Final = pa.schema(
    [
        *(("currency", pa.string()), ("grid_basis", pa.string())),
        *(("grid_factor", pa.string()), ("grid_estimated", pa.bool_())),
    ]
)
REST: Final = "unattributed_j"  # what an interval without joules costs belongs to nobody


def claimed_charges(energy: pa.Table, intervals: pa.Table) -> pa.Table:
    """``energy`` (rows of ``attempt_energy``) with the charges of its intervals; NULL where those are not charged."""
    if not _is_charged(intervals):
        nulls = {name: pa.nulls(energy.num_rows, kind) for name, kind in _kinds().items()}
        return pa.table({name: energy[name] for name in energy.column_names if name not in nulls} | nulls)
    rates = PerJoule(intervals)
    charged = rates.charge(energy)
    labels = _labels(rates.labels.take(charged["factor"].combine_chunks()))
    return pa.table({name: charged[name] for name in charged.column_names} | labels)


def nobodys_charges(intervals: pa.Table, joules: str) -> dict[str, Any]:
    """The charges of that part of each interval (``idle_j`` or ``unattributed_j``) by its share of the joules."""
    if not _is_charged(intervals):
        return {name: pa.nulls(intervals.num_rows, kind) for name, kind in _kinds().items()}
    total, part = (intervals[name].to_numpy() for name in ("total_j", joules))
    whole = np.full(len(total), 1.0 if joules == REST else 0.0)
    share = pa.array(np.divide(part, total, out=whole, where=total > 0))
    return {name: pc.multiply(intervals[name], share) for name in SUMS} | _labels(intervals)


def _labels(rows: pa.Table) -> dict[str, Any]:
    known = pc.is_valid(rows["grid_zone"])
    words = (rows["grid_zone"], pc.cast(rows["grid_year"], pa.string()), rows["grid_source"], " ")
    factor = pc.binary_join_element_wise(*words, null_handling="skip")
    return {
        "currency": rows["currency"],
        "grid_basis": rows["grid_basis"],
        "grid_factor": pc.if_else(known, factor, pa.scalar(None, pa.string())),
        "grid_estimated": rows["grid_estimated"],
    }


def _kinds() -> dict[str, pa.DataType]:
    return dict.fromkeys(SUMS, pa.float64()) | dict(zip(SLOT_LABELS.names, SLOT_LABELS.types, strict=True))


def _is_charged(intervals: pa.Table) -> bool:
    return "co2e_g" in intervals.column_names
