"""Takes the healthy backends in turn, whatever they are busy with: the baseline for every other policy."""

from dataclasses import dataclass

from serving.routing._types import Choice, Snapshot, healthy


@dataclass(frozen=True, slots=True)
class Policy:
    """One after the other. With a changing set of healthy backends the turns are fair only between changes."""

    def choose(self, snapshot: Snapshot) -> Choice:
        """The candidate whose turn it is."""
        candidates = healthy(snapshot.candidates)
        return Choice(candidates[snapshot.turn % len(candidates)].name, "in turn")
