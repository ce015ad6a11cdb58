"""Loads for a wanted mean batch: a chat's lengths and Poisson arrivals, or lengths and bursts of a recorded trace."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from analytics.ledger.inputs import Floats, Ints
from analytics.ledger.simulation import Load, Truth
from loadgen import traces

LONGEST_PROMPT: Final = 16_000
LONGEST_ANSWER: Final = 2_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """Requests in the order of a source; gaps between arrivals have mean 1."""

    source: str
    gaps: Floats
    prompt: Ints
    output: Ints


def chat(size: int, seed: int) -> Lengths:
    """As long as a chat's: medians of 665 and 148 tokens, long tails; Poisson arrivals."""
    random = np.random.default_rng(seed)
    prompt = np.clip(random.lognormal(6.5, 1.0, size), 16, 8000).astype(np.int64)
    output = np.clip(random.lognormal(5.0, 0.8, size), 2, 1000).astype(np.int64)
    return Lengths("lognormal, Poisson", random.exponential(1.0, size), prompt, output)


def recorded(path: Path, size: int, seed: int) -> Lengths:
    """Lengths and bursts of a trace (Azure CSV or Mooncake JSONL), from its start, repeated if it is too short."""
    rows = traces.spread(traces.read(path), seed)
    moments = np.array([row.at_s for row in rows])
    gaps = np.append(np.diff(moments), np.diff(moments).mean())
    of = np.arange(size) % len(rows)
    prompt = np.clip([row.input_tokens for row in rows], 1, LONGEST_PROMPT).astype(np.int64)
    output = np.clip([row.output_tokens for row in rows], 2, LONGEST_ANSWER).astype(np.int64)
    return Lengths(f"{path.name}, bursty", gaps[of] / gaps.mean(), prompt[of], output[of])


def load_for(batch: float, seconds: float, lengths: Lengths, truth: Truth) -> Load:
    """``lengths`` at the rate whose mean batch is ``batch``, by Little's law, for ``seconds``."""
    prompt, output = float(lengths.prompt.mean()), float(lengths.output.mean())
    prefill_s = batch * prompt * truth.position_s
    rate = batch / (output * (truth.step_s + truth.running_s * batch) + prefill_s)
    arrivals = np.cumsum(lengths.gaps) / rate
    kept = arrivals < seconds
    cached = np.zeros(int(kept.sum()), np.int64)
    return Load(arrivals[kept], lengths.prompt[kept], cached, lengths.output[kept])
