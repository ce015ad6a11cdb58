"""How far joules per request are from the truth, and whether the stated errors admit it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Floats

NORMAL_95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors of joules per request, and the share of truths within 1.96 stated standard errors."""

    median: float
    p95: float
    bias: float
    coverage: float  # NaN: no error is stated
    shortest: float  # coverage among the tenth of requests with the least energy


def per_request(energy: pa.Table, size: int) -> tuple[Floats, Floats]:
    """Joules and standard errors of requests ``r0`` … from rows of ``attempt_energy``, as ``requests`` adds them up."""
    both = [("joules", "sum"), ("variance_j2", "sum", pc.ScalarAggregateOptions(skip_nulls=False))]
    rows = energy.group_by(["request_id", "started_at"]).aggregate(both)
    rows = rows.append_column("error", pc.sqrt(rows["variance_j2_sum"]))
    kept = ("error", "sum", pc.ScalarAggregateOptions(skip_nulls=False))
    rows = rows.group_by("request_id").aggregate([("joules_sum", "sum"), kept])
    of = pc.cast(pc.utf8_slice_codeunits(rows["request_id"], 1), pa.int64()).to_numpy()
    joules, errors = np.zeros(size), np.zeros(size)
    joules[of] = rows["joules_sum_sum"].to_numpy()
    errors[of] = rows["error_sum"].to_numpy()
    return joules, errors


def scored(joules: Floats, truth: Floats, errors: Floats | None = None) -> Errors:
    """Scores of ``joules`` against ``truth``; those without a stated error (NaN) claim nothing."""
    off = np.abs(joules - truth)
    stated = np.zeros(len(truth)) if errors is None else errors
    covered = np.where(np.isnan(stated), np.nan, off <= NORMAL_95 * stated)
    relative, short = off / truth, truth <= np.quantile(truth, 0.1)
    return Errors(
        median=float(np.median(relative)),
        p95=float(np.quantile(relative, 0.95)),
        bias=float(joules.sum() / truth.sum() - 1),
        coverage=_mean(covered),
        shortest=_mean(covered[short]),
    )


def _mean(flags: Floats) -> float:
    known = flags[~np.isnan(flags)]
    return float(known.mean()) if len(known) else float("nan")
