"""Requests and attempts as the spans of their layers, by row number into the span table."""

from dataclasses import dataclass, fields
from typing import Final, Self

import pyarrow as pa

CACHE_HITS: Final = ("exact", "semantic")


@dataclass(frozen=True, slots=True)
class Layers:
    """The span of each layer, one entry per request or attempt; NULL where that layer sent none. int64 each."""

    root: pa.Array
    client: pa.Array
    gateway: pa.Array
    attempt: pa.Array
    engine: pa.Array

    def take(self, entries: pa.Array) -> Self:
        """The entries with the given numbers."""
        return type(self)(*(getattr(self, one.name).take(entries) for one in fields(self)))

    def followed_by(self, other: Self) -> Self:
        """These entries and then those."""
        return type(self)(
            *(pa.concat_arrays([getattr(self, one.name), getattr(other, one.name)]) for one in fields(self))
        )


@dataclass(frozen=True, slots=True)
class Calls:
    """Every request of a span table with all its attempts."""

    requests: Layers  # attempt and engine: those of the answering attempt
    attempts: Layers
    attempt_requests: pa.Array  # index of the request of each attempt
    attempt_numbers: pa.Array  # 1, 2, … within its request
    answers: pa.Array  # whether it is its request's answering attempt
