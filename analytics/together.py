"""Several questions at once: two at a time, so that a page waits half as long as for one after the other.

One statement runs on one thread (``store.writing`` says why), so a second core idles unless a second question is asked.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from analytics import metric
from analytics.metric import Dimension, Filters, Queries, Window

EVERYTHING: Final = Filters()
AT_ONCE: Final = 2
"""Half of the collector's query slots: another reader is answered meanwhile."""


@dataclass(frozen=True, slots=True)
class Question:
    """What ``metric.run`` is asked."""

    name: str
    window: Window
    by: tuple[Dimension, ...] = ()
    filters: Filters = EVERYTHING
    bucket_s: float | None = None

    def ask(self, reader: Queries) -> pa.Table:
        """The rows of ``metric.run``."""
        return metric.run(reader, self.name, self.window, self.by, self.filters, self.bucket_s)


def answers(reader: Queries, questions: Sequence[Question]) -> list[pa.Table]:
    """The rows of each question, in their order; equal ones are asked once. Raises what one of them raised."""
    different = list(dict.fromkeys(questions))
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="question") as threads:
        found = list(threads.map(lambda question: question.ask(reader), different))
    by_question = dict(zip(different, found, strict=True))
    return [by_question[question] for question in questions]
