"""Open-loop chat at a steady Poisson rate: library-desk questions with known answers, some of them asked again."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

from loadgen import arrivals, prompts
from loadgen.plan import Plan, PlannedRequest, chat_body
from loadgen.settings import option


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of ``steady_chat``; every random choice hangs on ``seed`` alone."""

    rate: float = option(2.0, "mean arrivals per second (Poisson)")
    seconds: float = option(30.0, "length of the schedule")
    seed: int = option(1, "one seed, one schedule, the same requests")
    model: str = option("auto", "model name to ask for; auto lets the gateway choose")
    keys: tuple[str, ...] = option((), "API keys to send with, evenly mixed; write a key twice to double its share")
    streamed: float = option(1.0, "share of streamed requests, 0 to 1")
    repeats: float = option(0.2, "share of requests that ask an earlier question of the same key again")
    hard: float | None = option(None, "share of hard questions, 0 to 1 (default: as in the file)")
    questions: Path = option(  # noqa: RUF009  # a field(); ruff does not see through option
        prompts.LIBRARY_DESK, "JSONL with messages, answer, max_tokens, difficulty"
    )

    def __post_init__(self) -> None:
        for name, share in (("streamed", self.streamed), ("repeats", self.repeats), ("hard", self.hard)):
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, got {share}")

    def plan(self) -> Plan:
        """The schedule with its questions; see ``loadgen.plan.Scenario``."""
        times = arrivals.poisson(self.rate, self.seconds, self.seed)
        drawing = _Drawing(prompts.read(self.questions), self)
        requests = tuple(self._request(at_s, drawing) for at_s in times)
        return Plan(requests, drawing.notes())

    def _request(self, at_s: float, drawing: "_Drawing") -> PlannedRequest:
        key, prompt, stream = drawing.next()
        return PlannedRequest(
            at_s=at_s,
            body=chat_body(self.model, prompt.chat, stream=stream, max_tokens=prompt.max_tokens),
            model=self.model,
            stream=stream,
            max_tokens=prompt.max_tokens,
            key=key,
            expected=prompt.answer,
        )


class _Drawing:
    """Questions without replacement until the file is used up, then from the top again."""

    def __init__(self, questions: tuple[prompts.Prompt, ...], settings: Scenario) -> None:
        self._rng = random.Random(settings.seed)
        self._settings = settings
        self._decks = self._shuffled_by_difficulty(questions)
        self._taken = dict.fromkeys(self._decks, 0)
        self._asked: dict[str | None, list[prompts.Prompt]] = {}

    def next(self) -> tuple[str | None, prompts.Prompt, bool]:
        """Key, question and whether to stream."""
        key = self._rng.choice(self._settings.keys) if self._settings.keys else None
        earlier = self._asked.setdefault(key, [])
        repeat = self._rng.random() < self._settings.repeats
        prompt = self._rng.choice(earlier) if repeat and earlier else self._fresh()
        earlier.append(prompt)
        return key, prompt, self._rng.random() < self._settings.streamed

    def notes(self) -> tuple[str, ...]:
        """A warning when the file was too small, so that more than ``repeats`` were asked again."""
        again = sum(max(0, self._taken[name] - len(deck)) for name, deck in self._decks.items())
        return (f"{again} more questions were asked again, because the file has no more",) if again else ()

    def _fresh(self) -> prompts.Prompt:
        name = self._deck_name()
        deck = self._decks[name]
        self._taken[name] += 1
        return deck[(self._taken[name] - 1) % len(deck)]

    def _deck_name(self) -> str:
        if self._settings.hard is None:
            return "all"
        return "hard" if self._rng.random() < self._settings.hard else "easy"

    def _shuffled_by_difficulty(self, questions: tuple[prompts.Prompt, ...]) -> dict[str, list[prompts.Prompt]]:
        shuffled = self._rng.sample(questions, len(questions))
        if self._settings.hard is None:
            return {"all": shuffled}
        decks = {name: [one for one in shuffled if one.difficulty == name] for name in ("easy", "hard")}
        if not all(decks.values()):
            raise ValueError(f"{self._settings.questions} has not both easy and hard questions: leave out --hard")
        return decks


if "locust" in sys.modules:  # `locust -f` runs this file; whoever only wants the plan must not get gevent with it
    from loadgen.locustfile import locustfile

    SteadyChat = locustfile("steady_chat", Scenario)
