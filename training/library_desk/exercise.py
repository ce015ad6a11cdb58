"""What an exercise is: a question with exactly one right answer, and the split it belongs to."""

import hashlib
import random
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Difficulty = Literal["easy", "hard"]
Split = Literal["train", "validation", "heldout"]
DIFFICULTIES: Final[tuple[Difficulty, ...]] = ("easy", "hard")
SYSTEM_PROMPT: Final = "You are the library desk. Answer briefly."
MAX_ANSWER_TOKENS: Final = 24
"""Generation limit that no right answer reaches (the longest has 18 tokens with its end)."""

_BUCKETS: Final = 16
_SPLIT_OF_BUCKET: Final[dict[int, Split]] = {0: "heldout", 1: "validation"}


Turn = tuple[str, str]
"""A question and its answer."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Facts and what is asked about them; every turn must be answerable from the facts alone."""

    facts: str
    turns: tuple[Turn, ...]

    def standalone(self, index: int) -> str:
        """The question of one turn as it is asked when it comes first: behind the facts."""
        return f"{self.facts} {self.turns[index][0]}".lstrip()


def single(question: str, answer: str) -> Scene:
    """A scene of one turn that carries its own facts."""
    return Scene("", ((question, answer),))


class Task(Protocol):
    """One family of exercises; a module of ``tasks/`` gives it under the name ``Task``."""

    def easy(self, rng: random.Random) -> Scene:
        """Questions that a model under 1 M parameters can learn."""
        ...

    def hard(self, rng: random.Random) -> Scene:
        """Questions that take two steps or more."""
        ...


@dataclass(frozen=True, slots=True)
class Exercise:
    """One question of the desk with the exact text that answers it."""

    question: str
    answer: str
    family: str
    difficulty: Difficulty
    system: str | None = None
    followups: tuple[Turn, ...] = ()
    """Further turns about the same facts; training uses them, traffic and evaluation ask the first only."""

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The chat messages up to, not including, the answer."""
        opening = [{"role": "system", "content": self.system}] if self.system else []
        return [*opening, {"role": "user", "content": self.question}]

    def is_answered_by(self, reply: str) -> bool:
        """Exact match, outer white space aside."""
        return reply.strip() == self.answer


def split_of(question: str) -> Split:
    """The split that owns ``question``.

    It hangs on the question's own hash and not on a seed, so no choice of seeds can leak a held-out
    question into training: 14/16 of all questions train, 1/16 validate, 1/16 are held out.
    """
    bucket = hashlib.blake2b(question.encode(), digest_size=1).digest()[0] % _BUCKETS
    return _SPLIT_OF_BUCKET.get(bucket, "train")
