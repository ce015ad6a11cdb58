"""Sends each request to the backend with the fewest open attempts; ties go to the first in the settings.

It knows only this gateway's own attempts, not the true queue of a backend that others use as well.
"""

from dataclasses import dataclass

from serving.routing._types import Choice, Snapshot, fewest_in_flight, healthy


@dataclass(frozen=True, slots=True)
class Policy:
    """Fewest attempts in flight."""

    def choose(self, snapshot: Snapshot) -> Choice:
        """The least loaded healthy candidate."""
        return Choice(fewest_in_flight(healthy(snapshot.candidates)).name, "fewest in flight")
