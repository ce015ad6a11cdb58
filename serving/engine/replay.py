"""A batching policy against recorded arrivals: the real loop, a device that only takes time, a clock that it moves.

Simulated, so a whole hour is over in seconds and every policy sees the same load. The seconds of a step come from
``StepCost``, which ``bench.batching`` measures on this machine; what the model would say is not known, only how long.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from serving.engine.batch import Span
from serving.engine.draft import Ask
from serving.engine.kv import Move, Slots
from serving.engine.loop import Engine
from serving.engine.plan import Policy
from serving.engine.request import Request, Sampling
from serving.engine.sampling import Draw, Said, Sampled
from serving.engine.semantic import Run
from serving.engine.sequence import Delta
from serving.engine.sequence import Sequence as Running
from serving.engine.text import TextStream

END_ID, WORD_ID = 0, 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One recorded request."""

    at_s: float
    num_prompt: int
    num_output: int
    priority: int = 0


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of a step: ``base_s`` and, per position, what prefill, decode and the positions before them cost."""

    base_s: float
    prefill_s: float
    prefill_context_s: float
    decode_s: float
    decode_context_s: float

    def seconds(self, spans: Sequence[Span]) -> float:
        """The whole step."""
        return self.base_s + sum(map(self._of, spans))

    def _of(self, span: Span) -> float:
        count = len(span.tokens)
        context = count * (2 * span.start + count - 1) / 2
        if span.decodes:
            return count * self.decode_s + context * self.decode_context_s
        return count * self.prefill_s + context * self.prefill_context_s


@dataclass(frozen=True, slots=True)
class Limits:
    """The engine that is replayed. ``max_tokens``: what every caller asks for, as the answer's length is not known."""

    max_num_seqs: int = 32
    max_kv_tokens: int = 65_536
    max_batched_tokens: int = 512
    max_tokens: int = 1024
    itl_target_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a replay; arrays have one value per answered request, TPOT of those with two tokens or more."""

    ttft_s: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    tpot_s: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    num_answered: int
    tokens_per_s: float
    """Prompt and output tokens per second from the first arrival to the last answer."""
    busy_share: float
    """Share of that time in which a step ran."""
    preemptions: int


@dataclass(frozen=True, slots=True)
class _Scripted(Draw):
    """Answers of a known length."""

    tokens: Iterator[int]


class _Device:
    """Takes the time of each step and says what the script says."""

    def __init__(self, cost: StepCost) -> None:
        self.now_s = 0.0
        self.busy_s = 0.0
        self._cost = cost

    def run(self, spans: Sequence[Span], draws: Sequence[Draw]) -> list[Said]:
        """One token each."""
        seconds = self._cost.seconds(spans)
        self.now_s += seconds
        self.busy_s += seconds
        scripted = (draw.tokens for draw in draws if isinstance(draw, _Scripted))
        return [Said([Sampled(next(tokens))]) for tokens in scripted]

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Nothing."""
        return [[] for _ in asks]

    def move(self, move: Move, num_positions: int) -> None:
        """Nothing to move."""

    def save(self, slot: int, start: int, places: list[int]) -> None:
        """Nothing to save."""

    def borrow(self, slot: int, runs: Sequence[Run]) -> None:
        """Nothing to borrow."""

    def restore(self, slot: int, places: list[int]) -> None:
        """Nothing to restore."""


def replay(policy: Policy, arrivals: Sequence[Arrival], cost: StepCost, limits: Limits) -> Outcome:
    """Serve the arrivals, which must be in order of time, and measure from their arrival on."""
    device, delivered = _Device(cost), list[tuple[Running, Delta]]()
    engine = Engine(
        policy,
        device,
        Slots(limits.max_num_seqs, limits.max_kv_tokens),
        max_batched_tokens=limits.max_batched_tokens,
        end_ids=frozenset([END_ID]),
        deliver=delivered.extend,
        itl_target_s=limits.itl_target_s,
        clock=lambda: device.now_s,
    )
    sequences = [_sequence(number, arrival, limits) for number, arrival in enumerate(arrivals)]
    _serve(engine, device, sequences)
    return _outcome(sequences, device, engine.counters.preemptions)


def _serve(engine: Engine, device: _Device, sequences: list[Running]) -> None:
    coming = iter(sequences)
    following = next(coming, None)
    while True:
        while following is not None and following.arrived_s <= device.now_s:
            engine.submit(following)
            following = next(coming, None)
        engine.take_messages()
        plan = engine.step()
        if plan.has_work:
            continue
        wakes_s = [] if plan.wake_after_s is None else [device.now_s + plan.wake_after_s]
        arrives_s = [] if following is None else [following.arrived_s]
        if not wakes_s and not arrives_s:
            return
        device.now_s = min(wakes_s + arrives_s)


def _sequence(number: int, arrival: Arrival, limits: Limits) -> Running:
    most = max(limits.max_tokens, arrival.num_output)
    request = Request(
        f"r{number}", (WORD_ID,) * arrival.num_prompt, most, Sampling(temperature=0.0), priority=arrival.priority
    )
    sequence = Running(request, TextStream(_no_text, ()), arrival.at_s)
    tokens = itertools.chain(itertools.repeat(WORD_ID, arrival.num_output - 1), itertools.repeat(END_ID))
    sequence.draw = _Scripted(request.sampling, Random(0), tokens)
    return sequence


def _no_text(_ids: Sequence[int]) -> str:
    return ""


def _outcome(sequences: list[Running], device: _Device, preemptions: int) -> Outcome:
    answered = [one for one in sequences if one.outcome == "answered"]
    firsts = [(one, one.first_token_s, one.last_token_s) for one in answered]
    ttft = [first - one.arrived_s for one, first, _ in firsts if first is not None]
    tpot = [
        (last - first) / (len(one.output) - 1)
        for one, first, last in firsts
        if first is not None and last is not None and len(one.output) > 1
    ]
    began_s = sequences[0].arrived_s if sequences else 0.0
    elapsed_s = max(device.now_s - began_s, 1e-9)
    tokens = sum(one.request.num_prompt_tokens + len(one.output) for one in answered)
    return Outcome(
        np.array(ttft), np.array(tpot), len(answered), tokens / elapsed_s, device.busy_s / elapsed_s, preemptions
    )


def at_load(arrivals: Sequence[Arrival], speed: float) -> list[Arrival]:
    """The same requests, ``speed`` times as fast."""
    return [dataclasses.replace(one, at_s=one.at_s / speed) for one in arrivals]
