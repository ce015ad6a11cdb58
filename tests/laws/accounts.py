"""What the laws of energy compare: joules by attempt and by interval."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, settings

from analytics.ledger.inputs import LedgerResult

EXACT = 1e-12
lawful = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
JOULES = ("total_j", "attributed_j", "idle_j", "unattributed_j")


def per_attempt(result: LedgerResult) -> dict[tuple[str, str], float]:
    """Joules by attempt and component."""
    summed = result.attempt_energy.group_by(["request_id", "component"]).aggregate([("joules", "sum")])
    return {(row["request_id"], row["component"]): row["joules_sum"] for row in summed.to_pylist()}


def per_interval(result: LedgerResult) -> dict[Any, np.ndarray[Any, Any]]:
    """The four joules columns summed by device and interval."""
    summed = result.intervals.group_by(["device", "started_at"]).aggregate([(name, "sum") for name in JOULES])
    return {
        (row["device"], row["started_at"]): np.array([row[f"{name}_sum"] for name in JOULES])
        for row in summed.to_pylist()
    }


def nanoseconds(moments: Any) -> Any:
    return pc.cast(moments, pa.int64()).to_numpy() * 1000


def assert_same(one: dict[Any, float], other: dict[Any, float], tolerance: float = 1e-9) -> None:
    assert one.keys() == other.keys()
    assert list(one.values()) == pytest.approx([other[key] for key in one], rel=tolerance, abs=1e-12)
