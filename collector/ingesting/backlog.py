"""What is taken in and not yet in the store: how much may be, and how much of it one sender may have.

Over half of a bound a sender may hold its fair share: the bound divided by the senders that hold something. Whoever
floods is refused until it is down to that; a quarter more than the bound is kept for those who are within theirs, so
that a small sender finds room beside a queue that another has filled. A request that is larger than any share is taken
from who has nothing waiting, while the queue is half empty: it would else be refused for ever where others send too.
"""

from collections import Counter
from typing import Final

from collector.settings import MEGABYTE, QueueSettings
from conventions.errors import Overloaded

KEPT: Final = 1.25  # of a bound, for senders within their share


class Backlog:
    """Rows and bytes by sender. For one lock; not for threads."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._bounds = {"rows": settings.max_rows, "bytes": settings.max_mb * MEGABYTE}
        self._held: dict[str, Counter[str]] = {"rows": Counter(), "bytes": Counter()}
        self._requests: Counter[str] = Counter()
        self.rows = 0
        self.nbytes = 0

    def enter(self, sender: str, rows: int, nbytes: int) -> None:
        """Count one request in. Alone it may pass every bound: it must be possible to store it.

        Raises ``Overloaded`` when there is no room, or none for ``sender``.
        """
        if self._requests:
            self._require_room("rows", sender, self.rows, rows)
            self._require_room("bytes", sender, self.nbytes, nbytes)
        self._count(sender, 1, rows, nbytes)

    def again(self, sender: str, rows: int, nbytes: int) -> None:
        """Count one in that was acknowledged before: it cannot be refused any more."""
        self._count(sender, 1, rows, nbytes)

    def leave(self, sender: str, rows: int, nbytes: int) -> None:
        """Count one out."""
        self._count(sender, -1, -rows, -nbytes)

    def overloaded(self, why: str) -> Overloaded:
        """The refusal for the reason ``why``, with the time to come back."""
        retry_after_s = self._settings.retry_after_s
        return Overloaded(f"{why}: retry in {retry_after_s:g} s", retry_after_s=retry_after_s)

    def _require_room(self, unit: str, sender: str, waiting: int, more: int) -> None:
        bound, own = self._bounds[unit], self._held[unit][sender]
        share = bound / len(self._requests.keys() | {sender})
        within_share = own + more <= share and waiting + more <= KEPT * bound
        if waiting + more <= bound / 2 or within_share or (not own and waiting <= bound / 2):
            return
        if own > share / 2 and len(self._requests) > 1:
            raise self.overloaded(f"{own} of {waiting} {unit} that wait for the store are of {sender or 'this sender'}")
        raise self.overloaded(f"{waiting} {unit} wait for the store")

    def _count(self, sender: str, requests: int, rows: int, nbytes: int) -> None:
        self._requests[sender] += requests
        self._held["rows"][sender] += rows
        self._held["bytes"][sender] += nbytes
        if not self._requests[sender]:
            del self._requests[sender], self._held["rows"][sender], self._held["bytes"][sender]
        self.rows += rows
        self.nbytes += nbytes
