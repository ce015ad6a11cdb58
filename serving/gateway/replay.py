"""Answers are kept as one body: a stream is put together for keeping, and taken apart for a client that streams."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from serving.gateway import sse

_WORD = re.compile(r"\s*\S+|\s+$")


class _Whole(msgspec.Struct):
    """What must be there for a body to be streamed."""

    choices: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=1)]


_WHOLE = msgspec.json.Decoder(_Whole)


def is_replayable(body: bytes, operation: str) -> bool:
    """Whether ``body`` has the one choice, with its message or text, that a stream can be made of."""
    try:
        choice = _WHOLE.decode(body).choices[0]
    except msgspec.DecodeError:
        return False
    return isinstance(choice.get("message"), dict) if operation == "chat" else isinstance(choice.get("text"), str)


def as_events(body: bytes, operation: str) -> list[bytes]:
    """The events of a stream that says what ``body`` says, word by word, its usage chunk included."""
    chunks = _chunks(msgspec.json.decode(body), operation)
    return [*(sse.event(msgspec.json.encode(chunk)) for chunk in chunks), sse.event(sse.DONE)]


def as_body(events: Iterable[bytes], operation: str) -> bytes:
    """One JSON body that says what the ``events`` of a stream with one choice said.

    Raises ``ValueError`` (``msgspec.DecodeError`` among them), ``TypeError``, ``AttributeError`` or ``LookupError`` for
    chunks of another shape.
    """
    payloads = [sse.payload(event) for event in events]
    chunks = [msgspec.json.decode(data) for data in payloads if data and data != sse.DONE]
    return msgspec.json.encode(_merged(chunks, operation))


def _chunks(body: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    """A chunk for the role, one for every word, one for the finish reason and one for usage."""
    head = {name: value for name, value in body.items() if name not in ("choices", "usage", "object")}
    head["object"] = "chat.completion.chunk" if operation == "chat" else "text_completion"
    choice = body["choices"][0]
    pieces = _chat_pieces(choice) if operation == "chat" else _text_pieces(choice)
    chunks = [{**head, "choices": [{"index": 0, **piece, "finish_reason": None}]} for piece in pieces]
    chunks[-1]["choices"][0]["finish_reason"] = choice.get("finish_reason")
    return [*chunks, {**head, "choices": [], "usage": body.get("usage")}]


def _chat_pieces(choice: dict[str, Any]) -> list[dict[str, Any]]:
    message = dict(choice["message"])
    content, logprobs = message.pop("content", None), choice.get("logprobs")
    for index, tool_call in enumerate(message.get("tool_calls") or ()):
        tool_call.setdefault("index", index)
    opening: dict[str, Any] = {"delta": {**message, "content": ""}}
    words = [content or ""] if logprobs else _words(content or "")
    pieces: list[dict[str, Any]] = [{"delta": {"content": word}} for word in words]
    if logprobs and pieces:
        pieces[0]["logprobs"] = logprobs  # they belong to tokens, and where a word's tokens end is not known
    return [opening, *pieces, {"delta": {}}]


def _text_pieces(choice: dict[str, Any]) -> list[dict[str, Any]]:
    text, logprobs = choice.get("text") or "", choice.get("logprobs")
    if logprobs:
        return [{"text": text, "logprobs": logprobs}]
    return [{"text": word} for word in _words(text)] or [{"text": ""}]


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _merged(chunks: list[dict[str, Any]], operation: str) -> dict[str, Any]:
    """The answer that the chunks of one choice add up to."""
    head = {name: value for name, value in chunks[0].items() if name not in ("choices", "usage", "object")}
    parts = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    choice: dict[str, Any] = {"index": 0}
    if operation == "chat":
        choice["message"] = _message([part.get("delta") or {} for part in parts])
    else:
        choice["text"] = "".join(part.get("text") or "" for part in parts)
    choice["logprobs"] = _logprobs([part["logprobs"] for part in parts if part.get("logprobs")])
    choice["finish_reason"] = next((part["finish_reason"] for part in parts if part.get("finish_reason")), None)
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    kind = "chat.completion" if operation == "chat" else "text_completion"
    return {**head, "object": kind, "choices": [choice], "usage": usage}


def _message(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """Strings are joined, tool calls are joined by their index, anything else is taken once."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    tool_calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        for name, value in delta.items():
            if name == "tool_calls":
                for part in value or ():
                    _join_tool_call(tool_calls.setdefault(part.get("index", 0), {}), part)
            elif name != "role" and isinstance(value, str):
                message[name] = message.get(name, "") + value
            elif value is not None:
                message[name] = value
    if tool_calls:
        message["tool_calls"] = [tool_calls[index] for index in sorted(tool_calls)]
        message["content"] = message["content"] or None
    return message


def _join_tool_call(whole: dict[str, Any], part: dict[str, Any]) -> None:
    function = whole.setdefault("function", {"name": "", "arguments": ""})
    for name, value in part.items():
        if name == "function":
            function["name"] += value.get("name") or ""
            function["arguments"] += value.get("arguments") or ""
        elif name != "index" and value is not None:
            whole[name] = value


def _logprobs(parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Lists of all parts, one after the other."""
    if not parts:
        return None
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            merged[name] = merged.get(name, []) + value if isinstance(value, list) else value
    return merged
