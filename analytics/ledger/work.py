"""What each attempt had its engine compute, and when: totals exact, their spread over the phases uniform.

Positions, steps and contexts follow from tokens alone. Uniform progress within prefill and within decode is the
estimate; contexts grow linearly with the positions. Prefix-cached tokens are computed by nobody. A draft position
that was rejected was computed all the same, and one that left the model early counts the share of its layers.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats

SHORTEST_PHASE_S: Final = 5e-5
SMALLEST_CHUNK: Final = (
    64  # prompt positions; no chunked prefill takes smaller bites, so a prompt has at most P/64 steps
)


@dataclass(frozen=True, slots=True)
class Work:
    """One entry per attempt that ran; times in seconds from the origin."""

    rows: Any  # row numbers in the attempts frame
    prefill_from: Floats
    prefill_until: Floats
    decode_from: Floats
    decode_until: Floats
    prefilled: Floats  # prompt positions computed
    cached: Floats
    prompt: Floats  # prompt positions, cached ones included
    decoded: Floats  # positions computed in decode, rejected drafts included, skipped layers not
    decode_steps: Floats
    output: Floats  # output tokens

    def __len__(self) -> int:
        return len(self.rows)


def work_of(attempts: pa.Table, engine: str, origin_ns: int) -> Work:
    """The work of the attempts on ``engine`` that ran.

    An attempt without phases ran from its start if it has output or answered; otherwise it never reached the engine.
    """
    number = {name: _floats(attempts, name) for name in _COUNTS}
    time = {name: _seconds(attempts, name, origin_ns) for name in _TIMES}
    ran = _equal(attempts, "engine", engine) & _ran(attempts, time["prefill_started_at"], number["output_tokens"])
    rows = np.flatnonzero(ran)
    number = {name: np.nan_to_num(values[rows]) for name, values in number.items()}
    time = {name: values[rows] for name, values in time.items()}
    return _build(rows, number, time)


_COUNTS: Final = (
    "input_tokens", "cached_input_tokens", "output_tokens", "draft_proposed", "draft_accepted", "exit_skipped",
)  # fmt: skip
_TIMES: Final = ("started_at", "prefill_started_at", "first_token_at", "ended_at")


def _build(rows: Any, number: dict[str, Floats], time: dict[str, Floats]) -> Work:
    begun = np.where(np.isnan(time["prefill_started_at"]), time["started_at"], time["prefill_started_at"])
    ended = np.maximum(time["ended_at"], begun + SHORTEST_PHASE_S)
    first = np.clip(time["first_token_at"], begun, ended)
    unknown = np.isnan(first)  # prefill and decode are then both spread over the whole run
    prompt, output = number["input_tokens"], number["output_tokens"]
    prefilled = np.maximum(prompt - number["cached_input_tokens"], 0.0)
    later = np.maximum(output - 1, 0.0)
    accepted = np.minimum(number["draft_accepted"], later)
    prefill_until = np.maximum(np.where(unknown, ended, first), begun + SHORTEST_PHASE_S)
    decode_from = np.where(unknown, begun, first)
    return Work(
        rows=rows,
        prefill_from=begun,
        prefill_until=prefill_until,
        decode_from=decode_from,
        decode_until=np.maximum(ended, decode_from + SHORTEST_PHASE_S),
        prefilled=prefilled,
        cached=prompt - prefilled,
        prompt=prompt,
        decoded=np.maximum(later - accepted + number["draft_proposed"] - number["exit_skipped"], 0.0),
        decode_steps=later - accepted,
        output=output,
    )


def _ran(attempts: pa.Table, prefill_started: Floats, output: Floats) -> Flags:
    answered = _equal(attempts, "outcome", "answered")
    return ~np.isnan(prefill_started) | answered | (np.nan_to_num(output) > 0)


def _equal(attempts: pa.Table, column: str, value: str) -> Flags:
    return np.asarray(pc.fill_null(pc.equal(attempts[column], value), False).to_numpy(zero_copy_only=False))


def _floats(attempts: pa.Table, column: str) -> Floats:
    return np.asarray(pc.cast(attempts[column], pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _seconds(attempts: pa.Table, column: str, origin_ns: int) -> Floats:
    """Seconds from the origin; NaN for NULL. Differences are taken in integers: 2027 in float64 is good to 0.2 µs."""
    since = pc.subtract(pc.cast(attempts[column].cast(pa.timestamp("us")), pa.int64()), origin_ns // 1000)
    return np.asarray(pc.cast(since, pa.float64()).to_numpy(zero_copy_only=False), np.float64) / 1e6
