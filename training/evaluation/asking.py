"""Asks an OpenAI-compatible server every question once and keeps what came back, with the client's own times.

Closed loop: ``concurrency`` requests are open at a time. Every request has a trace id of its own, by which the ledger's
joules find it; the server must send its spans to a collector for that. Times are wall clock as a client sees them.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from conventions import confidence
from conventions.confidence import TokenOdds
from conventions.errors import UpstreamError
from training.evaluation.questions import Question

TIMEOUT_S: Final = 300.0
_WARM_UP: Final = Question(({"role": "user", "content": "Are you there?"},), "", "", 4)
_NUM_WARM_UPS: Final = 6
Told = Callable[[], None]


@dataclass(slots=True)
class Answer:
    """What became of one question. Seconds count from the moment of sending."""

    question: Question
    trace_id: str
    text: str = ""
    error: str | None = None
    content_s: list[float] = field(default_factory=list)
    """When each chunk with content came; a chunk may carry several tokens."""
    e2e_s: float = 0.0
    tokens: list[TokenOdds] = field(default_factory=list)
    """With ``logprobs`` only."""

    @property
    def is_right(self) -> bool:
        """Whether the whole answer came and is the expected one."""
        return self.error is None and self.question.is_answered_by(self.text)

    @property
    def ttft_s(self) -> float | None:
        """Until the first chunk with content."""
        return self.content_s[0] if self.content_s else None

    @property
    def itl_s(self) -> list[float]:
        """Gaps between chunks with content."""
        return [after - before for before, after in itertools.pairwise(self.content_s)]


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask: an address and the model's name there."""

    url: str
    model: str
    logprobs: bool = False
    """Ask for the log-probabilities of each token and its runner-up as well."""


def ask(server: Server, questions: Sequence[Question], concurrency: int, told: Told) -> list[Answer]:
    """All answers in the order of the questions; ``told`` is called after each.

    Raises ``UpstreamError`` when not one of them was answered.
    """
    answers = asyncio.run(_ask_all(server, questions, concurrency, told))
    if all(answer.error for answer in answers):
        raise UpstreamError(
            f"{server.url} answered none of {len(answers)} questions; the last said: {answers[-1].error}"
        )
    return answers


async def _ask_all(server: Server, questions: Sequence[Question], concurrency: int, told: Told) -> list[Answer]:
    limits = aiohttp.ClientTimeout(total=TIMEOUT_S)
    answers = [Answer(question, secrets.token_hex(16)) for question in questions]
    async with aiohttp.ClientSession(timeout=limits) as session:
        for _ in range(_NUM_WARM_UPS):  # the first requests of a process pay for torch's start
            await _ask(session, server, Answer(_WARM_UP, secrets.token_hex(16)))
        waiting = iter(answers)

        async def work() -> None:
            for answer in waiting:
                await _ask(session, server, answer)
                told()

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return answers


async def _ask(session: aiohttp.ClientSession, server: Server, answer: Answer) -> None:
    headers = {"traceparent": f"00-{answer.trace_id}-{secrets.token_hex(8)}-01"}
    began_s = time.perf_counter()
    try:
        url = f"{server.url}/v1/chat/completions"
        async with session.post(url, json=_body(server, answer.question), headers=headers) as response:
            if response.status != 200:
                answer.error = f"HTTP {response.status}: {(await response.text())[:200]}"
            else:
                await _read(response, answer, began_s)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        answer.error = f"{type(error).__name__}: {error}"
    answer.e2e_s = time.perf_counter() - began_s


def _body(server: Server, question: Question) -> dict[str, Any]:
    wanted = {"logprobs": True, "top_logprobs": 2} if server.logprobs else {}
    return {
        "model": server.model,
        "messages": list(question.messages),
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "stream": True,
        **wanted,
    }


async def _read(response: aiohttp.ClientResponse, answer: Answer, began_s: float) -> None:
    pieces, ended = [], False
    async for data in _events(response):
        choice = (data.get("choices") or [{}])[0]
        if data.get("error"):
            answer.error = f"in the stream: {data['error']}"
        if text := (choice.get("delta") or {}).get("content"):
            pieces.append(text)
            answer.content_s.append(time.perf_counter() - began_s)
        answer.tokens += _tokens(choice.get("logprobs"))
        ended = ended or choice.get("finish_reason") is not None
    answer.text = "".join(pieces)
    if not ended and answer.error is None:
        answer.error = "the stream ended without a finish reason"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in response.content:
        if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
            yield json.loads(line[6:])


def _tokens(logprobs: dict[str, Any] | None) -> list[TokenOdds]:
    return [
        confidence.odds(entry["logprob"], [one["logprob"] for one in entry.get("top_logprobs") or ()])
        for entry in (logprobs or {}).get("content") or ()
    ]
