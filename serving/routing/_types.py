"""What a routing policy sees and what it answers. No clock, no I/O, no torch, no web.

A policy is a frozen dataclass named ``Policy`` in a module of this folder. Its fields, all with defaults, are its
settings (``[serving.gateway.routing.<policy>]``). The same file runs in the gateway, in a property test and in a
replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from conventions.confidence import TokenOdds

AUTO_MODEL = "auto"
"""The public model name that leaves the choice among all backends to the policy."""

CHARACTERS_PER_TOKEN = 4  # rule of thumb for English text; only policies that need no better may use it


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """The request as far as a choice may depend on it.

    ``model`` is the public name asked for (``auto``: any); ``last_user_text`` is the last turn of the user, or the
    prompt of a plain completion; ``max_tokens`` is None where the client set no limit.
    """

    model: str
    prompt_chars: int = 0
    last_user_text: str = ""
    max_tokens: int | None = None
    streamed: bool = False

    @property
    def estimated_input_tokens(self) -> int:
        """Tokens of the whole prompt, roughly."""
        return self.prompt_chars // CHARACTERS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that serves the model asked for. ``in_flight``: open attempts of this gateway on it."""

    name: str
    tier: str
    in_flight: int = 0
    healthy: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """A whole answer that the client has not seen: whose it is, and its tokens' odds, None if they are not known."""

    backend: str
    tier: str
    tokens: tuple[TokenOdds, ...] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One decision: the request, the candidates in the order of the settings, and how many decisions came before.

    ``refused`` is the answer that was not good enough; its backend is no candidate any more. ``tiers`` are all tiers of
    the model asked for in the order of the settings, those without a candidate included.
    """

    request: RequestFeatures
    candidates: tuple[Candidate, ...]
    turn: int = 0
    refused: Trial | None = None
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The name of a healthy candidate, and why it was chosen: a few words of a small vocabulary, for grouping.

    ``on_trial``: the policy's ``judge`` sees its answer before the client does.
    """

    backend: str
    reason: str
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is shown, why, and the chance that it is right if that could be told."""

    kept: bool
    reason: str
    chance: float | None = None


class RoutingPolicy(Protocol):
    """What every ``Policy`` of this folder offers."""

    def choose(self, snapshot: Snapshot) -> Choice:
        """One healthy candidate of ``snapshot``; the caller guarantees that there is at least one."""
        ...


class JudgingPolicy(RoutingPolicy, Protocol):
    """What a policy offers that puts answers on trial."""

    def judge(self, trial: Trial) -> Verdict:
        """Whether the client is shown the answer; if not, ``choose`` is asked again with it as ``refused``."""
        ...


def healthy(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates that may be chosen, in their order."""
    return tuple(candidate for candidate in candidates if candidate.healthy)


def fewest_in_flight(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the fewest open attempts; the first of them on a tie."""
    return min(candidates, key=lambda candidate: candidate.in_flight)
