"""What others do, given the same active joules and spans: one window for all, or windows by output tokens."""

from typing import Final

import numpy as np
import pyarrow.compute as pc

from analytics.ledger.inputs import Floats, LedgerResult
from analytics.ledger.simulation import DAY_NS, Simulated

WINDOW_S: Final = 30.0  # Aitra Meter's (energy.md §1.1)


def run_average(simulated: Simulated, result: LedgerResult) -> Floats:
    """ML.ENERGY: active joules of the run ÷ its output tokens, times a request's own (energy.md §1.2)."""
    output = _output(simulated)
    return output * (_active(result)[1].sum() / output.sum())


def window_share(simulated: Simulated, result: LedgerResult) -> Floats:
    """Aitra: active joules of each 30 s window by output tokens, carried on from the namespace to its requests.

    A request's output tokens lie evenly over its decode time.
    """
    started, joules = _active(result)
    begin, end = _seconds(simulated, "first_token_at"), _seconds(simulated, "ended_at")
    end = np.maximum(end, begin + 1e-6)
    windows = int(max(started.max(), end.max()) // WINDOW_S) + 1
    energy = np.bincount((started // WINDOW_S).astype(int), joules, windows)
    rate, paid, tokens = _output(simulated) / (end - begin), np.zeros(len(end)), np.zeros(windows)
    pieces = []
    for window in range(windows):
        low = np.maximum(begin, window * WINDOW_S)
        piece = rate * np.maximum(np.minimum(end, (window + 1) * WINDOW_S) - low, 0.0)
        tokens[window] = piece.sum()
        pieces.append((np.flatnonzero(piece), piece[piece > 0]))
    for window, (rows, piece) in enumerate(pieces):
        paid[rows] += piece * (energy[window] / max(tokens[window], 1e-12))
    return paid


def _active(result: LedgerResult) -> tuple[Floats, Floats]:
    """Begin [s] and active joules of every row of intervals."""
    rows = result.intervals
    started = pc.cast(rows["started_at"], "int64").to_numpy() / 1e6 - DAY_NS / 1e9
    return started, rows["total_j"].to_numpy() - rows["idle_j"].to_numpy()


def _output(simulated: Simulated) -> Floats:
    return np.asarray(simulated.attempts["output_tokens"].to_numpy(), np.float64)


def _seconds(simulated: Simulated, column: str) -> Floats:
    return np.asarray(pc.cast(simulated.attempts[column], "int64").to_numpy() / 1e6 - DAY_NS / 1e9)
