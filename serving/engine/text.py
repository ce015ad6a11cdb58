"""Tokens to text while they arrive: whole characters only, and nothing of a stop string.

The joined pieces equal decoding all tokens at once, cut before the first stop string and without an incomplete
character at the end.
"""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

REPLACEMENT = "\ufffd"
"""How a decoder shows bytes that are no character, or not yet."""


class Detokeniser:
    """Decodes a growing token sequence piece by piece.

    Each piece is decoded together with the tokens of the last one, because decoders treat the first token of a text
    differently (a leading space), and held back while it ends inside a character.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._before: list[int] = []
        self._before_text = ""
        self._pending: list[int] = []
        self._sent = 0

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is incomplete."""
        self._pending.append(token)
        text = self._decode(self._before + self._pending)[len(self._before_text) :]
        whole = text.rstrip(REPLACEMENT)
        piece = whole[self._sent :]
        if len(whole) == len(text):
            self._before, self._pending, self._sent = self._pending, [], 0
            self._before_text = self._decode(self._before)
        else:
            self._sent = max(self._sent, len(whole))
        return piece


class StopScanner:
    """Lets text through up to the first stop string; holds back what could be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """What is safe to show now. After a match everything is swallowed."""
        if not self._stops or self.matched is not None:
            return "" if self.matched is not None else text
        text = self._held + text
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            at, self.matched = min(found)
            self._held = ""
            return text[:at]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end of a generation that no stop string ended."""
        held, self._held = self._held, ""
        return held


class TextStream:
    """Tokens in, text to show out."""

    def __init__(self, decode: Decode, stops: Sequence[str]) -> None:
        self._detokeniser = Detokeniser(decode)
        self._scanner = StopScanner(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has been met."""
        return self._scanner.matched is not None

    def push(self, token: int) -> str:
        """The text to show after this token."""
        return self._scanner.push(self._detokeniser.push(token))

    def flush(self) -> str:
        """The rest, once the last token is in."""
        return self._scanner.flush()


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
