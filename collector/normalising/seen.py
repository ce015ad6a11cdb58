"""One span as a dialect sees it: decoded, not yet normalised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from collector.normalising.values import Attributes

Fields = dict[str, Any]  # promoted column of ``spans`` → its value; absent means not known


@dataclass(slots=True)
class SeenSpan:
    """A decoded span. What a dialect turns into a column it takes out of ``attributes``."""

    name: str
    kind: str
    scope: str
    attributes: Attributes
    resource: Attributes
    duration_s: float
    failed: bool
    events: "Callable[[], Sequence[SeenEvent]]"


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """A span event; ``since_start_s`` counts from the start of its span."""

    name: str
    since_start_s: float
    attributes: Attributes


class Dialect(Protocol):
    """The spelling of one emitter. One module of ``collector/dialects`` holds one, named ``Dialect``.

    ``rank`` orders them: the lowest that recognises a span reads it. A dialect keeps no state.
    """

    rank: int

    def recognises(self, span: SeenSpan) -> bool:
        """Whether this is a model call in this spelling."""
        ...

    def normalise(self, span: SeenSpan) -> Fields:
        """The promoted columns, ``role`` among them. Takes what it used out of ``span.attributes``."""
        ...
