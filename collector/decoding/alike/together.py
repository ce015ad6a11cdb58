"""Requests of many senders → rows: spans that are built alike are decoded together, the others left as requests."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from collector.decoding.alike.emitter import FEWEST, Emitter
from collector.decoding.alike.layers import Gathered, Parts, Sender, taken_apart
from collector.decoding.columns import Rows
from collector.decoding.spans import SpanDecoder
from collector.normalising.values import MAX_REPEATED

MOST_SENDERS: Final = 256
MOST_REPEATED_BY_BYTE: Final = 18
"""Characters that a row may repeat for a byte of its resource and scope: six in JSON's escapes, and three times."""
Received = tuple[bytes, int]  # a body, and when it was received in UTC nanoseconds


class Together:
    """Decodes OTLP traces of many requests with what it has learnt, never fewer than ``fewest`` spans at once.

    Safe to use from several threads.
    """

    def __init__(self, decoder: SpanDecoder, fewest: int = FEWEST) -> None:
        self._decoder = decoder
        self._fewest = fewest
        self._emitters: dict[Sender, Emitter | None] = {}
        self._lock = threading.Lock()

    def rows(self, bodies: Sequence[Received], into: Rows) -> list[Received]:
        """Rows of ``bodies`` go to ``into``; gives what is left, as requests to be decoded one by one."""
        with self._lock:
            gathered, left = Gathered(), []
            for body, received_ns in bodies:
                parts = taken_apart(body)
                if parts is None or not self._within(parts):
                    left.append((body, received_ns))
                else:
                    gathered.add(body, received_ns, parts)
            for sender, spans in gathered.senders.items():
                emitter = self._emitter(sender) if len(spans.items) >= self._fewest else None
                taken = np.zeros(len(spans.items), np.bool_)
                spans.taken = taken if emitter is None else emitter.decode(spans.items, spans.times(), into)
            return left + gathered.left()

    def _within(self, parts: Parts) -> bool:
        """Whether nothing of a request is refused for what its rows repeat."""
        if sum(MOST_REPEATED_BY_BYTE * len(items) * sum(map(len, sender)) for sender, items in parts) <= MAX_REPEATED:
            return True
        emitters = [(self._emitter(sender), len(items)) for sender, items in parts]
        return sum(MAX_REPEATED + 1 if one is None else one.repeated * many for one, many in emitters) <= MAX_REPEATED

    def _emitter(self, sender: Sender) -> Emitter | None:
        if sender in self._emitters:
            self._emitters[sender] = self._emitters.pop(sender)  # the one that came last goes last
        else:
            if len(self._emitters) >= MOST_SENDERS:
                del self._emitters[next(iter(self._emitters))]
            self._emitters[sender] = Emitter.of(self._decoder, sender, self._fewest)
        return self._emitters[sender]
