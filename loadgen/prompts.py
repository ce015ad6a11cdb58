"""What is asked: questions with a known answer from a file, and filler text of a wanted length.

Filler does not know the tokenizer of the model: it uses short frequent English words, which are one token each in
the vocabularies we know (our desk models, GPT and Llama families). The server's own count is in every result.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from conventions.errors import TraceFormatError

LIBRARY_DESK: Final = Path(__file__).parent / "data" / "library_desk.jsonl"
WORDS: Final = (
    "the", "is", "of", "on", "to", "and", "are", "from", "for", "has", "first", "last",
    "open", "day", "late", "high", "low", "many", "left", "date", "room", "books", "number", "library",
)  # fmt: skip
_DEFAULT_MAX_TOKENS: Final = 24


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question: chat messages, the exact text that answers it (None = not known), and a limit for the answer."""

    messages: tuple[tuple[str, str], ...]
    answer: str | None
    max_tokens: int
    difficulty: str = ""
    family: str = ""

    @property
    def chat(self) -> list[dict[str, str]]:
        """The messages as the API wants them."""
        return [{"role": role, "content": content} for role, content in self.messages]


def read(path: Path) -> tuple[Prompt, ...]:
    """Prompts of a JSONL file: ``messages``, and optionally ``answer, max_tokens, difficulty, family``.

    Raises ``TraceFormatError`` naming file, line and reason.
    """
    prompts = tuple(_prompt(row, f"{path}:{number}") for number, row in _rows(path))
    if not prompts:
        raise TraceFormatError(f"{path}: no prompts in the file")
    return prompts


def filler(num_tokens: int, *seed: int) -> str:
    """About ``num_tokens`` tokens of text, the same for the same ``seed``."""
    if num_tokens <= 0:
        return ""
    chosen = np.random.default_rng(seed).integers(0, len(WORDS), num_tokens).tolist()
    return " ".join([WORDS[index] for index in chosen])


def from_blocks(block_ids: tuple[int, ...], block_tokens: int, num_tokens: int, seed: int) -> str:
    """About ``num_tokens`` tokens, the n-th ``block_tokens`` of them drawn from the n-th id.

    Two prompts share exactly the text of their leading equal ids, which is what a prefix cache can reuse.
    """
    words: list[str] = []
    for block_id in block_ids:
        if len(words) >= num_tokens:
            break
        words.extend(_block(block_id, block_tokens, seed))
    return " ".join(words[:num_tokens])


@lru_cache(maxsize=8_192)
def _block(block_id: int, block_tokens: int, seed: int) -> tuple[str, ...]:
    return tuple(filler(block_tokens, seed, block_id).split(" "))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFormatError(f"{path}: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise TraceFormatError(f"{path}:{number}: not JSON: {error.msg}") from None


def _prompt(row: Any, where: str) -> Prompt:
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list) or not row["messages"]:
        raise TraceFormatError(f"{where}: expected an object with a list 'messages'")
    answer, max_tokens = row.get("answer"), row.get("max_tokens", _DEFAULT_MAX_TOKENS)
    if not (answer is None or isinstance(answer, str)):
        raise TraceFormatError(f"{where}: 'answer' is {answer!r}, expected text")
    if type(max_tokens) is not int or max_tokens < 1:
        raise TraceFormatError(f"{where}: 'max_tokens' is {max_tokens!r}, expected a whole number above 0")
    return Prompt(
        messages=tuple(_message(message, where) for message in row["messages"]),
        answer=answer,
        max_tokens=max_tokens,
        difficulty=str(row.get("difficulty", "")),
        family=str(row.get("family", "")),
    )


def _message(message: Any, where: str) -> tuple[str, str]:
    try:
        role, content = message["role"], message["content"]
    except (TypeError, KeyError):
        raise TraceFormatError(f"{where}: a message needs 'role' and 'content', got {message!r}") from None
    if not (isinstance(role, str) and isinstance(content, str)):
        raise TraceFormatError(f"{where}: 'role' and 'content' must be text, got {message!r}")
    return role, content
