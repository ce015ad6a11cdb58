"""Runs a load through a continuous-batching engine: chunked prefill, first come first served, decode in every step.

Steps in which nothing but decoding happens until the next arrival or finish are computed together.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from analytics.ledger.inputs import Floats, Ints
from analytics.ledger.simulation.truth import Truth

TOGETHER: Final = 4096  # steps computed at once, at most


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to run, one entry each."""

    arrivals_s: Floats
    prompt: Ints
    cached: Ints
    output: Ints


@dataclass(slots=True)
class Log:
    """Runs of steps in order; counts are those of COUNTERS, then running steps and generated tokens."""

    ends: list[Floats] = field(default_factory=list)
    lengths: list[Floats] = field(default_factory=list)
    joules: list[Floats] = field(default_factory=list)
    counts: list[Floats] = field(default_factory=list)  # (steps, 7)

    def add(self, ends: Floats, lengths: Floats, joules: Floats, counts: Floats) -> None:
        """Steps that ended one after another."""
        for column, values in zip((self.ends, self.lengths, self.joules, self.counts), (ends, lengths, joules, counts),
                                  strict=True):  # fmt: skip
            column.append(values)

    @property
    def mean_batch(self) -> float:
        """Mean over steps of the requests in it."""
        return float(np.concatenate(self.counts)[:, 5].mean())


class Machine:
    """One engine with a load; ``run`` fills the moments and true joules of every request."""

    def __init__(self, load: Load, truth: Truth) -> None:
        size = len(load.arrivals_s)
        self.load, self.truth, self.log = load, truth, Log()
        self.true_j = np.zeros(size)
        self.begun, self.first, self.ended = (np.full(size, np.nan) for _ in range(3))
        self._prefilled = load.cached.astype(np.int64).copy()
        self._made = np.zeros(size, np.int64)

    def run(self) -> Log:
        """Until the last request has ended."""
        arrivals = self.load.arrivals_s
        now, arrived, running = 0.0, 0, np.zeros(0, np.int64)
        while arrived < len(arrivals) or len(running):
            while arrived < len(arrivals) and arrivals[arrived] <= now and len(running) < self.truth.max_running:
                running = np.append(running, arrived)
                arrived += 1
            if not len(running):
                now = arrivals[arrived]
                continue
            left = self._left(running)
            if left.any():
                now = self._step(now, running, left)
            else:
                full = len(running) >= self.truth.max_running or arrived >= len(arrivals)
                now = self._decode(now, running, np.inf if full else arrivals[arrived])
            running = running[self._made[running] < self.load.output[running]]
        return self.log

    def _left(self, running: Ints) -> Ints:
        return np.asarray(self.load.prompt[running] - self._prefilled[running])

    def _step(self, now: float, running: Ints, left: Ints) -> float:
        """One step with prefill in it, and the decode positions that ride along."""
        truth, before = self.truth, self._prefilled[running]
        chunks = np.minimum(left, np.maximum(truth.chunk - (np.cumsum(left) - left), 0))
        decoding = left == 0
        taking = decoding | (chunks > 0)
        self.begun[running[taking]] = np.fmin(self.begun[running[taking]], now)
        length = np.array([truth.step_s + truth.running_s * taking.sum() + truth.position_s * chunks.sum()])
        prompt_context = chunks * (before + (chunks - 1) / 2)
        context = np.where(decoding, self.load.prompt[running] + self._made[running] - 1, 0)
        own = truth.a_p * chunks + truth.a_px * prompt_context + truth.a_d * decoding + truth.a_c * context
        own += truth.woken(chunks + decoding * 1.0) + taking * truth.b / taking.sum()
        taken = taking * (truth.step_s / taking.sum() + truth.running_s) + truth.position_s * chunks
        joules, length, by_time = truth.capped(own.sum(keepdims=True), length)
        joules = joules * truth.warmth(np.array([now]))
        shares = (1 - by_time) * own / own.sum() + by_time * taken / taken.sum()
        self.true_j[running] += shares * joules[0]
        self._prefilled[running] += chunks
        now += float(length[0])
        makes = decoding | ((chunks > 0) & (chunks == left))
        self._made[running] += makes
        self._stamp(now, running, makes)
        counted = [1, chunks.sum(), prompt_context.sum(), decoding.sum(), context.sum(), taking.sum(), makes.sum()]
        self.log.add(np.array([now]), length, joules, np.array([counted], np.float64))
        return now

    def _decode(self, now: float, running: Ints, until: float) -> float:
        """Steps of decoding alone until someone finishes or ``until`` has come."""
        truth, size = self.truth, len(running)
        steps = int(min((self.load.output[running] - self._made[running]).min(), TOGETHER))
        context = (self.load.prompt[running] + self._made[running] - 1).astype(np.float64)
        past = np.arange(steps, dtype=np.float64)
        shared = truth.b / size + truth.woken(np.ones(1) * size).sum() / size + truth.a_d
        joules = size * shared + truth.a_c * (context.sum() + size * past)
        capped, lengths, by_time = truth.capped(joules, np.full(steps, truth.step_s + truth.running_s * size))
        ends = now + np.cumsum(lengths)
        steps = min(steps, 1 + int(np.searchsorted(ends, until, "left")))
        ends, lengths, past = ends[:steps], lengths[:steps], past[:steps]
        paid = capped[:steps] * truth.warmth(ends - lengths)
        factor, even = (1 - by_time[:steps]) * paid / joules[:steps], (by_time[:steps] * paid).sum() / size
        self.true_j[running] += even + (shared + truth.a_c * context) * factor.sum() + truth.a_c * (past * factor).sum()
        self._made[running] += steps
        self._stamp(float(ends[-1]), running, np.zeros(size, np.bool_))
        counts = np.zeros((steps, 7))
        counts[:, [0, 3, 5, 6]] = [1, size, size, size]
        counts[:, 4] = context.sum() + size * past
        self.log.add(ends, lengths, paid, counts)
        return float(ends[-1])

    def _stamp(self, now: float, running: Ints, makes: Any) -> None:
        firsts = running[makes & (self._made[running] == 1)]
        self.first[firsts] = now
        self.ended[running[self._made[running] >= self.load.output[running]]] = now
