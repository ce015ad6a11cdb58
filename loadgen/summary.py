"""The figures of one run, computed from the exchanges themselves (Locust's own statistics round and bin).

Latency quantiles are over successful requests; failures are counted by kind beside them, never mixed in.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conventions.settings import build
from conventions.units import seconds_from_nanoseconds
from loadgen.exchange import Exchange

LATE_S = 0.025
"""Above this p99 of the dispatch lag the client was too slow for the schedule, and the result says so."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Exact quantiles (linear interpolation) of ``count`` values; None where there are none. Seconds."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run showed. Times in seconds; ``*_scheduled_s`` count from the schedule, the others from sending."""

    run_id: str
    scenario: str
    arm: str | None
    target: str
    started_unix_ns: int
    elapsed_s: float  # first request due to last answer ended
    planned: int
    sent: int
    ok: int
    not_sent: int
    streamed: int
    errors: dict[str, int]
    ttft_s: Quantiles
    ttft_scheduled_s: Quantiles
    e2e_s: Quantiles
    e2e_scheduled_s: Quantiles
    tpot_s: Quantiles
    lag_s: Quantiles
    input_tokens: int
    output_tokens: int  # of successful requests
    output_tokens_per_s: float | None  # over elapsed_s, so the drain after the last arrival is in it
    scored: int
    correct: int
    spans_lost: int
    notes: tuple[str, ...]

    @property
    def exact_match(self) -> float | None:
        """Share of right answers among successful requests whose answer is known."""
        return self.correct / self.scored if self.scored else None

    def to_json(self) -> str:
        """All fields and ``exact_match``; ``from_json`` reads it back."""
        return json.dumps({**dataclasses.asdict(self), "exact_match": self.exact_match}, indent=2)

    @staticmethod
    def from_json(text: str) -> "RunResult":
        """The result that ``to_json`` wrote. Raises ``SettingsError`` for anything else."""
        values: dict[str, Any] = json.loads(text)
        values.pop("exact_match", None)
        return build(RunResult, values, where="run result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Which run the figures belong to."""

    run_id: str
    scenario: str
    arm: str | None
    target: str
    started_unix_ns: int


def summarise(
    heading: Heading, exchanges: Sequence[Exchange], planned: int, spans_lost: int, notes: Iterable[str]
) -> RunResult:
    """The figures of ``exchanges``, every request that was sent; ``planned`` of them were wanted."""
    good = [exchange for exchange in exchanges if exchange.ok]
    scores = [exchange.score for exchange in good if exchange.score is not None]
    output_tokens, elapsed_s = sum(exchange.output_tokens or 0 for exchange in good), _elapsed_s(exchanges)
    lags = quantiles(exchange.lag_s for exchange in exchanges)
    return RunResult(
        **dataclasses.asdict(heading),
        elapsed_s=elapsed_s,
        planned=planned,
        sent=len(exchanges),
        ok=len(good),
        not_sent=planned - len(exchanges),
        streamed=sum(exchange.request.stream for exchange in good),
        errors=dict(Counter(exchange.error for exchange in exchanges if exchange.error is not None)),
        **_latencies(good),
        lag_s=lags,
        input_tokens=sum(exchange.input_tokens or 0 for exchange in good),
        output_tokens=output_tokens,
        output_tokens_per_s=output_tokens / elapsed_s if elapsed_s else None,
        scored=len(scores),
        correct=int(sum(scores)),
        spans_lost=spans_lost,
        notes=(*notes, *_warnings(lags, spans_lost)),
    )


def quantiles(values: Iterable[float | None]) -> Quantiles:
    """Quantiles of the values that are there."""
    known = [value for value in values if value is not None]
    if not known:
        return Quantiles(0, None, None, None)
    p50, p95, p99 = np.quantile(known, (0.5, 0.95, 0.99)).tolist()
    return Quantiles(len(known), p50, p95, p99)


def _latencies(good: Sequence[Exchange]) -> Mapping[str, Any]:
    return {
        "ttft_s": quantiles(one.ttft_s for one in good),
        "ttft_scheduled_s": quantiles(None if one.ttft_s is None else one.lag_s + one.ttft_s for one in good),
        "e2e_s": quantiles(one.e2e_s for one in good),
        "e2e_scheduled_s": quantiles(one.lag_s + one.e2e_s for one in good),
        "tpot_s": quantiles(one.tpot_s for one in good),
    }


def _elapsed_s(exchanges: Sequence[Exchange]) -> float:
    if not exchanges:
        return 0.0
    began_ns = min(exchange.scheduled_ns for exchange in exchanges)
    return seconds_from_nanoseconds(max(exchange.end_ns for exchange in exchanges) - began_ns)


def _warnings(lags: Quantiles, spans_lost: int) -> Iterable[str]:
    if lags.p99 is not None and lags.p99 > LATE_S:
        yield f"the client was late: p99 of the dispatch lag is {lags.p99 * 1e3:.0f} ms; trust the scheduled figures"
    if spans_lost:
        yield f"{spans_lost} spans were not acknowledged by the collector: the store counts fewer requests"
