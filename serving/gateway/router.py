"""Gives the routing policy its snapshot and turns its choice into a backend."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import cast

from serving.backends.fleet import Backend, named
from serving.routing._types import (
    Candidate,
    Choice,
    JudgingPolicy,
    RequestFeatures,
    RoutingPolicy,
    Snapshot,
    Trial,
    Verdict,
)


class Router:
    """One policy over the fleet. Counts the decisions per model, so that turns are fair for each model alone."""

    def __init__(self, name: str, policy: RoutingPolicy) -> None:
        self.name = name
        self._policy = policy
        self._turns: Counter[str] = Counter()

    def choose(
        self,
        request: RequestFeatures,
        backends: Sequence[Backend],
        tried: Collection[str],
        refused: Trial | None = None,
    ) -> tuple[Backend, Choice]:
        """One of ``backends`` that was not tried yet, and the choice; there must be one.

        When none of them seems reachable all are allowed: what is known may be out of date, and a refused
        connection costs less than a refused request.
        """
        open_choices = [backend for backend in backends if backend.name not in tried]
        all_down = not any(backend.healthy for backend in open_choices)
        candidates = tuple(
            Candidate(backend.name, backend.tier, backend.in_flight, backend.healthy or all_down)
            for backend in open_choices
        )
        tiers = tuple(dict.fromkeys(backend.tier for backend in backends))
        choice = self._policy.choose(Snapshot(request, candidates, self._turns[request.model], refused, tiers))
        if not tried:
            self._turns[request.model] += 1
        return named(open_choices, choice.backend), choice

    def judge(self, trial: Trial) -> Verdict:
        """What the policy that put an answer on trial says of it."""
        return cast(JudgingPolicy, self._policy).judge(trial)
