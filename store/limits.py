"""How much one untrusted query may take."""

from dataclasses import dataclass

from conventions.errors import QueryRefused


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one query. Working memory is bounded by the store's own ``memory_limit`` for all queries together."""

    time_s: float = 30.0
    rows: int = 1_000_000
    result_bytes: int = 256 * 2**20
    sql_characters: int = 65_536


class TimeLimitExceeded(QueryRefused):
    """The query ran past ``Limits.time_s`` and was interrupted."""


class QueryCancelled(QueryRefused):
    """Whoever asked has left; the query was interrupted."""
