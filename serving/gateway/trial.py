"""An attempt whose answer is looked at before it is shown: asked whole and with odds, given on as the client asked."""

from typing import Any

import msgspec

from conventions import confidence
from conventions.confidence import TokenOdds
from serving.backends import failures
from serving.backends.transport import Reply
from serving.gateway import replay
from serving.gateway.ask import Ask

NUM_TOP = 2  # a token and its runner-up
_STREAMING = ("stream", "stream_options")


class _Top(msgspec.Struct):
    logprob: float


class _Entry(msgspec.Struct):
    logprob: float
    top_logprobs: list[_Top] = []


class _Logprobs(msgspec.Struct):
    """Of both endpoints: chat has ``content``, completions have parallel lists."""

    content: list[_Entry] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_DECODER = msgspec.json.Decoder(_Answer)


def body(ask: Ask, model: str) -> bytes:
    """The body for a backend on trial: not streamed, with the log-probability of each token and its runner-up."""
    fields = {name: value for name, value in ask.fields.items() if name not in _STREAMING}
    if ask.operation == "chat":
        fields |= {"logprobs": _raw(True), "top_logprobs": _raw(max(NUM_TOP, _wanted(ask) or 0))}
    else:
        fields["logprobs"] = _raw(max(NUM_TOP, _wanted(ask) or 0))
    return msgspec.json.encode({**fields, "model": _raw(model)})


async def read(reply: Reply, name: str) -> bytes:
    """The whole answer. Raises ``AttemptFailed``, also for a stream that nobody asked for."""
    if reply.is_stream:
        raise failures.out_of_protocol(name, "a stream where a whole answer was asked for")
    return await reply.read()


def odds_of(data: bytes, operation: str) -> tuple[TokenOdds, ...] | None:
    """Of every token of the one answer in ``data``; None when it does not say them, or is not one answer."""
    try:
        choices = _DECODER.decode(data).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = choices[0].logprobs if len(choices) == 1 else None
    if found is None or not replay.is_replayable(data, operation):
        return None
    if found.content is not None:
        pairs = [(entry.logprob, [one.logprob for one in entry.top_logprobs]) for entry in found.content]
    else:
        tops = [sorted((top or {}).values(), reverse=True) for top in found.top_logprobs or ()]
        pairs = [
            (logprob, top)
            for logprob, top in zip(found.token_logprobs or (), tops, strict=False)
            if logprob is not None
        ]
    return tuple(confidence.odds(logprob, top) for logprob, top in pairs) or None


def as_asked(data: bytes, ask: Ask | None) -> bytes:
    """The answer with only the log-probabilities that the client asked for."""
    assert ask is not None
    wanted = _wanted(ask)
    if wanted is not None and wanted >= NUM_TOP:
        return data
    answer: dict[str, Any] = msgspec.json.decode(data)
    for choice in answer["choices"]:
        choice["logprobs"] = None if wanted is None else _trimmed(choice["logprobs"], wanted)
    return msgspec.json.encode(answer)


def _wanted(ask: Ask) -> int | None:
    """How many likeliest tokens the client asked for; None: no log-probabilities at all."""
    given = {name: msgspec.json.decode(ask.fields.get(name, b"null")) for name in ("logprobs", "top_logprobs")}
    if ask.operation == "chat":
        return int(given["top_logprobs"] or 0) if given["logprobs"] is True else None
    return given["logprobs"] if isinstance(given["logprobs"], int) else None


def _trimmed(logprobs: dict[str, Any], wanted: int) -> dict[str, Any]:
    """The first ``wanted`` of each token's likeliest."""
    for entry in logprobs.get("content") or ():
        entry["top_logprobs"] = entry["top_logprobs"][:wanted]
    if isinstance(logprobs.get("top_logprobs"), list):
        logprobs["top_logprobs"] = [dict(list(top.items())[:wanted]) for top in logprobs["top_logprobs"]]
    return logprobs


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
