"""Several questions at once: those about the same rows in one statement, and two statements at a time.

Most of the time of a small question goes into planning it, over a table per day and relation; metrics of one window,
grouping and filter stand on the same common table expressions and are planned once. One statement runs on one thread
(``store.writing`` says why), so a second core idles unless a second statement is asked.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from analytics import metric, sources
from analytics.idling import SEPARATE, Idling
from analytics.metric import Dimension, Filters, Queries, Window
from analytics.sources import Bounds, Shape

EVERYTHING: Final = Filters()
AT_ONCE: Final = 2
"""Half of the collector's query slots: another reader is answered meanwhile."""

Scope = tuple[Window, tuple[Dimension, ...], Filters, float | None, Idling]


@dataclass(frozen=True, slots=True)
class Question:
    """What ``metric.run`` is asked."""

    name: str
    window: Window
    by: tuple[Dimension, ...] = ()
    filters: Filters = EVERYTHING
    bucket_s: float | None = None
    idling: Idling = SEPARATE

    @property
    def scope(self) -> Scope:
        """Everything but the name."""
        return self.window, self.by, self.filters, self.bucket_s, self.idling


def answers(reader: Queries, questions: Sequence[Question]) -> list[pa.Table]:
    """The rows of each question, in their order; equal ones are asked once. Raises what one of them raised."""
    by_scope: dict[Scope, list[str]] = {}
    for question in dict.fromkeys(questions):
        by_scope.setdefault(question.scope, []).append(question.name)
    shapes = _shapes(reader, by_scope)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="question") as threads:
        asked = [(names, *scope, shapes[scope]) for scope, names in by_scope.items()]
        found = list(threads.map(lambda one: metric.run_shaped(reader, *one), asked))
    by_question = dict(zip(by_scope, found, strict=True))
    return [by_question[question.scope][question.name] for question in questions]


def _shapes(reader: Queries, by_scope: Mapping[Scope, Sequence[str]]) -> dict[Scope, Shape]:
    """The shape of each scope; what the store has to say of their windows is asked once for all."""
    shapes = {scope: _shape(scope) for scope in by_scope}
    asking = [scope for scope, names in by_scope.items() if shapes[scope].asks(metric.needs_of(names))]
    known = sources.known(reader, [_bounds(scope) for scope in asking])
    return shapes | {scope: shapes[scope].knowing(known[_bounds(scope)]) for scope in asking}


def _shape(scope: Scope) -> Shape:
    window, _, filters, bucket_s, _ = scope
    return Shape.of(window.start, window.end, bucket_s, filters.runs)


def _bounds(scope: Scope) -> Bounds:
    return scope[0].start, scope[0].end
