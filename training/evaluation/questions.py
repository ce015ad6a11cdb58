"""Questions with one right answer, from JSON lines: what every variant is asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conventions.errors import TraceFormatError

_KEYS: Final = ("messages", "answer", "difficulty", "max_tokens")


@dataclass(frozen=True, slots=True)
class Question:
    """Chat messages, the exact text that answers them, and the limit of output tokens."""

    messages: tuple[dict[str, str], ...]
    answer: str
    difficulty: str
    max_tokens: int

    def is_answered_by(self, reply: str) -> bool:
        """Exact match, outer white space aside."""
        return reply.strip() == self.answer


def question(row: dict[str, Any]) -> Question:
    """One row of a held-out file. Raises ``KeyError`` naming a missing key."""
    messages, answer, difficulty, max_tokens = (row[key] for key in _KEYS)
    return Question(tuple(messages), str(answer), str(difficulty), int(max_tokens))


def read(path: Path, limit: int | None = None) -> list[Question]:
    """The first ``limit`` questions of a file, or all. Raises ``TraceFormatError`` naming file, line and reason."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFormatError(f"{path}: {error}; give JSON lines with {', '.join(_KEYS)}") from None
    found = [_parsed(line, f"{path}:{number}") for number, line in enumerate(lines[:limit], start=1) if line.strip()]
    if not found:
        raise TraceFormatError(f"{path}: no questions in the file")
    return found


def _parsed(line: str, where: str) -> Question:
    try:
        return question(json.loads(line))
    except json.JSONDecodeError as error:
        raise TraceFormatError(f"{where}: not JSON: {error.msg}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise TraceFormatError(f"{where}: a question needs {', '.join(_KEYS)}: {error!r}") from None
