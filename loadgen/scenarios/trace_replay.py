"""Replay of a recorded trace, Azure or Mooncake: its times (scaled), its prompt and answer lengths, its prefixes."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

from loadgen import prompts, traces
from loadgen.plan import MAX_PLAN_BYTES, Plan, PlannedRequest, chat_body
from loadgen.settings import option

_BYTES_PER_TOKEN = 5.1  # measured on prompts.WORDS with their spaces; guards memory before the text is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of ``trace_replay``."""

    trace: Path | None = option(  # noqa: RUF009  # a field(); ruff does not see through option
        None, "trace file: .csv (Azure) or .jsonl (Mooncake); required"
    )
    scale: float = option(1.0, "every time is multiplied by this: 0.1 replays ten times as fast")
    start: float = option(0.0, "begin here, seconds of the trace")
    seconds: float | None = option(None, "length of the replay after scaling (default: to the end of the trace)")
    limit: int | None = option(None, "at most this many requests")
    max_input: int | None = option(None, "cut prompts to this many tokens")
    max_output: int | None = option(None, "cut answers to this many tokens")
    block_tokens: int = option(
        traces.MOONCAKE_BLOCK_TOKENS, "tokens per prefix block; smaller shrinks all prompts and keeps what they share"
    )
    spread: bool = option(True, "spread requests with the same stamp over the time until the next one")
    ignore_eos: bool = option(True, "ask for the recorded answer length exactly (vLLM's ignore_eos)")
    streamed: float = option(1.0, "share of streamed requests, 0 to 1")
    seed: int = option(1, "one seed, one schedule, the same requests")
    model: str = option("auto", "model name to ask for; auto lets the gateway choose")
    keys: tuple[str, ...] = option((), "API keys to send with, evenly mixed; write a key twice to double its share")

    def __post_init__(self) -> None:
        positive = ("scale", "seconds", "limit", "max_input", "max_output", "block_tokens")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if not 0 <= self.streamed <= 1:
            raise ValueError(f"streamed is a share between 0 and 1, got {self.streamed}")

    def plan(self) -> Plan:
        """The schedule of the trace; see ``loadgen.plan.Scenario``."""
        rows, notes = self._rows()
        text_bytes = int(sum(row.input_tokens for row in rows) * _BYTES_PER_TOKEN)
        if text_bytes > MAX_PLAN_BYTES:
            raise ValueError(f"the prompts would take {text_bytes >> 20} MiB: set --limit, --seconds or --max-input")
        rng = random.Random(self.seed)
        return Plan(tuple(self._request(number, row, rng) for number, row in enumerate(rows)), notes)

    def _rows(self) -> tuple[traces.Rows, tuple[str, ...]]:
        if self.trace is None:
            raise ValueError("trace_replay needs a trace: pass --trace PATH")
        rows = traces.read(self.trace)
        notes: list[str] = []
        if self.spread:
            before, rows = rows, traces.spread(rows, self.seed)
            moved = sum(old.at_s != new.at_s for old, new in zip(before, rows, strict=True))
            notes += [f"{moved} requests of the trace share a stamp and were spread until the next"] if moved else []
        length_s = None if self.seconds is None else self.seconds / self.scale
        rows = traces.scaled(traces.window(rows, self.start, length_s, self.limit), self.scale)
        if not rows:
            raise ValueError(f"{self.trace} has no requests after second {self.start}")
        rows, cut = traces.capped(self._shrunk(rows), self.max_input, self.max_output)
        notes += [str(cut)] if cut.requests else []
        return rows, tuple(notes)

    def _shrunk(self, rows: traces.Rows) -> traces.Rows:
        if self.block_tokens == traces.MOONCAKE_BLOCK_TOKENS:
            return rows
        return traces.shrunk(rows, self.block_tokens / traces.MOONCAKE_BLOCK_TOKENS)

    def _request(self, number: int, row: traces.TraceRow, rng: random.Random) -> PlannedRequest:
        stream = rng.random() < self.streamed
        content = self._content(number, row)
        extra = {"ignore_eos": True} if self.ignore_eos else {}
        return PlannedRequest(
            at_s=row.at_s,
            body=chat_body(
                self.model,
                [{"role": "user", "content": content}],
                stream=stream,
                max_tokens=row.output_tokens,
                **extra,
            ),
            model=self.model,
            stream=stream,
            max_tokens=row.output_tokens,
            key=rng.choice(self.keys) if self.keys else None,
        )

    def _content(self, number: int, row: traces.TraceRow) -> str:
        if row.block_ids:
            return prompts.from_blocks(row.block_ids, self.block_tokens, row.input_tokens, self.seed)
        return prompts.filler(row.input_tokens, self.seed, number)


if "locust" in sys.modules:  # `locust -f` runs this file; whoever only wants the plan must not get gevent with it
    from loadgen.locustfile import locustfile

    TraceReplay = locustfile("trace_replay", Scenario)
