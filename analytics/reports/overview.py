"""What the first page shows of a window, asked at once: headline numbers, where the joules went, carbon and cost.

Together they are three statements instead of five, because metrics of one window, grouping and filter are planned once.
"""

from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from analytics import together
from analytics.metric import Filters, Queries, Window
from analytics.reports import footprint, headline
from analytics.reports.footprint import Charge
from analytics.reports.headline import Number
from analytics.together import EVERYTHING, Question


@dataclass(frozen=True, slots=True)
class Overview:
    """``energy`` has the rows of the metric by time bucket; there are no charges where neither is known."""

    numbers: list[Number]
    energy: pa.Table
    charges: list[Charge]


def overview(reader: Queries, window: Window, bucket_s: float, filters: Filters = EVERYTHING) -> Overview:
    """Everything of ``window``, in buckets of ``bucket_s`` where it is a course. Raises ``StoreError``."""
    numbers = headline.questions(window, filters, bucket_s)
    charges = footprint.questions(window, filters)
    energy = Question("energy", window, filters=filters, bucket_s=bucket_s)
    answers = iter(together.answers(reader, [*numbers, *charges, energy]))
    return Overview(
        headline.told(list(islice(answers, len(numbers)))),
        charges=footprint.told(list(islice(answers, len(charges)))),
        energy=next(answers),
    )
