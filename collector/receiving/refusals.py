"""The log's lines about refused requests: one per reason and peer in a minute, with how many there were meanwhile.

A sender that floods is refused thousands of times a second; ``/metrics`` counts every one.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
MOST_KINDS: Final = 256
_NUMBER: Final = re.compile(r"\d+")


@dataclass(slots=True)
class _Said:
    at_s: float
    unsaid: int = 0


class RefusalLog:
    """Says refusals, each kind once in ``EVERY_S``. For one event loop; not for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str, str], _Said] = {}

    def say(self, code: str, reason: str, peer: str) -> None:
        """One request of ``peer`` was refused; reasons that differ in their numbers alone are the same."""
        kind, now_s = (code, _NUMBER.sub("#", reason), peer), self._clock()
        said = self._said.get(kind)
        if said is not None and now_s - said.at_s < EVERY_S:
            said.unsaid += 1
            return
        if said is None and len(self._said) >= MOST_KINDS:
            self._said.clear()
        more = f" ({said.unsaid} more since the last such line)" if said is not None and said.unsaid else ""
        _log.info("refused %s with %s: %s%s", peer or "a request", code, reason, more)
        self._said[kind] = _Said(now_s)
