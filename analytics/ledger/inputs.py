"""What the ledger takes: cumulative series, attempts, which engines share which devices, and fitted constants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

POINT_COLUMNS: Final = (
    "metric", "time_ns", "start_ns", "value", "engine", "device", "device_type", "source", "scope", "quality", "host",
)  # fmt: skip
ATTEMPT_COLUMNS: Final = (
    "request_id", "attempt", "engine", "model", "outcome", "started_at", "prefill_started_at", "first_token_at",
    "ended_at", "input_tokens", "cached_input_tokens", "output_tokens", "draft_proposed", "draft_accepted",
    "exit_skipped",
)  # fmt: skip
AUTOMATIC: Final = "auto"


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How finely and by which rule the ledger splits."""

    interval_s: int = 2  # whole UTC seconds divisible by it are the edges; counters are biased below 2 s (energy.md §0)
    rule: str = AUTOMATIC  # or one module of analytics/ledger/rules

    def __post_init__(self) -> None:
        if not 2 <= self.interval_s <= 5:
            raise ValueError(f"interval_s must be from 2 to 5 s, got {self.interval_s}")


@dataclass(frozen=True, slots=True)
class LedgerInputs:
    """Everything one attribution sees; frames may hold more columns and rows in any order.

    ``points`` has ``POINT_COLUMNS``: cumulative sums as received (``metric_points`` plus the host's name), of the
    instruments ``hw.energy`` [J] per device, ``ENGINE_COUNTERS`` per engine, ``process.cpu.time`` [s] per engine and
    ``system.cpu.time`` [s] without an engine. Points before the window are history: fit and idle power use them.
    ``attempts`` has ``ATTEMPT_COLUMNS`` of ``attempts.sql``: all attempts that overlap the window or come within
    ``MARGIN_S`` of it. ``models`` has the columns of ``step_models.sql``: constants fitted before, the newest wins.
    ``shared_by`` names the engines of a device; devices that it does not name are shared by all engines of their host.
    ``jobs`` has ``jobs.JOB_COLUMNS``: CPU seconds of training and batch jobs as received.
    """

    points: pa.Table
    attempts: pa.Table
    window_ns: tuple[int, int]  # [start, end), UTC; intervals that begin in it are emitted
    models: pa.Table | None = None
    shared_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: LedgerSettings = field(default_factory=LedgerSettings)
    jobs: pa.Table | None = None


MARGIN_S: Final = 5.0
"""How far beyond the window an attempt can still claim in it: counters place work to one export period."""
HISTORY_NS: Final = 900_000_000_000
"""How long before the window callers read all points, for constants and idle power; single older ones may be there."""
HISTORY_LIMIT_NS: Final = 3_600_000_000_000
"""How far outside the window points still count as evidence for idle power and constants."""


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """Rows of ``energy_intervals``, ``attempt_energy`` and ``step_models`` (their bookkeeping columns left out)."""

    intervals: pa.Table
    attempt_energy: pa.Table
    step_models: pa.Table
