"""How many bytes of request bodies may be held at once, from the first byte read until the answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from conventions.errors import Overloaded


class Admission:
    """A budget of bytes shared by all requests. For one event loop; not for threads."""

    def __init__(self, limit: int, retry_after_s: float) -> None:
        self._limit = limit
        self._retry_after_s = retry_after_s
        self.held = 0

    def ticket(self) -> "Ticket":
        """A ticket for one request, to be given back at its end."""
        return Ticket(self)

    @contextmanager
    def request(self) -> Iterator["Ticket"]:
        """A ticket for one request; what it took is given back at the end."""
        ticket = self.ticket()
        try:
            yield ticket
        finally:
            ticket.give_back()

    def take(self, nbytes: int, held: int) -> None:
        """Hold ``nbytes`` more for a request that has ``held``. Alone, a request may pass the limit.

        Raises ``Overloaded`` when all hold too much.
        """
        others = self.held - held
        if others and self.held + nbytes > self._limit:
            raise Overloaded(
                f"{others} bytes of other requests are being taken in: retry in {self._retry_after_s:g} s",
                retry_after_s=self._retry_after_s,
            )
        self.held += nbytes

    def give_back(self, nbytes: int) -> None:
        """Hold ``nbytes`` less."""
        self.held -= nbytes


class Ticket:
    """What one request holds of the budget."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.held = 0

    def take(self, nbytes: int) -> None:
        """Hold ``nbytes`` more. Raises ``Overloaded``."""
        self._admission.take(nbytes, self.held)
        self.held += nbytes

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._admission.give_back(self.held)
        self.held = 0
